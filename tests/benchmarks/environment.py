"""Real bots between the fake servers: that of this tree, and that of an older commit."""

import os
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import (
    PRIVATE_KEY,
    PROJECT_ID,
    PUBLIC_KEY,
    Behaviour,
    FakeAtlasServer,
    RestoreJob,
)
from bot.sandbox.atlas.auth.credentials import Role
from bot.sandbox.atlas.world import Cluster, World
from bot.sandbox.slack import Channel, FakeSlackServer
from bot.sandbox.slack import Settings as SlackSettings
from bot.sandbox.slack.event_bus import ChangeEvent
from tests.support.environ import bot_environ
from tests.support.process import BotProcess

Json = dict[str, Any]

CLUSTER = "prod-eu"
JOB_ID = re.compile(r"\b[0-9a-f]{24}\b")
STEP_TIMEOUT = 30.0  #: seconds for a step of one cancellation on a busy machine
CHANNELS = 200  #: in turn, so that no channel gets more than Slack's one message a second


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure, and the older commits to compare with."""

    is_quick: bool = False  #: a few rounds, to test that everything starts
    is_long: bool = False  #: hours instead of minutes
    old: Mapping[str, Path] = field(default_factory=dict)  #: trees by commit

    def pick(self, quick: int, normal: int, long: int | None = None) -> int:
        if self.is_quick:
            return quick
        return normal if long is None or not self.is_long else long

    def editions(self) -> dict[str, Path | None]:
        """Return the trees of the bots by the name that figures use; None is this one."""
        return {"bot": None, **self.old}


@dataclass(slots=True, kw_only=True)
class BotEnvironment:
    """A bot between its own two fake servers, and what people do."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    bot: BotProcess
    #: When the message of a job was posted, and when Slack first showed that it is cancelled.
    announced: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    _started: set[str] = field(default_factory=set)  # the ids of jobs
    _jobs: dict[str, str] = field(default_factory=dict)  # by the `ts` of their messages
    _turns: "count[int]" = field(default_factory=count)

    def start_download(self, cluster: Cluster | None = None) -> RestoreJob:
        """Start a download in a cluster, by default in that of the example's world."""
        cluster = cluster or self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
        job = self.atlas.world.add_job(cluster)
        self._started.add(job.id)
        return job

    def note(self, event: ChangeEvent) -> None:
        """Note posts, and the first edit or reply that says that a download was cancelled."""
        message = event.data.get("message") or {}
        ts, now = message.get("ts", ""), time.perf_counter()
        root = message.get("thread_ts", ts)
        if event.kind == "message" and root == ts:
            ids = JOB_ID.findall(str(message["blocks"]))
            job_id = self._jobs[ts] = next(filter(self._started.__contains__, ids), "")
            self.announced.setdefault(job_id, now)
        payload = (message.get("metadata") or {}).get("event_payload") or {}
        if root in self._jobs and (root != ts or payload.get("state") == "cancelled"):
            self.ended.setdefault(self._jobs[root], now)

    async def open_dialog(
        self, job: RestoreJob, person: str = "rina", place: str = CLUSTER
    ) -> Json:
        """Send the command in the next channel, and return the dialog once it shows the job."""
        before = self.slack.state.view_of(person)
        channel = channel_id(next(self._turns) % CHANNELS)
        line = f"/cancel-restore {place} {job.id}"
        ack = await self.slack.people.types(person, channel, line)
        assert ack.ok, ack

        def filled() -> Json | None:
            view = self.slack.state.view_of(person)
            is_new = view and (before is None or view["id"] != before["id"])
            return view if view and is_new and view.get("submit") else None

        view = await self.slack.until(filled, STEP_TIMEOUT)
        assert view
        return view

    async def submit(self, view: Json, person: str = "rina") -> None:
        ack = await self.slack.people.submits(person, view, {"reason": "started by mistake"})
        assert ack.ok, ack

    async def until_ended(self, job_id: str) -> float:
        """Return when Slack showed that a job is cancelled; raises `TimeoutError` with the log."""
        try:
            return await self.slack.until(lambda: self.ended.get(job_id, 0.0), STEP_TIMEOUT)
        except TimeoutError as error:
            raise TimeoutError(f"{job_id} is not cancelled:\n{self.bot.log[-5000:]}") from error


@asynccontextmanager
async def open_bot(
    tree: Path | None = None,
    slack: FakeSlackServer | None = None,
    atlas: FakeAtlasServer | None = None,
    program: Sequence[str] = ("-m", "bot", "serve"),
    **environ: str,
) -> AsyncIterator[BotEnvironment]:
    """Start the bot of a tree, and its fake servers unless they run; it is ready then."""
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cancel-restore-bench-"))
        if atlas is None:
            atlas = await stack.enter_async_context(new_atlas())
        if slack is None:
            slack = await stack.enter_async_context(new_slack())
        variables = {**settings(slack, atlas, folder, tree), **environ}
        bot = stack.enter_context(BotProcess(variables, program))
        await bot.ready()
        env = BotEnvironment(slack=slack, atlas=atlas, bot=bot)
        stack.callback(slack.world.events.subscribe(env.note))
        yield env


def new_atlas(world: World | None = None) -> FakeAtlasServer:
    """Return a fake Atlas without limits of its own."""
    return FakeAtlasServer(world, behaviour=Behaviour(rate_capacity=100_000_000))


def new_slack(settings: SlackSettings | None = None) -> FakeSlackServer:
    """Return a fake Slack with many channels, of which Rina and the bot are members."""
    slack = FakeSlackServer(settings=settings)
    members = {slack.workspace.user("rina").id, slack.workspace.app.bot_user}
    for number in range(CHANNELS):
        slack.workspace.add(
            Channel(id=channel_id(number), name=f"bench-{number}", members=set(members))
        )
    return slack


def channel_id(number: int) -> str:
    return f"C0BENCH{number:04d}"


def many_projects(
    projects: int, clusters: int, world: World | None = None
) -> tuple[World, list[Cluster]]:
    """Return a world of projects with their clusters, which one key may read and cancel in."""
    world = world or World()
    homes = [world.add_project(f"project-{number:02d}") for number in range(projects)]
    made = [
        world.add_cluster(homes[number % projects], f"cluster-{number:03d}")
        for number in range(clusters)
    ]
    roles = [Role.READ_ONLY, Role.RECOVERY_OPERATOR]
    world.add_key(PUBLIC_KEY, PRIVATE_KEY, {home.id: roles for home in homes})
    return world, made


@contextmanager
def projects_file(world: World) -> Iterator[dict[str, str]]:
    """Write the projects of a world; yield the variables of a bot that reads them."""
    keys = 'public_key_env = "BENCH_PUBLIC_KEY"\nprivate_key_env = "BENCH_PRIVATE_KEY"\n'
    entries = (
        f'[[projects]]\nname = "{project.name}"\nid = "{project.id}"\n{keys}'
        for project in world.projects.values()
    )
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write("\n".join(entries))
        file.flush()
        yield {
            "BOT_PROJECTS_FILE": file.name,
            "MONGODB_ATLAS_PROJECT_ID": "",
            "MONGODB_ATLAS_PUBLIC_API_KEY": "",
            "MONGODB_ATLAS_PRIVATE_API_KEY": "",
            "BENCH_PUBLIC_KEY": PUBLIC_KEY,
            "BENCH_PRIVATE_KEY": PRIVATE_KEY,
        }


def settings(
    slack: FakeSlackServer, atlas: FakeAtlasServer, folder: str, tree: Path | None = None
) -> Mapping[str, str]:
    """Return the variables of a bot with its database in `folder`."""
    path = {"PYTHONPATH": str(tree)} if tree else {}
    return {**bot_environ(slack, atlas, f"sqlite:///{folder}/bot.db"), **path}


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
