"""One transaction's writing: a transition, the event that records it, the posts that tell it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from bot.cancellation import statements
from bot.cancellation.errors import NoSuchRequest, RequestMovedOn
from bot.cancellation.events import Event, EventName, chain
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.posts import PostKind, message_id
from bot.cancellation.rows import request_from_row

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import ColumnElement

    from bot.cancellation.policy import Person

AT_ONCE = timedelta()

log = structlog.get_logger(__name__)


class Page:
    """What one transaction reads and writes, all at one moment."""

    def __init__(self, db: AsyncConnection, now: datetime) -> None:
        self._db = db
        self.now = now

    async def run(self, statement: Any) -> Any:  # noqa: ANN401 - statements and results of any shape
        return await self._db.execute(statement)

    async def find(self, statement: Any) -> Request | None:  # noqa: ANN401 - the same
        """Read the request that `statement` selects, if there is one."""
        row = (await self.run(statement)).first()
        return await self._whole(row) if row else None

    async def read(self, request_id: str) -> Request:
        """Read one request; raises `NoSuchRequest`."""
        if request := await self.find(statements.request_by_id(request_id)):
            return request
        raise NoSuchRequest

    async def lock(self, request_id: str) -> Request:
        """Read one request and keep it as it is until the end; raises `NoSuchRequest`."""
        if request := await self.find(statements.locked_request(request_id)):
            return request
        raise NoSuchRequest

    async def change(self, request_id: str, statement: Any) -> Request:  # noqa: ANN401 - the same
        """Run one conditional UPDATE; raises `RequestMovedOn` when its condition does not hold."""
        row = (await self.run(statement)).first()
        if row is None:
            raise RequestMovedOn(await self.read(request_id))
        return await self._whole(row)

    async def _whole(self, row: Any) -> Request:  # noqa: ANN401 - a database row
        return request_from_row(row, (await self.run(statements.approvals_of(row.id))).all())

    async def enter(
        self,
        request: Request,
        expected: State,
        state: State,
        *conditions: ColumnElement[bool],
        actor: Person | None = None,
        outcome: Outcome | None = None,
        said: bool = True,
    ) -> Request:
        """Make one transition, with its record and its posts.

        Args:
            request: the request to change.
            expected: the state that it must be in.
            state: the state to enter.
            conditions: what else must hold.
            actor: who did it, or None for the bot itself.
            outcome: how the request ended, for a state that ends it.
            said: whether the thread gets a reply.

        Raises:
            RequestMovedOn: the request is in another state by now.
        """
        values = {
            "state": state,
            "changed_at": self.now,
            "outcome": json.dumps(asdict(outcome or Outcome())),
        }
        entered = await self.change(
            request.id, statements.change_request(request.id, [expected], values, *conditions)
        )
        detail = {k: v for k, v in asdict(outcome or Outcome()).items() if v}
        name = EventName.entering(state)
        return await self.note(entered, name, actor=actor, detail=detail, said=said)

    async def note(
        self,
        request: Request,
        name: EventName,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
        said: bool = True,
    ) -> Request:
        """Record an event, have the card drawn anew, and where `said` tell it in the thread."""
        number = await self.record(request, name, actor=actor, detail=detail)
        if said:
            await self.post(request, PostKind.REPLY, name, number, actor=actor, detail=detail)
        await self.draw(request, name, number)
        return await self.read(request.id)

    async def record(
        self,
        request: Request,
        name: EventName,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Add one event to the request's chain and return its number."""
        written = (await self.run(statements.chain_head(request.id))).one()
        event = Event(
            name=name,
            request=request.id,
            at=self.now.isoformat(timespec="milliseconds"),
            actor=actor.id if actor else None,
            team=actor.team if actor else request.team,
            detail=detail or {},
        )
        line = chain(event, written.events + 1, written.head)
        await self.run(statements.new_event(asdict(line)))
        await self.run(statements.move_head(request.id, line.number, line.hash))
        log.info(str(name), request=request.id, actor=event.actor, detail=line.detail)
        return line.number

    async def post(
        self,
        request: Request,
        kind: PostKind,
        name: EventName,
        number: int,
        *,
        actor: Person | None = None,
        detail: Mapping[str, Any] | None = None,
        later: timedelta = AT_ONCE,
    ) -> None:
        """Write down one message that is to reach Slack."""
        values = {
            "request": request.id,
            "kind": kind,
            "event": name,
            "actor": actor.id if actor else None,
            "at": self.now,
            "detail": json.dumps(detail or {}),
            "state": "due",
            "due_at": self.now + later,
            "client_msg_id": message_id(request.id, f"{kind}:{name}", number),
        }
        await self.run(statements.new_post(values))

    async def draw(
        self, request: Request, name: EventName, number: int, *, later: timedelta = AT_ONCE
    ) -> None:
        """Have the card drawn anew, unless a drawing that nobody has begun is due anyway."""
        await self.run(statements.hasten_card(request.id, self.now + later))
        if not (await self.run(statements.is_card_due(request.id))).first():
            await self.post(request, PostKind.EDIT, name, number, later=later)
