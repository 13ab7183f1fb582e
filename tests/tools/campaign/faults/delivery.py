"""Slack's deliveries: unacknowledged ones are repeated; some come twice, some late."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.sandbox.slack.transport.delivery import Delivery

if TYPE_CHECKING:
    import random

    from bot.sandbox.slack import Ack, FakeSlackServer

    Json = dict[str, Any]

#: Repetitions of a delivery that was not acknowledged within three seconds.
RETRIES = 3

#: Seconds before each repetition.
PAUSES = (0.1, 0.5, 1.0)

#: Seconds after which the second copy of a doubled delivery comes, at the latest.
LATEST_COPY = 5.0


@dataclass(slots=True)
class DeliveryFaults:
    """Shares of faulty deliveries, from 0 to 1."""

    late: float = 0.0
    twice: float = 0.0


class FlakyDelivery(Delivery):
    """Takes the place of the fake server's own delivery."""

    def __init__(self, slack: FakeSlackServer, rng: random.Random) -> None:
        super().__init__(slack.world, slack.sockets, slack.http)
        self._rng = rng
        self.faults = DeliveryFaults()
        self.sent = 0
        self._copies: set[asyncio.Task[None]] = set()

    async def send(self, kind: str, payload: Json, **retry: object) -> Ack:
        self.sent += 1
        if self._rng.random() < self.faults.late:
            await asyncio.sleep(self._rng.uniform(0.1, 2.0))  # others overtake it
        if self._rng.random() < self.faults.twice:
            return await self._twice(kind, payload)
        return await self._send_until_acknowledged(kind, payload)

    async def _twice(self, kind: str, payload: Json) -> Ack:
        """Deliver another copy immediately or later."""
        copy = asyncio.create_task(self._copy(kind, payload))
        self._copies.add(copy)
        return await self._send_until_acknowledged(kind, payload)

    async def _copy(self, kind: str, payload: Json) -> None:
        await asyncio.sleep(self._rng.uniform(0.0, LATEST_COPY))
        await super().send(kind, payload, **_retry(1))

    async def stop(self) -> None:
        """Deliver without faults from now on, and wait for late copies."""
        self.faults.late = self.faults.twice = 0.0
        await asyncio.gather(*self._copies)

    async def _send_until_acknowledged(self, kind: str, payload: Json) -> Ack:
        ack = await super().send(kind, payload)
        for number, pause in enumerate(PAUSES[:RETRIES], 1):
            if ack.ok:
                return ack
            await asyncio.sleep(pause)
            ack = await super().send(kind, payload, **_retry(number))
        return ack


def _retry(number: int) -> Json:
    return {"retry_attempt": number, "retry_reason": "timeout"}
