"""The faults of a campaign: processes killed, ended, stopped; answers of Atlas and Slack lost."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from bot.sandbox.slack.faults import Kind as SlackKind
from tests.support.process import BotProcess
from tests.support.serving import Serving, pause, resume
from tests.tools.kills.calm import Calm
from tests.tools.kills.record import Process, Record

SLOTS = 3
#: Seconds in which a process must end after SIGTERM: five in the contract, on a busy machine.
END_WITHIN = 15.0
#: Seconds after the end of all faults in which a process is active and connected to Slack: those
#: of a dead holder's lease, and of a start, on a busy machine.
ACTIVE_WITHIN = 45.0
STEP = 0.25
ENTRY = Path(__file__).with_name("entry.py")
TRACEBACK = "Traceback (most recent call last)"
#: The SDK's error for an acknowledgement after its connection was closed: Slack sends it again.
CLOSED = "Cannot write to closing transport"
SLACK_METHODS = (
    *("chat.postMessage", "chat.update", "views.open", "views.update", "users.info"),
    *("usergroups.users.list", "auth.test", "apps.connections.open", "chat.getPermalink"),
)
GET, DELETE = "GET", "DELETE"

SLACK_KINDS: tuple[SlackKind, ...] = ("delay", "reset_after", "ratelimited", "error", "status")
Told = Literal["run", "kill", "term"]


def atlas_faults(chance: random.Random) -> list[Fault]:
    """Return faults of which one is taken at a time."""
    retry_after = chance.choice((None, 1, 2))
    return [
        Fault(kind=Kind.HANG, method=DELETE),
        Fault(kind=Kind.HANG_AFTER, method=DELETE),
        Fault(kind=Kind.RESET_BEFORE, method=DELETE),
        Fault(kind=Kind.RESET_AFTER, method=DELETE),
        Fault(kind=Kind.CUT_BODY, method=DELETE),
        Fault(kind=Kind.STATUS, method=DELETE, status=chance.choice((500, 502, 503)), times=2),
        Fault(kind=Kind.STATUS, method=DELETE, status=429, retry_after=retry_after),
        Fault(kind=Kind.ERROR, method=DELETE, code="WRITES_NOT_ALLOWED_DURING_APP_UPGRADES"),
        Fault(kind=Kind.STALE_READ, method=DELETE, reads=chance.choice((1, 2, 5))),
        Fault(kind=Kind.DELAY, method=DELETE, seconds=chance.uniform(0.5, 6.0)),
        Fault(kind=Kind.HANG, method=GET),
        Fault(kind=Kind.DELAY, method=GET, seconds=chance.uniform(0.5, 4.0), times=3),
        Fault(kind=Kind.STATUS, method=GET, status=chance.choice((500, 503, 404)), times=2),
        Fault(kind=Kind.STATUS, method=GET, status=429, retry_after=retry_after, times=2),
        Fault(kind=Kind.HTML, method=GET),
        Fault(kind=Kind.RESET_BEFORE, times=2, on="any"),
        Fault(kind=Kind.FORGET_NONCES, times=2),
    ]


def slack_fault(chance: random.Random) -> SlackFault:
    kind: SlackKind = chance.choice(SLACK_KINDS)
    return SlackFault(kind=kind, seconds=float(chance.choice((1, 1, 2, 4))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long a campaign is; pairs are the bounds of seconds."""

    requests: int
    downloads: int  #: at most: people leave some alone
    storm: tuple[float, float] = (15.0, 35.0)
    calm: tuple[float, float] = (8.0, 12.0)
    hits: tuple[float, float] = (2.0, 9.0)  #: between two processes that are killed or stopped
    cut: float = 5.0  #: seconds for which Slack counts a connection that was cut
    linger: tuple[float, float] = (2.0, 45.0)  #: until a download ends by other means
    ends_all: bool = True  #: whether those end that the bot does not cancel


@dataclass(eq=False)
class Slot:
    """The place of one process: it is started again after each end."""

    bot: BotProcess
    process: Process
    told: Told = "run"
    told_at: float = 0.0
    stopped_at: float | None = None
    resume_at: float = 0.0
    restart_at: float = 0.0

    @property
    def is_running(self) -> bool:
        return self.bot.code is None


@dataclass(eq=False)
class Chaos:
    """Storms and calms, until it is told that nobody acts any more."""

    serving: Serving
    record: Record
    calm: Calm
    chance: random.Random
    size: Size
    _slots: list[Slot] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)  #: of processes that ended

    async def start(self) -> None:
        for _ in range(SLOTS):
            self._slots.append(await self._new())
        await self._is_active()

    async def _new(self) -> Slot:
        url = await self.serving.atlas.listen_again()
        host = url.removeprefix("http://")
        process = Process(name=f"process {len(self.record.processes)}", host=host)
        self.record.processes[host] = process
        environ = {**self.serving.environ, "MONGODB_ATLAS_BASE_URL": url}
        bot = BotProcess(environ, program=(str(ENTRY), "serve"))
        bot.__enter__()
        self.record.note(process.name, f"started, pid {bot.pid}")
        return Slot(bot, process)

    async def run(self, is_over: Callable[[], bool]) -> None:
        """Storm and calm by turns."""
        while not is_over():
            await self._storm(self.chance.uniform(*self.size.storm), is_over)
            await self.end_faults()
            await self._be_calm(self.chance.uniform(*self.size.calm), is_over)

    async def _storm(self, seconds: float, is_over: Callable[[], bool]) -> None:
        began = time.monotonic()
        act_at, fault_at = began + self.chance.uniform(*self.size.hits), began
        while (now := time.monotonic()) < began + seconds and not is_over():
            await self._look_after()
            if now >= fault_at:
                fault_at = now + self.chance.uniform(0.5, 1.5)
                await self._fault()
            if now >= act_at:
                act_at = now + self.chance.uniform(*self.size.hits)
                self._hit()
            await asyncio.sleep(STEP)

    async def _fault(self) -> None:
        self.record.counts["faults"] += 1
        which = self.chance.random()
        if which < 0.5:
            self.serving.atlas.faults.add(self.chance.choice(atlas_faults(self.chance)))
        elif which < 0.9:
            method = self.chance.choice(SLACK_METHODS)
            times = self.chance.choice((1, 1, 3))
            self.serving.slack.faults.add(method, slack_fault(self.chance), times)
        elif which < 0.95:
            await self.serving.slack.sockets.cut(abruptly=self.chance.random() < 0.5)
        else:
            self.serving.slack.sockets.half_open()

    def _hit(self) -> None:
        """Kill, end or stop a process."""
        running = [s for s in self._slots if s.is_running and s.told == "run" and not s.stopped_at]
        if not running:
            return
        slot = self.chance.choice(running)
        match self.chance.choice(("kill", "kill", "term", "stop", "stop")):
            case "kill":
                self._tell(slot, "kill")
            case "term":
                self._tell(slot, "term")
            case _:
                slot.stopped_at = time.time()
                slot.resume_at = time.monotonic() + self.chance.choice((0.3, 3.0, 8.0, 14.0, 20.0))
                self.record.counts["stop"] += 1
                self.record.note(slot.process.name, "SIGSTOP")
                pause(slot.bot)

    def _tell(self, slot: Slot, told: Told) -> None:
        if not slot.is_running:
            return
        slot.told, slot.told_at = told, time.monotonic()
        self.record.counts[told] += 1
        self.record.note(slot.process.name, told)
        os.kill(slot.bot.pid, signal.SIGKILL if told == "kill" else signal.SIGTERM)

    def _resume(self, slot: Slot) -> None:
        if slot.stopped_at is None:
            return
        slot.process.stops.append((slot.stopped_at, time.time()))
        slot.stopped_at = None
        self.record.note(slot.process.name, "SIGCONT")
        if slot.is_running:
            resume(slot.bot)

    async def _look_after(self) -> None:
        """Continue what was stopped, check what ended, and start it again."""
        now = time.monotonic()
        for number, slot in enumerate(self._slots):
            if slot.stopped_at is not None and now >= slot.resume_at:
                self._resume(slot)
            if slot.is_running:
                await self._check_end(slot)
            elif not slot.restart_at:
                self._ended(slot)
                slot.restart_at = now + self.chance.choice((0.1, 1.0, 3.0))
            elif now >= slot.restart_at:
                slot.bot.__exit__()
                self._slots[number] = await self._new()

    async def _check_end(self, slot: Slot) -> None:
        """End a process that does not end after SIGTERM, with its stacks."""
        if slot.told != "term" or time.monotonic() < slot.told_at + END_WITHIN:
            return
        os.kill(slot.bot.pid, signal.SIGUSR1)
        os.kill(slot.bot.pid, signal.SIGUSR2)
        await asyncio.sleep(1.0)
        if slot.is_running:
            stacks = slot.bot.log[-20_000:]
            self.record.found.append(("no end after SIGTERM", slot.process.name, stacks))
        slot.bot.kill()
        slot.told = "kill"

    def _ended(self, slot: Slot) -> None:
        """Check how a process ended."""
        name, code = slot.process.name, slot.bot.code
        self.record.note(name, f"ended with {code}")
        self.logs[name] = slot.bot.log
        # Before the handler of SIGTERM is there, the signal itself ends the process.
        is_early = slot.bot.port == 0
        expected: dict[Told, set[int]] = {
            "run": set(),
            "kill": {-signal.SIGKILL},
            "term": {0, -signal.SIGTERM} if is_early else {0},
        }
        if slot.told == "term":
            seconds = int(time.monotonic() - slot.told_at)
            self.record.counts["slowest end, s"] = max(
                self.record.counts["slowest end, s"], seconds
            )
        if code not in expected[slot.told]:
            what = f"code {code}, told to {slot.told}\n{slot.bot.log[-5000:]}"
            self.record.found.append(("exit that nobody asked for", name, what))
        lines = slot.bot.log.splitlines()
        for number, line in enumerate(lines):
            if TRACEBACK in line and CLOSED not in line:
                what = "\n".join(lines[max(0, number - 5) : number + 60])
                self.record.found.append(("traceback in a log", name, what))

    async def end_faults(self) -> None:
        """Take every fault away, and wait until one process is active and connected."""
        self.serving.atlas.faults.clear()
        self.serving.slack.faults.clear()
        for slot in self._slots:
            self._resume(slot)
        await asyncio.sleep(self.size.cut)
        began = time.monotonic()
        if not await self._is_active():
            self.record.found.append(("nobody is active", "", self._states()))
        seconds = int(time.monotonic() - began)
        self.record.counts["slowest recovery, s"] = max(
            self.record.counts["slowest recovery, s"], seconds
        )

    async def _is_active(self) -> bool:
        """Wait until one process is ready as the active one, and has the only connection."""
        sockets = self.serving.slack.sockets
        deadline = time.monotonic() + ACTIVE_WITHIN
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while time.monotonic() < deadline:
                await self._look_after()
                roles = [await _role(slot.bot, session) for slot in self._slots]
                is_connected = sockets.connections == sockets.registered == 1
                if roles.count("active") == 1 and None not in roles and is_connected:
                    return True
                await asyncio.sleep(STEP)
        return False

    def _states(self) -> str:
        return "\n\n".join(f"{s.process.name}: {s.bot.log[-2000:]}" for s in self._slots)

    async def _be_calm(self, seconds: float, is_over: Callable[[], bool]) -> None:
        """Plan no fault for a while, and until each click has its answer."""
        self.calm.is_calm = True
        until = time.monotonic() + seconds
        while time.monotonic() < until and not is_over():  # noqa: ASYNC110 - a condition of time
            await asyncio.sleep(STEP)
        await self.calm.end()

    async def stop(self) -> None:
        """End all processes at once."""
        for slot in self._slots:
            self._tell(slot, "term")
        while any(slot.is_running for slot in self._slots):
            for slot in self._slots:
                await self._check_end(slot)
            await asyncio.sleep(STEP)
        for slot in self._slots:
            if not slot.restart_at:
                self._ended(slot)

    def close(self) -> None:
        for slot in self._slots:
            slot.bot.__exit__()


async def _role(bot: BotProcess, session: aiohttp.ClientSession) -> str | None:
    """Return the role of a process that is ready, None of any other."""
    try:
        async with session.get(f"{bot.url}/readyz") as answer:
            return str((await answer.json())["role"]) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None
