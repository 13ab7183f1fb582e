"""Reads past requests with their outcome, and the requests that wait for approval."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from bot.cancellation.lifecycle import Card, Outcome, Request, State
from bot.storage.database import Database
from bot.storage.queries import requests as request_queries
from bot.storage.unit_of_work import load_requests

#: Requests read by one query, and by all, in search of those of some projects.
BATCH_SIZE = 100
MAX_READ = 1000

#: Waiting requests read at most.
MAX_AWAITING = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request as far as it is known: the audit events remain when its row is pruned.

    Attributes:
        state: the current or last state.
        asked_at: when it was created.
        changed_at: when that state was entered.
        by: the user who caused that state; None for the bot itself.
        card: the card's position; None before it is posted, and once the request is pruned.
    """

    request: str
    project_id: str
    cluster_name: str
    job_id: str
    requester: str
    reason: str
    state: State
    asked_at: datetime
    changed_at: datetime
    by: str | None = None
    card: Card | None = None


class History:
    """Reads past and waiting requests.

    Args:
        database: the database.
        now: the clock; aware datetimes.
    """

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def recent(self, count: int, project_ids: Collection[str]) -> list[PastRequest]:
        """Return the last `count` requests of these projects, newest first; raises `NotRead`."""

        def work(db: Connection) -> list[PastRequest]:
            created = _created(db, count, project_ids)
            ids = [row.request for row in created]
            events = db.execute(request_queries.events_of(ids)).all()
            rows = db.execute(request_queries.requests_by_ids(), {"ids": ids}).all()
            return [_past(row, events, {each.id: each for each in rows}) for row in created]

        return await self._database.read(work)

    async def awaiting(self) -> Sequence[Request]:
        """Return the requests that wait for approval, oldest first; raises `NotRead`."""

        def work(db: Connection) -> list[Request]:
            waiting = request_queries.requests_awaiting(self._now(), MAX_AWAITING)
            return load_requests(db, db.execute(waiting).all())

        return await self._database.read(work)


def _created(db: Connection, count: int, project_ids: Collection[str]) -> list[Any]:
    """Read `request:created` events backwards until there are enough."""
    found: list[Any] = []
    before: int | None = None
    for _ in range(MAX_READ // BATCH_SIZE):
        rows = db.execute(request_queries.newest_creations(BATCH_SIZE, before)).all()
        found += [row for row in rows if json.loads(row.detail).get("project") in project_ids]
        if len(rows) < BATCH_SIZE or len(found) >= count:
            break
        before = rows[-1].id
    return found[:count]


def _past(created: Any, events: Iterable[Any], rows: dict[str, Any]) -> PastRequest:  # noqa: ANN401 - database rows
    """Combine the audit events with the request's row, if it exists."""
    detail = json.loads(created.detail)
    state, last = _last_state(created, events)
    row = rows.get(created.request)
    by = Outcome(**json.loads(row.outcome)).by if row else last.actor
    return PastRequest(
        request=created.request,
        project_id=detail["project"],
        cluster_name=detail["cluster"],
        job_id=detail["job"],
        requester=created.actor,
        reason=detail["reason"],
        state=State(row.state) if row else state,
        asked_at=datetime.fromisoformat(created.at),
        changed_at=row.changed_at if row else datetime.fromisoformat(last.at),
        by=by,
        card=Card(channel=row.card_channel, ts=row.card_ts) if row and row.card_ts else None,
    )


def _last_state(created: Any, events: Iterable[Any]) -> tuple[State, Any]:  # noqa: ANN401 - database rows
    """Return the last state that was entered, and its event."""
    state, last = State.AWAITING, created
    for event in events:
        entered = _STATES.get(event.event)
        if event.request == created.request and entered:
            state, last = entered, event
    return state, last


_STATES = {f"request:{state}": state for state in State}
