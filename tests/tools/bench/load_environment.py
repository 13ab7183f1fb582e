"""The environment of load tests: the bot or a peer on one core, all other processes on the rest."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY
from tests.support.process import BotProcess, surroundings
from tests.tools.bench.load import Plan, Sent
from tests.tools.bench.peers.atlas import job_of
from tests.tools.bench.sign import SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from types import TracebackType

Json = dict[str, Any]

#: Seconds for the start of a program.
START_TIMEOUT = 120.0

#: More downloads than loads of commands, each of which names another one.
JOBS = 100


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Pin programs that are started meanwhile: 0 is the core of the bot, 1 are all others.

    Nothing is pinned on machines with one core or without CPU affinity.
    """
    allowed = _cores()
    if len(allowed) < 2:
        yield
        return
    os.sched_setaffinity(0, allowed[:1] if number == 0 else allowed[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pinned() -> str:
    """Return a sentence about the distribution of the programs."""
    if len(_cores()) < 2:
        return "Nothing is pinned: the machine has one core or no CPU affinity."
    return "The bot or peer is pinned to one core; Slack, Atlas and the load share the others."


class Program:
    """A program that prints its port in one JSON line; a context manager that kills it."""

    def __init__(self, *command: str, core: int) -> None:
        environ = surroundings() | {"SLACK_SIGNING_SECRET": SECRET}
        with on_core(core):
            self._process = subprocess.Popen(
                command, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    async def ready_line(self) -> Json:
        """Return the JSON line; raises `TimeoutError`."""
        assert self._process.stdout
        reading = asyncio.to_thread(self._process.stdout.readline)
        return dict(json.loads(await asyncio.wait_for(reading, START_TIMEOUT)))


def python(module: str, core: int = 1) -> Program:
    return Program(sys.executable, "-m", module, core=core)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadEnvironment:
    """The bot with a minimal fake Slack and a fake Atlas, and the sender of commands."""

    bot: BotProcess
    slack: str
    session: aiohttp.ClientSession
    _numbers: Iterator[int] = field(default_factory=count)

    async def send_commands(
        self, port: int, rate: float, count: int, texts: Sequence[str] = ()
    ) -> list[Sent]:
        """Send commands to `port` from a separate process; without `texts` about one new job."""
        texts = texts or [self.next_job()]
        answers = f"{self.slack}/answers"
        plan = Plan(port, SECRET, answers, rate, count, texts)
        with on_core(1):
            loading = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.tools.bench.load", json.dumps(asdict(plan))),
                env=surroundings(),
                stdout=subprocess.PIPE,
            )
        out, _ = await loading.communicate()
        return [Sent(*each) for each in json.loads(out)]

    def next_job(self) -> str:
        """Return the arguments of a command about a download that no command named yet."""
        number = next(self._numbers)
        return f"cluster-{number} {job_of(number)}"

    async def stamps(self) -> Json:
        async with self.session.get(f"{self.slack}/stamps") as answer:
            return dict(await answer.json())

    async def wait_until_settled(self, sent: Sequence[Sent], seconds: float) -> Json:
        """Return the records of the fake Slack once all commands are answered, and clear them."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        noted = await self.stamps()
        while len(_answered(noted)) < len(sent) and loop.time() < until:
            await asyncio.sleep(0.2)
            noted = await self.stamps()
        await self.session.delete(f"{self.slack}/stamps")
        return noted


def _answered(noted: Json) -> set[str]:
    return {*noted["updated"], *noted["notified"]}


@asynccontextmanager
async def open_load_environment() -> AsyncIterator[LoadEnvironment]:
    """Start everything; the fake Atlas has no rate limit."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cancel-restore-bench-"))
        slack = await stack.enter_context(python("tests.tools.bench.peers.slack")).ready_line()
        atlas = await stack.enter_context(
            Program(sys.executable, "-m", "tests.tools.bench.peers.atlas", str(JOBS), core=1)
        ).ready_line()
        address, atlas_url = (f"http://127.0.0.1:{each['port']}" for each in (slack, atlas))
        with on_core(0):
            bot = stack.enter_context(BotProcess(environment(address, atlas_url, folder)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        env = LoadEnvironment(bot=bot, slack=address, session=session)
        await bot.ready()
        yield env


def environment(slack: str, atlas: str, folder: str) -> dict[str, str]:
    """Return the bot's settings: HTTP mode, digest key, one project, SQLite."""
    return {
        "SLACK_BOT_TOKEN": "xoxb-bench",
        "SLACK_SIGNING_SECRET": SECRET,
        "SLACK_API_URL": f"{slack}/api/",
        "MONGODB_ATLAS_PUBLIC_API_KEY": PUBLIC_KEY,
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEY,
        "MONGODB_ATLAS_PROJECT_ID": PROJECT_ID,
        "MONGODB_ATLAS_BASE_URL": atlas,
        "DATABASE_URL": f"sqlite:///{folder}/bot.db",
    }


def peer(name: str) -> Program:
    """Start one of the Python peers on the core of the bot."""
    return python(f"tests.tools.bench.peers.{name}", core=0)
