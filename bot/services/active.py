"""The role of this process: one is active, the others stand by for its lease."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from enum import StrEnum
from typing import Any

import structlog

from bot.cancellation.errors import StorageError
from bot.storage.database import first_cause
from bot.storage.lease import Lease
from bot.tasks import cancel_and_wait

TAKE_INTERVAL = 1.0  #: seconds between two tries of a standby
RENEW_INTERVAL = 2.0
#: Seconds for the active parts to end, and for the release: SIGTERM ends the process within five.
STOP_WITHIN, RELEASE_WITHIN = 3.0, 1.0
#: Seconds for which a command holds the lease before it releases it, and for which the lease must
#: be free before a command takes it: a bot that waits is first.
HOLD_FOR, FREE_FOR = 15.0, 2.0

log = structlog.get_logger(__name__)


class Role(StrEnum):
    ACTIVE = "active"
    STANDBY = "standby"


@dataclass(eq=False)
class RoleKeeper:
    """Takes, renews and releases the lease, and runs the active parts while it is held."""

    new_lease: Callable[[], Lease]
    #: Runs what the active process does until it is cancelled, and then stops it.
    run_active: Callable[[Lease], Coroutine[Any, Any, None]]
    _: KW_ONLY
    on_role: Callable[[Role], None] = lambda _role: None
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def __post_init__(self) -> None:
        self.role = Role.STANDBY
        self.has_asked = False  #: whether the lease was asked for once, so that the role is known

    async def run(self) -> None:
        """Stand by, then be active, until cancelled; then stop the parts and release the lease."""
        while True:
            lease = await self._stand_by()
            self._set(Role.ACTIVE)
            await self._be_active(lease)
            self._set(Role.STANDBY)
            await self.sleep(TAKE_INTERVAL)

    async def _stand_by(self) -> Lease:
        """Return the lease once it is taken: a new one, with which no earlier part can write."""
        lease = self.new_lease()
        while True:
            try:
                is_taken = await lease.take()
                self.has_asked = True
                if is_taken:
                    return lease
            except StorageError as error:
                log.warning("lease not taken", why=first_cause(error))
            await self.sleep(TAKE_INTERVAL)

    async def _be_active(self, lease: Lease) -> None:
        """Run the active parts until the lease is lost or has run out."""
        running = asyncio.create_task(self.run_active(lease), name="active parts")
        renewing = asyncio.create_task(self._renew(lease), name="lease")
        try:
            await asyncio.wait({running, renewing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(renewing)
            running.cancel()
            await asyncio.wait({running}, timeout=STOP_WITHIN)
            await self._release(lease)
        if not running.done():
            log.error("active parts do not end")
        elif not running.cancelled() and (error := running.exception()):
            log.error("active parts failed", exc_info=error)

    async def _renew(self, lease: Lease) -> None:
        """Renew the lease until another process has it, or may have it."""
        while True:
            await self.sleep(RENEW_INTERVAL)
            try:
                if not await lease.renew():
                    log.error("lease lost: another process is active")
                    return
            except StorageError as error:
                log.warning("lease not renewed", why=first_cause(error))
                if not lease.is_held:
                    log.warning("lease lost: the database does not answer")
                    return

    async def _release(self, lease: Lease) -> None:
        try:
            async with asyncio.timeout(RELEASE_WITHIN):
                await lease.release()
        except (StorageError, TimeoutError) as error:
            log.warning("lease not released", why=first_cause(error))

    def _set(self, role: Role) -> None:
        self.role = role
        log.info("role", role=str(role))
        self.on_role(role)


async def hold_in_turns(
    lease: Lease,
    is_sending: Callable[[], bool],
    *,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Hold the lease for a command while no bot wants it, until cancelled.

    The command runs one request, and a bot watches all downloads. So the command leaves the lease
    from time to time, but not while a DELETE is out.
    """
    leave_at = 0.0
    while True:
        with suppress(StorageError):
            if lease.number is None:
                if await lease.take(FREE_FOR):
                    leave_at = monotonic() + HOLD_FOR
            elif monotonic() < leave_at or is_sending():
                await lease.renew()
            else:
                await lease.release()
        await sleep(RENEW_INTERVAL if lease.is_held else TAKE_INTERVAL)
