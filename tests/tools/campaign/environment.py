"""The environment of a campaign: fake servers behind proxies, bots as processes, a database."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Literal

from bot.sandbox.atlas import PRIVATE_KEY, PUBLIC_KEY, Behaviour, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack import Settings as SlackSettings
from tests.tools.campaign.faults.delivery import FlakyDelivery
from tests.tools.campaign.faults.faketime import faketime
from tests.tools.campaign.faults.injector import FaultInjector
from tests.tools.campaign.faults.proxy import FaultyProxy
from tests.tools.campaign.people import People
from tests.tools.campaign.replicas import Replica
from tests.tools.campaign.worlds import (
    MessageTracker,
    build_workspace,
    build_world,
    start_job,
    write_projects,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.atlas.world import World
    from tests.support.postgres import PostgresServer
    from tests.tools.campaign.checks.observations import Observations
    from tests.tools.campaign.checks.rules import Violation

Mode = Literal["socket", "http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One part of a campaign.

    Attributes:
        name: what the table calls it.
        mode: how Slack reaches the bot.
        replicas: how many bots there are.
        people: how many members the workspace has, besides the approvers.
        clock: whether the bots' clocks can be set.
        direct: whether the bots reach the services without proxies that break.
        client_msg_id: whether this Slack knows a repeated post.
        calls_a_minute: how many calls about backups Atlas takes for each project.
        quarantine: whether downloads start in quarantine; the first look at the clusters takes the
            bots up to a minute.
    """

    name: str
    mode: Mode
    replicas: int
    people: int = 0
    clock: bool = False
    direct: bool = False
    client_msg_id: Literal["dedupe", "ignore"] = "dedupe"
    calls_a_minute: int = Behaviour().rate_refill
    quarantine: bool = True


@dataclass(slots=True, kw_only=True)
class CampaignEnvironment:
    """Everything that runs."""

    plan: Plan
    folder: Path
    slack: FakeSlackServer
    atlas: FakeAtlasServer
    postgres: PostgresServer | None
    database_url: str
    to_slack: FaultyProxy
    to_atlas: FaultyProxy
    to_bot: FaultyProxy
    delivery: FlakyDelivery
    messages: MessageTracker
    known: set[str]
    rng: random.Random
    replicas: list[Replica] = field(default_factory=list)
    _turns: count[int] = field(default_factory=count)

    @property
    def secrets(self) -> tuple[str, ...]:
        app = self.slack.workspace.app
        return (app.bot_token, app.app_token, app.signing_secret, PRIVATE_KEY)

    @property
    def logs(self) -> list[Path]:
        """The logs of the bots, a file for each process that has ended."""
        return sorted(self.folder.glob("*.log"))

    def environment(self) -> dict[str, str]:
        way = {
            "socket": {"SLACK_APP_TOKEN": self.slack.app_token},
            "http": {"SLACK_SIGNING_SECRET": self.slack.signing_secret},
        }
        return {
            "SLACK_BOT_TOKEN": self.slack.bot_token,
            "SLACK_API_URL": f"{self._through(self.to_slack, self.slack.base_url)}/api/",
            "SHOP_PUBLIC_KEY": PUBLIC_KEY,
            "SHOP_PRIVATE_KEY": PRIVATE_KEY,
            "MONGODB_ATLAS_BASE_URL": self._through(self.to_atlas, self.atlas.url),
            "BOT_PROJECTS_FILE": str(self.folder / "projects.toml"),
            "DATABASE_URL": self.database_url,
            "BOT_WATCH_INTERVAL": "5",
            **way[self.plan.mode],
        }

    def _through(self, proxy: FaultyProxy, url: str) -> str:
        return url if self.plan.direct else f"http://127.0.0.1:{proxy.port}"

    def people(self) -> People:
        return People(self.slack, self.messages, self.rng, self.new_job)

    def injector(self) -> FaultInjector:
        return FaultInjector(
            rng=random.Random(self.rng.random()),  # noqa: S311 - fault injection, no secret
            slack=self.slack,
            atlas=self.atlas,
            replicas=self.replicas,
            to_slack=self.to_slack,
            to_atlas=self.to_atlas,
            to_bot=self.to_bot if self.plan.mode == "http" else None,
            postgres=self.postgres,
        )

    def new_job(self, project: str) -> RestoreJob:
        """Start a download; every other one has its link already."""
        job = start_job(self.atlas.world, project, live=self.rng.random() < 0.5)
        self.known.add(job.id)
        return job

    async def open(self) -> None:
        """Start every bot and wait until all are ready."""
        for number in range(self.plan.replicas):
            name = f"bot-{number + 1}"
            faked = faketime(self.folder / f"{name}.clock") if self.plan.clock else {}
            replica = Replica(name, {**self.environment(), **faked}, self.folder)
            self.replicas.append(replica)
            replica.open()
        await self.ready()
        if self.plan.mode == "http":
            self.slack.http.request_url = f"http://127.0.0.1:{self.to_bot.port}/slack/events"

    async def ready(self) -> None:
        await asyncio.gather(*(replica.ready() for replica in self.replicas))

    def next_bot(self) -> int | None:
        """Where Slack's next connection goes: to the bots that live, in turn."""
        ports = [replica.port for replica in self.replicas if replica.port]
        return ports[next(self._turns) % len(ports)] if ports else None

    def keep(self, name: str, content: object) -> None:
        """Put something into the folder of evidence, as JSON."""
        (self.folder / name).write_text(json.dumps(content, default=str, indent=1))

    def keep_evidence(self, observations: Observations, found: Sequence[Violation]) -> None:
        """Write the evidence of violations."""
        self.keep("violations.json", [str(each) for each in found])
        self.keep("faults.json", [asdict(fault) for fault in observations.faults])
        self.keep("processes.json", [asdict(process) for process in observations.processes])
        self.keep("audit_log.json", [asdict(event) for event in observations.events])
        self.keep("atlas.json", [asdict(call) for call in observations.atlas.calls])
        self.keep(
            "cards.json", [asdict(thread) for thread in observations.messages.threads.values()]
        )


@asynccontextmanager
async def opened(
    plan: Plan, folder: Path, postgres: PostgresServer | None, seed: int
) -> AsyncIterator[CampaignEnvironment]:
    """Open an environment; every bot in it ends with it."""
    world, known = build_world(), set[str]()
    rng = random.Random(seed)  # noqa: S311 - the same scenarios in each run
    write_projects(world, folder, plan.people)
    async with AsyncExitStack() as stack:
        stack.enter_context(silence_server_log())
        atlas, slack = await _open_fake_servers(stack, plan, world)
        proxies = [FaultyProxy(partial(port_of, url)) for url in (slack.base_url, atlas.url)]
        proxies.append(FaultyProxy(lambda: env.next_bot()))  # noqa: PLW0108 - env is built below
        to_slack, to_atlas, to_bot = [await stack.enter_async_context(proxy) for proxy in proxies]
        messages, delivery = MessageTracker(known), FlakyDelivery(slack, rng)
        slack.world.events.subscribe(messages.on_change)
        slack.people.delivery = delivery
        env = CampaignEnvironment(
            plan=plan,
            folder=folder,
            slack=slack,
            atlas=atlas,
            postgres=postgres,
            database_url=await _new_database(postgres, folder),
            to_slack=to_slack,
            to_atlas=to_atlas,
            to_bot=to_bot,
            delivery=delivery,
            messages=messages,
            known=known,
            rng=rng,
        )
        try:
            yield env
        finally:
            await asyncio.gather(*(replica.close() for replica in env.replicas))


async def _open_fake_servers(
    stack: AsyncExitStack, plan: Plan, world: World
) -> tuple[FakeAtlasServer, FakeSlackServer]:
    atlas = FakeAtlasServer(world, behaviour=Behaviour(rate_refill=plan.calls_a_minute))
    settings = SlackSettings(client_msg_id=plan.client_msg_id, cut_connection_seconds=0)
    slack = FakeSlackServer(build_workspace(plan.people), settings=settings)
    return await stack.enter_async_context(atlas), await stack.enter_async_context(slack)


async def _new_database(postgres: PostgresServer | None, folder: Path) -> str:
    if postgres is None:
        return f"sqlite:///{folder}/bot.db"
    return await asyncio.to_thread(postgres.new_database)


@contextmanager
def silence_server_log() -> Iterator[None]:
    """Leave out of the log, meanwhile, that a bot died in the middle of a request."""
    server = logging.getLogger("aiohttp.server")
    level = server.level
    server.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        server.setLevel(level)


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])
