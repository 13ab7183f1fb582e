"""The last requests with their outcome, and those that wait: out of the record and the ledger."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bot.cancellation.lifecycle import Card, Outcome, State
from bot.storage.queries import requests as request_queries
from bot.storage.unit_of_work import whole_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from sqlalchemy import Connection

    from bot.cancellation.lifecycle import Request
    from bot.storage.database import Database

#: Requests that are read at once, and at most, while looking for those of some projects.
AT_ONCE = 100
AT_MOST = 1000

#: Requests that are shown to somebody as waiting, at most.
MOST_AWAITING = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """One request as far as it is still known.

    Attributes:
        state: where it stands, or stood last.
        asked_at: when it was asked for.
        changed_at: when that state was entered.
        by: who brought it into that state; None for the bot itself.
        card: where its card stands; None once the request is forgotten, or before it is posted.
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
    """Reads what was asked for.

    Args:
        database: where the ledger is.
        now: the clock, aware datetimes.
    """

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def recent(self, count: int, project_ids: Collection[str]) -> list[PastRequest]:
        """Return the last `count` requests of these projects, newest first; raises `NotRead`."""

        def work(db: Connection) -> list[PastRequest]:
            created = _created(db, count, project_ids)
            ids = [row.request for row in created]
            events = db.execute(request_queries.events_among(ids)).all()
            rows = db.execute(request_queries.requests_among(), {"ids": ids}).all()
            return [_past(row, events, {each.id: each for each in rows}) for row in created]

        return await self._database.read(work)

    async def awaiting(self) -> Sequence[Request]:
        """Return the requests that wait for approval, oldest first; raises `NotRead`."""

        def work(db: Connection) -> list[Request]:
            waiting = request_queries.requests_awaiting(self._now(), MOST_AWAITING)
            return whole_requests(db, db.execute(waiting).all())

        return await self._database.read(work)


def _created(db: Connection, count: int, project_ids: Collection[str]) -> list[Any]:
    """Walk back through the record until there are enough."""
    found: list[Any] = []
    before: int | None = None
    for _ in range(AT_MOST // AT_ONCE):
        rows = db.execute(request_queries.newest_creations(AT_ONCE, before)).all()
        found += [row for row in rows if json.loads(row.detail).get("project") in project_ids]
        if len(rows) < AT_ONCE or len(found) >= count:
            break
        before = rows[-1].id
    return found[:count]


def _past(created: Any, events: Iterable[Any], rows: dict[str, Any]) -> PastRequest:  # noqa: ANN401 - database rows
    """Put together what the record and, while there is one, the request's row say."""
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
    """Return the state that was entered last, and the event that says so."""
    state, last = State.AWAITING, created
    for event in events:
        entered = _STATES.get(event.event)
        if event.request == created.request and entered:
            state, last = entered, event
    return state, last


_STATES = {f"request:{state}": state for state in State}
