"""What the active process runs: Slack, the watch, the runs, the deadlines, the outbox."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from bot.cancellation.errors import RightsNotChecked, StorageError
from bot.cancellation.people import NO_ONE, Person
from bot.services.deadlines import Deadlines
from bot.services.follow import Follower
from bot.services.lookup import Lookup
from bot.services.requests import RequestService
from bot.services.rights import Rights
from bot.services.runner import Runner
from bot.services.watch import Watch
from bot.settings import SlackSettings, starter_warnings
from bot.slack.app import SlackApp
from bot.slack.client import Identity, SlackClient, new_session
from bot.slack.context import SlackContext
from bot.slack.directory import Directory
from bot.slack.errors import InvalidToken, SlackError
from bot.slack.links import Links
from bot.slack.outbox import Outbox
from bot.storage.lease import Lease
from bot.tasks import Supervisor, repeat, wait_up_to
from bot.wiring import Core

RESTART_PAUSE = 1.0  #: seconds before a loop that died is started again
MEASURE_INTERVAL = 5.0
IDENTITY_PAUSE = 2.0  #: seconds between two tries to learn the bot's own ids
#: Seconds for Slack to name the bot, before rights count as not checked: waiting longer would let
#: the copy go.
IDENTITY_WITHIN = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop of the active process, and its name in the log."""

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]


class ActiveProcess:
    """The loops of the active process; each take-over has a new one."""

    def __init__(self, core: Core, slack: SlackSettings, lease: Lease) -> None:
        self.core, self._slack, self._lease = core, slack, lease
        # Before `/readyz` tells the role: a download that starts afterwards is new.
        self._started_at = core.now()
        self._supervisor = Supervisor(RESTART_PAUSE)
        self._app: SlackApp | None = None
        self._outbox: Outbox | None = None
        self._directory: Directory | None = None
        self._slack_problem = "Slack has not named the bot yet."
        self._is_named = asyncio.Event()  # the bot in Slack
        self.stores = core.stores(lease, self._wake_outbox)
        self.runner = Runner(
            self.stores.runs,
            core.projects,
            Rights(self._resolve),
            core.clients.canceller_of,
            lease,
            core.now,
        )

    async def run(self) -> None:
        """Run everything until cancelled, then stop it; what needs no Slack begins at once."""
        session = new_session()
        try:
            async with asyncio.TaskGroup() as group:
                self._start(group, self._loops_without_slack())
                token = self._slack.bot_token.get_secret_value()
                client = SlackClient(token, self._slack.api_url, session)
                identity = await self._identity(client)
                self._start(group, self._loops_with_slack(client, identity))
        finally:
            await self._stop()
            await session.close()

    async def _stop(self) -> None:
        """Leave Slack, begin no attempt, and record the answer of one that is out."""
        leaving = [self._app.stop()] if self._app else []
        await asyncio.gather(self.runner.stop(), *leaving)

    async def problems(self) -> dict[str, str]:
        """Return what is not well, by part."""
        found = {}
        slack = await self._app.problem() if self._app else self._slack_problem
        if slack:
            found["slack"] = slack
        if loops := self._supervisor.check():
            found["loops"] = loops
        return found

    def _start(self, group: asyncio.TaskGroup, loops: Iterable[Loop]) -> None:
        for loop in loops:
            group.create_task(self._supervisor.run(loop.run, loop.name), name=loop.name)

    def _loops_without_slack(self) -> list[Loop]:
        core, stores = self.core, self.stores
        deadlines = Deadlines(
            requests=stores.requests,
            downloads=stores.downloads,
            projects=core.projects,
            start_run=self.runner.wake,
            now=core.now,
        )
        follower = Follower(
            core.projects,
            stores.downloads,
            core.now,
            lambda project: stores.feed_of(project).read(),
        )
        return [
            Loop("runs", self.runner.run_all),
            Loop("auto-cancel", deadlines.run_auto_cancel),
            Loop("deadlines", deadlines.run),
            Loop("settings of this start", deadlines.apply_settings),
            Loop("cleaning", deadlines.clean),
            Loop("follower", follower.run),
            Loop("names", core.projects.read_names),
            Loop("measures", partial(repeat, self._measure, MEASURE_INTERVAL, "not measured")),
            *(
                Loop(f"watch of {project.id}", partial(self._watch, project.id))
                for project in core.projects
                if project.is_watched
            ),
        ]

    async def _watch(self, project_id: str) -> None:
        project = self.core.projects.get(project_id)
        watch = Watch(
            project,
            self.stores.feed_of(project),
            self.stores.downloads,
            partial(self.core.metrics.set_round, self.core.projects.label_of(project_id)),
            float(self.core.settings.watch_interval),
            self.core.now,
        )
        await watch.start(self._started_at)
        await watch.run()

    def _loops_with_slack(self, client: SlackClient, identity: Identity) -> list[Loop]:
        core = self.core
        self._directory = directory = Directory(client, identity)
        self._is_named.set()
        links = Links(core.settings.atlas.base_url)
        self._outbox = outbox = Outbox(
            self.stores.outbox,
            client,
            core.projects,
            links,
            lambda: self._lease.is_held,
            core.now,
            on_dropped=core.metrics.dropped_posts.inc,
        )
        context = self._context(client, identity, directory, links)
        token = self._slack.app_token.get_secret_value()
        self._app = app = SlackApp(context, token, core.metrics.observe_ack)
        if not identity.reads_emails:
            for warning in starter_warnings(core.settings.projects):
                log.warning(warning)
        named = NO_ONE
        for project in core.projects:
            named |= project.policies.default.may_ask
        return [
            Loop("outbox", outbox.run),
            Loop("slack", app.run),
            Loop("directory", partial(directory.run, named.groups, named.users)),
        ]

    def _context(
        self, client: SlackClient, identity: Identity, directory: Directory, links: Links
    ) -> SlackContext:
        core = self.core
        return SlackContext(
            client=client,
            identity=identity,
            directory=directory,
            projects=core.projects,
            requests=RequestService(
                self.stores.requests,
                core.projects,
                self.runner.start,
                self.stores.feed_is_readable,
            ),
            lookup=Lookup(
                downloads=self.stores.downloads,
                requests=self.stores.requests,
                feed_of=self.stores.feed_of,
                now=core.now,
            ),
            links=links,
            now=core.now,
            is_active=lambda: self._lease.is_held,
        )

    async def _identity(self, client: SlackClient) -> Identity:
        """Ask Slack for the bot's own ids until it answers."""
        while True:
            try:
                return Identity.of(await client.auth_test())
            except SlackError as error:
                if self._slack_problem != str(error):  # each problem is logged once
                    emit = log.error if isinstance(error, InvalidToken) else log.warning
                    emit("Slack does not name the bot", why=str(error))
                self._slack_problem = str(error)
            await asyncio.sleep(IDENTITY_PAUSE)

    async def _resolve(
        self, users: Collection[str], groups: Collection[str]
    ) -> Mapping[str, Person]:
        await wait_up_to(IDENTITY_WITHIN, self._is_named)
        if self._directory is None:
            raise RightsNotChecked(self._slack_problem)
        return await self._directory.resolve(users, groups)

    def _wake_outbox(self) -> None:
        if self._outbox:
            self._outbox.wake()

    async def _measure(self) -> None:
        """Update the gauges that the database gives."""
        try:
            pending = await self.stores.requests.count_open()
            oldest = await self.stores.outbox.oldest()
        except StorageError as error:
            log.info("not measured", why=str(error))
            return
        age = (self.core.now() - oldest).total_seconds() if oldest else 0.0
        self.core.metrics.set_backlog(pending, age)
