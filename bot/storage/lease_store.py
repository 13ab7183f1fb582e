"""Leases on requests: a runner claims a request, records its DELETEs, and settles it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Update
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import DeleteAttempts, Outcome, Request, State
from bot.cancellation.link_clock import LinkClock
from bot.cancellation.policy import Judgement
from bot.storage.database import Database
from bot.storage.job_facts_rows import ensure_facts, get_or_new
from bot.storage.queries import requests as request_queries
from bot.storage.unit_of_work import Store, UnitOfWork
from bot.timings import Timings

#: Delay of the card update at a claim: a shorter run shows only its outcome.
CLAIM_UPDATE_DELAY = timedelta(seconds=1)


class LeaseStore(Store):
    """The leases of one runner.

    Args:
        owner: the name of this process, new at each start.
        lease: seconds for which a claim holds.
        on_state_entered: called after the commit with each state that a request enters.
        on_cancelled_before_link: called after each cancellation whose link was never live.
    """

    background = True

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        owner: str,
        *,
        lease: float = Timings.request_lease,
        on_state_entered: Callable[[State], None] = lambda _state: None,
        on_cancelled_before_link: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(database, now)
        self._on_cancelled_before_link = on_cancelled_before_link
        self._on_state_entered = on_state_entered
        self._lease = timedelta(seconds=lease)
        self.owner = owner

    async def list_runnable(self, limit: int = 100) -> Sequence[str]:
        """List the requests to claim: approved ones, and those whose lease has expired."""

        def work(uow: UnitOfWork) -> list[str]:
            return list(uow.execute(request_queries.runnable_requests(uow.now, limit)).scalars())

        return await self._read(work)

    async def claim(self, request_id: str) -> Request | None:
        """Take the lease of a request; None if it has ended or another runner's lease runs."""
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
            claimed = uow.update_or_none(request_queries.claim_expired(*lease))
        if claimed:
            number = uow.record(claimed, name, detail={"runner": self.owner})
            uow.enqueue_card_update(claimed, name, number, delay=CLAIM_UPDATE_DELAY)
        return claimed

    async def renew(self, request_id: str) -> bool:
        """Extend the lease; False if another runner has it."""
        return await self._set_lease(request_id, self._lease)

    async def release(self, request_id: str) -> bool:
        """End the lease, so that another runner can claim the request at once."""
        return await self._set_lease(request_id, timedelta())

    async def _set_lease(self, request_id: str, lease: timedelta) -> bool:
        def work(uow: UnitOfWork) -> bool:
            values = {"lease_until": uow.now + lease}
            return uow.execute(self._update_held(request_id, values)).first() is not None

        return await self._write(work)

    async def record_delete_sent(
        self, request: Request, link_expires_at: datetime | None = None
    ) -> Request:
        """Record that a DELETE is about to be sent, only while the lease runs.

        Its effect is unknown until `record_delete_answer`. The link, if it is live,
        expires at `link_expires_at`.

        Raises:
            AlreadyHandled: another runner has the lease, or it expired; nothing may be sent.
        """
        sent = replace(request.sent, count=request.sent.count + 1, unknown=True)

        def work(uow: UnitOfWork) -> Request:
            statement = self._update_held(
                request.id, _columns(sent), request_queries.lease_is_valid(uow.now)
            )
            updated = uow.update(request.id, statement)
            if link_expires_at:
                ensure_facts(uow, request.ref, link_expires_at)
            uow.record(updated, EventName.CANCEL_SENT, detail={"try": sent.count})
            return updated

        return await self._write(work)

    async def record_delete_answer(
        self, request: Request, sent: DeleteAttempts, answer: Mapping[str, Any]
    ) -> Request:
        """Record what Atlas answered to the DELETE, or that no answer came.

        Raises:
            AlreadyHandled: another runner has the lease.
        """

        def work(uow: UnitOfWork) -> Request:
            updated = uow.update(request.id, self._update_held(request.id, _columns(sent)))
            known = {"accepted": sent.accepted, "unknown": sent.unknown}
            uow.record(updated, EventName.CANCEL_ANSWERED, detail={**answer, **known})
            return updated

        return await self._write(work)

    async def record_check_failed(self, request: Request, why: str) -> None:
        """Record, and report, that the rights could not be checked; raises `AlreadyHandled`."""

        def work(uow: UnitOfWork) -> None:
            held = self._update_held(request.id, {"changed_at": uow.now})
            updated = uow.update(request.id, held)
            uow.record_and_notify(updated, EventName.CHECK_FAILED, detail={"sentence": why})

        await self._write(work)

    async def settle(
        self,
        request: Request,
        state: State,
        outcome: Outcome,
        judgement: Judgement | None = None,
    ) -> Request:
        """End a run; raises `AlreadyHandled` if another runner has the lease.

        Args:
            request: the request.
            state: its next state.
            outcome: what happened.
            judgement: why the request waits for approvals again, if it does.
        """

        def work(uow: UnitOfWork) -> tuple[Request, LinkClock]:
            if judgement:
                uow.apply_judgement(request, judgement)
            clock = get_or_new(uow, [request.ref])[request.ref].clock
            settled = uow.transition(
                request,
                State.CANCELLING,
                state,
                request_queries.held_by(self.owner),
                outcome=outcome,
                detail=clock.to_json() if state is State.CANCELLED else None,
            )
            return settled, clock

        settled, clock = await self._write(work)
        self._on_state_entered(settled.state)
        if settled.state is State.CANCELLED and clock.live_since is None:
            self._on_cancelled_before_link()
        return settled

    def _update_held(
        self, request_id: str, values: dict[str, Any], *conditions: ColumnElement[bool]
    ) -> Update:
        return request_queries.change_request(
            request_id, [State.CANCELLING], values, request_queries.held_by(self.owner), *conditions
        )


def _columns(sent: DeleteAttempts) -> dict[str, Any]:
    return {
        "delete_count": sent.count,
        "delete_accepted": sent.accepted,
        "delete_unknown": sent.unknown,
    }
