"""Random faults; the same seed gives about the same faults, as far as the machine keeps pace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM, Signals
from typing import TYPE_CHECKING, Generic, TypeVar

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from tests.tools.campaign.faults.proxy import PROXY_FAULTS, ProxyFault

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from bot.sandbox.atlas import FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer
    from bot.sandbox.slack.faults import Kind as SlackKind
    from tests.support.postgres import PostgresServer
    from tests.tools.campaign.faults.proxy import FaultyProxy
    from tests.tools.campaign.replicas import Replica

T = TypeVar("T")

Action = Callable[[], Awaitable[str | None]]

#: Range of the seconds of a pause; some are longer than a lease.
PAUSE_BOT = (0.5, 14.0)
PAUSE_DATABASE = (0.3, 4.0)

#: Maximum number of faults that wait for calls; more would all hit a bot that starts, and keep it
#: from starting as long as faults are injected.
MAX_PENDING_FAULTS = 3

ATLAS_KINDS = (
    Kind.DELAY,
    Kind.RESET_BEFORE,
    Kind.RESET_AFTER,
    Kind.HANG,
    Kind.HANG_AFTER,
    Kind.HTML,
    Kind.TRUNCATED,
    Kind.WRONG_SHAPE,
    Kind.EMPTY,
    Kind.CUT_BODY,
    Kind.STALE_READ,
    Kind.FORGET_NONCES,
)
STATUSES = (429, 500, 502, 503, 504)
ATLAS_FAULTS = (
    *((kind, 500) for kind in ATLAS_KINDS),
    *((Kind.STATUS, status) for status in STATUSES),
)
SLACK_KINDS: tuple[SlackKind, ...] = (
    "delay",
    "reset_before",
    "reset_after",
    "ratelimited",
    "error",
    "garbage",
)
SLACK_FAULTS: tuple[tuple[SlackKind, int], ...] = (
    *((kind, 500) for kind in SLACK_KINDS),
    *(("status", status) for status in STATUSES[1:]),  # its 429 has a name of its own
)


@dataclass(frozen=True, slots=True)
class InjectedFault:
    """One injected fault: its begin and end (wall clock), its name, and its details."""

    at: float
    until: float
    what: str
    detail: str


class ShuffleBag(Generic[T]):
    """A random choice in which every item comes once before any comes again."""

    def __init__(self, rng: random.Random, items: Sequence[T]) -> None:
        self._rng = rng
        self._items = items
        self._left: list[T] = []

    def draw(self) -> T:
        if not self._left:
            self._left = self._rng.sample(self._items, len(self._items))
        return self._left.pop()


@dataclass(slots=True)
class FaultInjector:
    """Injects faults at random until it is cancelled."""

    rng: random.Random
    slack: FakeSlackServer
    atlas: FakeAtlasServer
    replicas: list[Replica]
    to_slack: FaultyProxy
    to_atlas: FaultyProxy
    to_bot: FaultyProxy | None  # Slack's way in, in HTTP mode
    postgres: PostgresServer | None
    faults: list[InjectedFault] = field(default_factory=list)
    more: dict[str, tuple[int, Action]] = field(default_factory=dict)  # further actions
    failed_actions: list[str] = field(default_factory=list)  # their errors
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _database_busy: bool = False
    _slack_faults: ShuffleBag[tuple[SlackKind, int]] = field(init=False)
    _atlas_faults: ShuffleBag[tuple[Kind, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._slack_faults = ShuffleBag(self.rng, SLACK_FAULTS)
        self._atlas_faults = ShuffleBag(self.rng, ATLAS_FAULTS)

    async def inject(self, mean: float) -> None:
        """Inject a fault per bot every `mean` seconds on average, until cancelled."""
        actions = self._actions() | self.more
        names, weights = list(actions), [weight for weight, _ in actions.values()]
        while True:
            await asyncio.sleep(self.rng.expovariate(len(self.replicas) / mean))
            (name,) = self.rng.choices(names, weights)
            # An action may last; others may begin meanwhile.
            task = asyncio.create_task(self._run_action(name, actions[name][1]))
            self._running.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.failed_actions.append(repr(error))

    async def remove_faults(self) -> None:
        """Wait for running actions, and remove every fault."""
        if self._running:
            await asyncio.wait(set(self._running))
        self.slack.faults.clear()
        self.atlas.faults.clear()
        self.slack.sockets.freeze(frozen=False)
        for proxy in filter(None, (self.to_slack, self.to_atlas, self.to_bot)):
            proxy.faults.clear()

    def _actions(self) -> dict[str, tuple[int, Action]]:
        """Return the actions, each with its weight."""
        actions: dict[str, tuple[int, Action]] = {
            "bot: SIGKILL": (5, self._signal_bot(SIGKILL)),
            "bot: SIGTERM": (3, self._signal_bot(SIGTERM)),
            "bot: paused": (3, self._pause_bot),
            "slack: faulty answer": (10, self._add_slack_fault),
            "slack: broken connection": (8, self._break(self.to_slack)),
            "atlas: faulty answer": (12, self._add_atlas_fault),
            "atlas: broken connection": (8, self._break(self.to_atlas)),
        }
        if self.to_bot:
            actions["slack to bot: broken connection"] = (8, self._break(self.to_bot))
        else:
            actions["socket: cut"] = (4, self._cut_socket)
            actions["socket: half open"] = (1, self._freeze_socket)
        if self.postgres:
            actions["database: crashed"] = (2, self._restart_database(SIGQUIT))
            actions["database: restarted"] = (2, self._restart_database(SIGINT))
            actions["database: paused"] = (3, self._pause_database)
            actions["database: connections ended"] = (3, self._end_connections)
        return actions

    async def _run_action(self, name: str, action: Action) -> None:
        at = time.time()
        detail = await action()
        if detail is not None:
            self.faults.append(InjectedFault(at, time.time(), name, detail))

    def _signal_bot(self, what: Signals) -> Action:
        async def action() -> str | None:
            replica = self.rng.choice(self.replicas)
            if replica.paused or (what is SIGTERM and replica.is_stopping):
                return None
            return replica.name if replica.send(what) else None

        return action

    async def _pause_bot(self) -> str | None:
        replica, seconds = self.rng.choice(self.replicas), self.rng.uniform(*PAUSE_BOT)
        if replica.paused or not await replica.pause(seconds):
            return None
        return f"{replica.name} {seconds:.1f} s"

    async def _add_slack_fault(self) -> str | None:
        if sum(map(len, self.slack.faults._queue.values())) >= MAX_PENDING_FAULTS:
            return None
        kind, status = self._slack_faults.draw()
        seconds = self.rng.uniform(0.5, 4.0)
        fault = SlackFault(kind=kind, seconds=seconds, status=status, code="internal_error")
        times = self.rng.randint(1, 4)
        self.slack.faults.add("*", fault, times)
        return f"{kind} x{times}"

    async def _add_atlas_fault(self) -> str | None:
        if len(self.atlas.faults.active) >= MAX_PENDING_FAULTS:
            return None
        kind, status = self._atlas_faults.draw()
        fault = Fault(
            kind=kind,
            method=self.rng.choice(["DELETE", "GET", None]),
            times=self.rng.randint(1, 3),
            seconds=self.rng.uniform(0.5, 6.0),
            status=status,
            retry_after=self.rng.choice([None, 1, 3]),
        )
        self.atlas.faults.add(fault)
        named = f" {fault.status}" if kind is Kind.STATUS else ""
        return f"{kind.value}{named} {fault.method or 'any'} x{fault.times}"

    def _break(self, proxy: FaultyProxy) -> Action:
        kinds = ShuffleBag(self.rng, list(PROXY_FAULTS))

        async def action() -> str | None:
            if len(proxy.faults) >= MAX_PENDING_FAULTS:
                return None
            times = self.rng.randint(1, 3)
            faults = [ProxyFault(kinds.draw(), self.rng.uniform(0.2, 4.0)) for _ in range(times)]
            proxy.faults.extend(faults)
            return ", ".join(fault.kind for fault in faults)

        return action

    async def _cut_socket(self) -> str:
        variant = self.rng.choice(["cut", "closed", "warning", "refresh_requested"])
        if variant in ("cut", "closed"):
            await self.slack.sockets.cut(abruptly=variant == "cut")
        else:
            await self.slack.sockets.disconnect(variant)
        return variant

    async def _freeze_socket(self) -> str:
        seconds = self.rng.uniform(1.0, 6.0)
        self.slack.sockets.freeze()
        await asyncio.sleep(seconds)
        self.slack.sockets.freeze(frozen=False)
        return f"{seconds:.1f} s"

    def _restart_database(self, variant: Signals) -> Action:
        async def action() -> str | None:
            assert self.postgres
            if self._database_busy:
                return None
            self._database_busy = True
            try:
                await asyncio.to_thread(self.postgres.stop, variant)
                seconds_down = self.rng.uniform(0.0, 3.0)
                await asyncio.sleep(seconds_down)
                await asyncio.to_thread(self.postgres.start)
            finally:
                self._database_busy = False
            return f"down {seconds_down:.1f} s"

        return action

    async def _pause_database(self) -> str | None:
        assert self.postgres
        if self._database_busy:
            return None
        self._database_busy = True
        seconds = self.rng.uniform(*PAUSE_DATABASE)
        try:
            self.postgres.pause()
            await asyncio.sleep(seconds)
        finally:
            self.postgres.resume()
            self._database_busy = False
        return f"{seconds:.1f} s"

    async def _end_connections(self) -> str | None:
        assert self.postgres
        if self._database_busy:
            return None
        ended = await asyncio.to_thread(
            self.postgres.execute,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'cancel-restore'",
        )
        return f"{ended} of them"
