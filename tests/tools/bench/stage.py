"""Sets the stage: the bot and its peers on one core, Slack, Atlas and the load on the other.

`python -m tests.tools.bench.stage` leaves it up until Ctrl-C, for load that
`tests.tools.bench.sign` signs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY
from tests.support.ending import end_in_order
from tests.support.process import BotProcess, surroundings
from tests.tools.bench.load import Plan, Sent
from tests.tools.bench.report import Missing
from tests.tools.bench.sign import CLUSTER, JOB, SECRET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from types import TracebackType

Json = dict[str, Any]

#: Seconds that `npm install`, or any program's start, may take.
PATIENCE = 120.0

BOLT_JS = Path(__file__).parent / "peers" / "bolt_js"


@contextmanager
def on_core(number: int) -> Iterator[None]:
    """Start programs on one core: the first is the bot's, all others are for the rest.

    On one core, or where a process cannot be pinned, nothing is pinned.
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
    """Say how the programs are spread."""
    if len(_cores()) < 2:
        return "Nothing is pinned: there is one core, or no way to pin."
    return "The bot or peer is pinned to one core; Slack, Atlas and the load share the others."


class Program:
    """A program that says where it listens in one JSON line; a context manager that ends it."""

    def __init__(self, *command: str, core: int, folder: str | None = None) -> None:
        environ = surroundings() | {"SLACK_SIGNING_SECRET": SECRET, "NODE_ENV": "production"}
        with on_core(core):
            self._process = subprocess.Popen(
                command, env=environ, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
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

    async def said(self) -> Json:
        """Return the line that it says once it listens; raises `TimeoutError`."""
        assert self._process.stdout
        reading = asyncio.to_thread(self._process.stdout.readline)
        return dict(json.loads(await asyncio.wait_for(reading, PATIENCE)))


def python(module: str, core: int = 1) -> Program:
    return Program(sys.executable, "-m", module, core=core)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The bot between a little Slack and the Atlas stand-in, and who sends commands."""

    bot: BotProcess
    slack: str
    atlas: str
    session: aiohttp.ClientSession

    async def sends(
        self, port: int, rate: float, count: int, texts: Sequence[str] = (JOB,)
    ) -> list[Sent]:
        """Let a process of its own send commands to `port`."""
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

    async def new_job(self) -> str:
        """Start a download at Atlas; what a person types about it."""
        job = await self.asks_atlas("POST", "jobs", {"project": PROJECT_ID, "cluster": CLUSTER})
        return f"{CLUSTER} {job['id']}"

    async def stamps(self) -> Json:
        async with self.session.get(f"{self.slack}/stamps") as answer:
            return dict(await answer.json())

    async def settled(self, sent: Sequence[Sent], seconds: float) -> Json:
        """Return what Slack has noted once every command has its answer, and let it forget."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        noted = await self.stamps()
        while len(_answered(noted)) < len(sent) and loop.time() < until:
            await asyncio.sleep(0.2)
            noted = await self.stamps()
        await self.session.delete(f"{self.slack}/stamps")
        return noted

    async def asks_atlas(self, method: str, path: str, given: Json) -> Json:
        """Change the Atlas stand-in by its control API."""
        url = f"{self.atlas}/_sandbox/{path}"
        async with self.session.request(method, url, json=given) as answer:
            answer.raise_for_status()
            return dict(await answer.json())


def _answered(noted: Json) -> set[str]:
    return {*noted["updated"], *noted["told"]}


@asynccontextmanager
async def open_stage() -> AsyncIterator[Stage]:
    """Start everything; the Atlas stand-in takes any number of calls."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cancel-restore-bench-"))
        slack = await stack.enter_context(python("tests.tools.bench.peers.slack")).said()
        atlas = (await stack.enter_context(python("bot.sandbox.atlas")).said())["atlas"]
        address = f"http://127.0.0.1:{slack['port']}"
        with on_core(0):
            bot = stack.enter_context(BotProcess(environment(address, atlas, folder)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stage = Stage(bot=bot, slack=address, atlas=atlas, session=session)
        await stage.asks_atlas("PATCH", "behaviour", {"rate_capacity": 10_000_000})
        await bot.ready()
        yield stage


def environment(slack: str, atlas: str, folder: str) -> dict[str, str]:
    """Return what a person would set: HTTP mode, digest key, one project, SQLite."""
    return {
        "SLACK_BOT_TOKEN": "xoxb-bench",
        "SLACK_SIGNING_SECRET": SECRET,
        "SLACK_API_URL": f"{slack}/api/",
        "MONGODB_ATLAS_PUBLIC_API_KEY": PUBLIC_KEY,
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEY,
        "MONGODB_ATLAS_PROJECT_ID": PROJECT_ID,
        "MONGODB_ATLAS_BASE_URL": atlas,
        "DATABASE_URL": f"sqlite:///{folder}/ledger.db",
    }


@contextmanager
def bolt_js() -> Iterator[Program]:
    """Install Bolt for JavaScript into a temporary folder, and start it; raises `Missing`."""
    if not shutil.which("npm") or not shutil.which("node"):
        raise Missing("node and npm are not here: apt-get install nodejs npm")
    with tempfile.TemporaryDirectory(prefix="bolt-js-") as folder:
        shutil.copytree(BOLT_JS, folder, dirs_exist_ok=True)
        quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--silent")
        installed = subprocess.run(
            ["npm", "install", *quiet],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if installed.returncode:
            raise Missing("npm could not install @slack/bolt: no registry is reached")
        with Program("node", "hello.js", core=0, folder=folder) as program:
            yield program


def peer(name: str) -> Program:
    """Start one of the Python peers, where the bot is."""
    return python(f"tests.tools.bench.peers.{name}", core=0)


async def stay() -> None:
    """Say where the bot and its peers listen, and stay until SIGINT or SIGTERM."""
    async with open_stage() as stage:
        with ExitStack() as stack:
            ports = {"bot": stage.bot.port}
            for name in ("bolt_hello", "bare_aiohttp"):
                ports[name] = (await stack.enter_context(peer(name)).said())["port"]
            try:
                ports["bolt_js"] = (await stack.enter_context(bolt_js()).said())["port"]
            except Missing as error:
                sys.stderr.write(f"{error}\n")
            for name, port in ports.items():
                sys.stdout.write(f"{name:12} http://127.0.0.1:{port}/slack/events\n")
            sys.stdout.flush()
            await asyncio.Event().wait()


if __name__ == "__main__":
    argparse.ArgumentParser(
        prog="python -m tests.tools.bench.stage", description=stay.__doc__
    ).parse_args()
    end_in_order()
    with suppress(KeyboardInterrupt):
        asyncio.run(stay())
