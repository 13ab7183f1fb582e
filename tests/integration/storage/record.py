"""The stores of a process that holds the lease, and what their decisions leave behind."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.cancellation.decisions import AutoCancelStep, LetRunDecision
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Request
from bot.storage.request_store import Submitted
from tests.support.core import CoreEnvironment
from tests.support.domain import AUTO_CANCEL, POLICY, REF, RINA, submission


@dataclass
class Record:
    """The stores, and what they have written."""

    env: CoreEnvironment

    async def submit(
        self, policy: Policy = POLICY, who: ActingPerson = RINA, **changes: Any
    ) -> Request:
        return (await self.submitted(policy, who, **changes)).request

    async def submitted(
        self, policy: Policy = POLICY, who: ActingPerson = RINA, **changes: Any
    ) -> Submitted:
        asked = submission(**{"read_at": self.env.clock.now, **changes})
        return await self.env.requests.submit(who, policy, asked)

    async def let_run(
        self, who: ActingPerson, request: Request | None = None, *, feed_is_readable: bool = False
    ) -> LetRunDecision:
        return await self.env.requests.let_run(
            REF,
            request.id if request else None,
            who,
            AUTO_CANCEL,
            reason="a test",
            feed_is_readable=feed_is_readable,
        )

    async def auto_cancel(self) -> AutoCancelStep:
        return await self.env.requests.auto_cancel(REF, AUTO_CANCEL)

    async def lines(self) -> list[dict[str, Any]]:
        return [dict(line) for _, line in await self.env.log.page(0, None, None)]

    async def actors(self) -> list[tuple[str, str | None]]:
        return [(line["event"], line["actor"]) for line in await self.lines()]

    async def replies(self) -> list[tuple[ReplyKind, str | None, dict[str, Any]]]:
        found = [reply for item in await self.env.outbox.due(10) for reply in item.replies]
        return [(reply.kind, reply.actor, dict(reply.detail)) for reply in found]

    async def wanted_version(self) -> int:
        (delivery,) = await self.env.outbox.due(10)
        return delivery.wanted_version

    def wait(self, seconds: float) -> datetime:
        self.env.clock.advance(seconds)
        return self.env.clock.now
