"""Reads and writes the rows of requests and approvals; a test names who may import the writes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, insert, select, text, update

from bot.atlas import JobRef
from bot.cancellation.change import RequestChange
from bot.cancellation.download import Download
from bot.cancellation.errors import NothingChanged, RequestNotFound
from bot.cancellation.events import EventName
from bot.cancellation.people import Person
from bot.cancellation.request import OPEN, TRANSITIONS, Attempts, Outcome, Request, State
from bot.storage.tables import (
    IS_OPEN,
    approvals,
    attempts_to_row,
    outcome_facts,
    outcome_to_json,
    request_from_row,
    request_to_row,
    requests,
)
from bot.storage.unit_of_work import UnitOfWork, batches

#: The condition of the partial index of open requests, word for word.
_OPEN = text(IS_OPEN)
_APPROVALS = select(approvals).order_by(approvals.c.at, approvals.c.user)


def load(uow: UnitOfWork, statement: Select[Any]) -> list[Request]:
    """Return the requests that a statement selects, with their approvals."""
    rows = uow.execute(statement).all()
    ids = [row.id for row in rows]
    given = uow.execute(_APPROVALS.where(approvals.c.request.in_(ids))).all() if ids else []
    return [
        request_from_row(row, [item for item in given if item.request == row.id]) for row in rows
    ]


def get(uow: UnitOfWork, request_id: str) -> Request:
    """Return a request; raises `RequestNotFound`."""
    for request in load(uow, select(requests).where(requests.c.id == request_id)):
        return request
    raise RequestNotFound


def with_key(uow: UnitOfWork, key: str) -> Request | None:
    return next(iter(load(uow, select(requests).where(requests.c.key == key))), None)


def of_download(uow: UnitOfWork, project_id: str, job_id: str) -> Sequence[Request]:
    """Return the requests about a download, newest first."""
    of = (requests.c.project_id == project_id, requests.c.job_id == job_id)
    newest_first = (requests.c.created_at.desc(), requests.c.id)
    return load(uow, select(requests).where(*of).order_by(*newest_first))


def newest(uow: UnitOfWork, project_id: str, job_id: str) -> Request | None:
    """Return the open request about a download, else the last one, else None."""
    found = of_download(uow, project_id, job_id)
    return next((request for request in found if request.is_open), next(iter(found), None))


def newest_by_job(uow: UnitOfWork, refs: Sequence[JobRef]) -> dict[str, Request]:
    """Return the same for downloads of one project, by their job ids."""
    found: dict[str, Request] = {}
    for ids in batches([ref.job_id for ref in refs]):
        of = (requests.c.project_id == refs[0].project_id, requests.c.job_id.in_(ids))
        open_last = (requests.c.state.in_(OPEN), requests.c.created_at, requests.c.id.desc())
        for request in load(uow, select(requests).where(*of).order_by(*open_last)):
            found[request.ref.job_id] = request
    return found


def open_one(uow: UnitOfWork, project_id: str, job_id: str) -> Request | None:
    request = newest(uow, project_id, job_id)
    return request if request and request.is_open else None


def add(uow: UnitOfWork, download: Download, request: Request, actor: Person | None) -> None:
    """Insert a request with its event; a unique index refuses a second open one."""
    uow.execute(insert(requests), request_to_row(request))
    ref = request.ref
    detail = {
        "project": ref.project_id,
        "cluster": ref.cluster_name,
        "job": ref.job_id,
        "shown": request.shown.to_json(),
        "reason": request.reason,
        "approvals_needed": request.needed,
        "expires_at": request.expires_at.isoformat(),
        "state": str(request.state),
    }
    uow.record(EventName.CREATED, request, actor=actor, detail=detail)
    uow.changes.append(RequestChange(None, request, download))


def move(
    uow: UnitOfWork,
    download: Download,
    request: Request,
    state: State,
    *,
    actor: Person | None = None,
    outcome: Outcome | None = None,
    event: EventName | None = None,
    **columns: object,
) -> Request:
    """Move a request from the state it was read in to another one, with its event.

    `event` replaces the event that the state has. Raises `NothingChanged` with the request as it is
    now where another transaction was first.
    """
    if state not in TRANSITIONS[request.state]:
        raise AssertionError(f"{request.state} never becomes {state}")
    outcome = outcome or Outcome()
    values = {
        "state": str(state),
        "changed_at": uow.now,
        "outcome": outcome_to_json(outcome),
        "trouble": "",
        **columns,
    }
    if not uow.execute(update(requests).where(*_as_read(request)).values(**values)).rowcount:
        raise NothingChanged(get(uow, request.id))
    detail = outcome_facts(outcome)
    uow.record(event or EventName.entering(state), request, actor=actor, detail=detail)
    uow.show(request.ref)
    moved = get(uow, request.id)
    uow.changes.append(RequestChange(request, moved, download))
    return moved


def change(uow: UnitOfWork, request: Request, **columns: object) -> None:
    """Change columns that are no state; raises `NothingChanged` as `move` does."""
    if not uow.execute(update(requests).where(*_as_read(request)).values(**columns)).rowcount:
        raise NothingChanged(get(uow, request.id))


def _as_read(request: Request) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a request has not moved, and no DELETE was recorded, since then.

    A process that was active before, and is again, must not forget a DELETE of another one.
    """
    return (
        requests.c.id == request.id,
        requests.c.state == str(request.state),
        requests.c.delete_count == request.attempts.count,
    )


def set_attempts(uow: UnitOfWork, request: Request, attempts: Attempts) -> Request:
    change(uow, request, **attempts_to_row(attempts))
    return replace(request, attempts=attempts)


def add_approval(uow: UnitOfWork, request: Request, person: Person) -> None:
    row = {"request": request.id, "user": person.id, "at": uow.now}
    uow.execute(insert(approvals), row)


def remove_approval(uow: UnitOfWork, request: Request, user: str) -> None:
    of = (approvals.c.request == request.id, approvals.c.user == user)
    uow.execute(delete(approvals).where(*of))
    uow.record(EventName.APPROVAL_VOIDED, request, detail={"user": user})


def due_to_expire(uow: UnitOfWork, now: datetime) -> list[Request]:
    is_due = (_OPEN, requests.c.state == str(State.AWAITING), requests.c.expires_at <= now)
    return load(uow, select(requests).where(*is_due).order_by(requests.c.expires_at))


def due_to_remind(uow: UnitOfWork, created_before: datetime) -> list[Request]:
    is_due = (
        _OPEN,
        requests.c.state == str(State.AWAITING),
        requests.c.reminded_at.is_(None),
        requests.c.created_at <= created_before,
    )
    return load(uow, select(requests).where(*is_due))


def open_in(uow: UnitOfWork, *states: State) -> list[Request]:
    """Return the open requests in these states, oldest first."""
    is_in = requests.c.state.in_([str(state) for state in states])
    return load(uow, select(requests).where(_OPEN, is_in).order_by(requests.c.created_at))


def delete_of_download(uow: UnitOfWork, project_id: str, job_id: str) -> None:
    """Delete the requests about a download that ended long ago."""
    of = (requests.c.project_id == project_id, requests.c.job_id == job_id)
    ids = select(requests.c.id).where(*of)
    uow.execute(delete(approvals).where(approvals.c.request.in_(ids)))
    uow.execute(delete(requests).where(*of))
