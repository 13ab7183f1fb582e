"""The ledger for whoever runs requests: claims with a lease, what was sent, how it ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.storage.queries import requests as request_queries
from bot.storage.unit_of_work import UnitOfWork, read, write
from bot.timings import Timings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Update
    from sqlalchemy.sql.elements import ColumnElement

    from bot.cancellation.lifecycle import DeleteAttempts, Outcome, Request
    from bot.storage.database import Database

T = TypeVar("T")

#: A run that is quicker than this needs no drawing between its start and its outcome.
QUICK = timedelta(seconds=1)


class LeaseStore:
    """One runner's hold on requests.

    Args:
        database: where requests are kept.
        now: the clock, aware datetimes.
        owner: the name of this process, different at each start.
        lease: seconds for which a claim holds.
        on_state_entered: told of every state that a request enters, after the commit.
    """

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        owner: str,
        *,
        lease: float = Timings.request_lease,
        on_state_entered: Callable[[State], None] = lambda _state: None,
    ) -> None:
        self._database = database
        self._now = now
        self._on_state_entered = on_state_entered
        self._lease = timedelta(seconds=lease)
        self.owner = owner

    async def list_runnable(self, limit: int = 100) -> Sequence[str]:
        """List what may be claimed: approved, or held by a runner whose lease has run out."""

        def work(uow: UnitOfWork) -> list[str]:
            return list(uow.execute(request_queries.requests_to_run(uow.now, limit)).scalars())

        return await read(self._database, self._now, work, background=True)

    async def claim(self, request_id: str) -> Request | None:
        """Take a request to its end; nothing if it has ended or somebody alive holds it."""
        claimed = await self._write(lambda uow: self._claim(uow, request_id))
        if claimed and not claimed.sent.count:
            self._on_state_entered(State.CANCELLING)
        return claimed

    def _claim(self, uow: UnitOfWork, request_id: str) -> Request | None:
        lease = (request_id, self.owner, uow.now, uow.now + self._lease)
        name = EventName.CLAIMED
        claimed = uow.update_or_none(request_queries.claim_approved(*lease))
        if claimed is None:
            name = EventName.TAKEN_OVER
            claimed = uow.update_or_none(request_queries.claim_abandoned(*lease))
        if claimed:
            number = uow.record(claimed, name, detail={"runner": self.owner})
            uow.enqueue_card_update(claimed, name, number, delay=QUICK)
        return claimed

    async def renew(self, request_id: str) -> bool:
        """Hold on to a request; False if it is not ours any more."""
        return await self._hold(request_id, self._lease)

    async def release(self, request_id: str) -> bool:
        """Let go of a request, so that another runner can take it at once."""
        return await self._hold(request_id, timedelta())

    async def _hold(self, request_id: str, lease: timedelta) -> bool:
        def work(uow: UnitOfWork) -> bool:
            values = {"lease_until": uow.now + lease}
            return uow.execute(self._ours(request_id, values)).first() is not None

        return await self._write(work)

    async def record_delete_sent(self, request: Request) -> Request:
        """Write down that a DELETE is about to be sent, only while the lease runs.

        From here on its effect is unknown, until `record_delete_answer` knows better.

        Raises:
            AlreadyHandled: the request is not ours any more; nothing may be sent.
        """
        sent = replace(request.sent, count=request.sent.count + 1, unknown=True)

        def work(uow: UnitOfWork) -> Request:
            statement = self._ours(request.id, _columns(sent), request_queries.lease_runs(uow.now))
            noted = uow.update(request.id, statement)
            uow.record(noted, EventName.CANCEL_SENT, detail={"try": sent.count})
            return noted

        return await self._write(work)

    async def record_delete_answer(
        self, request: Request, sent: DeleteAttempts, answer: Mapping[str, Any]
    ) -> Request:
        """Write down what Atlas answered to the DELETE, or that no answer came.

        Raises:
            AlreadyHandled: the request is not ours any more.
        """

        def work(uow: UnitOfWork) -> Request:
            noted = uow.update(request.id, self._ours(request.id, _columns(sent)))
            uow.record(noted, EventName.CANCEL_ANSWERED, detail=answer)
            return noted

        return await self._write(work)

    async def settle(self, request: Request, state: State, outcome: Outcome) -> Request:
        """End a run; raises `AlreadyHandled` if another runner has taken the request over."""

        def work(uow: UnitOfWork) -> Request:
            return uow.transition(
                request,
                State.CANCELLING,
                state,
                request_queries.held_by(self.owner),
                outcome=outcome,
            )

        settled = await self._write(work)
        self._on_state_entered(settled.state)
        return settled

    def _ours(
        self, request_id: str, values: dict[str, Any], *conditions: ColumnElement[bool]
    ) -> Update:
        return request_queries.change_request(
            request_id, [State.CANCELLING], values, request_queries.held_by(self.owner), *conditions
        )

    async def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        return await write(self._database, self._now, work, background=True)


def _columns(sent: DeleteAttempts) -> dict[str, Any]:
    return {
        "delete_count": sent.count,
        "delete_accepted": sent.accepted,
        "delete_unknown": sent.unknown,
    }
