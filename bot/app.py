"""The composition root: starts the bot from its settings, and stops it in order."""

import asyncio
import math
import time
import uuid
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import AtlasReader
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import Person
from bot.leader_loops import LeaderLoops
from bot.reload import Reloader
from bot.services.sweeper import Notifier
from bot.settings import Settings, load_settings
from bot.slack.bolt_app import App
from bot.slack.channels import ChannelStatus
from bot.slack.client import Links, SlackClient, new_session
from bot.slack.dependencies import Dependencies
from bot.slack.deployment import set_deployment
from bot.slack.directory import Directory
from bot.slack.receivers.http import MAX_BODY_BYTES, HttpReceiver
from bot.slack.receivers.socket_mode import SocketModeReceiver
from bot.startup_checks import (
    AUTH_TEST_INTERVAL,
    TOKEN_TEST_PAUSE,
    StartError,
    TokenStatus,
    answers,
    authenticate_slack,
    collect_slack_errors,
    load_project_names,
    migrate,
    report_reload,
    run_steps,
    warn_of_other_file,
    warn_of_unused_entries,
)
from bot.tasks import BackgroundTasks, Loop, Supervisor, cancel_and_wait, repeat
from bot.timings import DEFAULT_TIMINGS, Timings
from bot.web.metrics import Detail, Metrics, add_routes
from bot.web.server import WebServer
from bot.wiring import CoreServices

log = structlog.get_logger(__name__)


class Bot:
    """One bot process; `load` reads the settings again."""

    def __init__(
        self,
        settings: Settings,
        *,
        timings: Timings = DEFAULT_TIMINGS,
        load: Callable[[], Settings] = load_settings,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics()
        # Of its leases; a new one at each start, so that leases of an earlier process expire first.
        self.owner = uuid.uuid4().hex[:12]
        self.reload_requested = asyncio.Event()
        self._load = load
        self._timings = timings
        self._token_status = TokenStatus(math.inf if settings.socket_mode else AUTH_TEST_INTERVAL)
        self._background = BackgroundTasks()
        self._supervisor = Supervisor(timings.loop_restart_pause)
        self._loops: set[asyncio.Task[None]] = set()
        # Loops by what they depend on: their kind, their project and its client.
        self._following: dict[tuple[str, str, AtlasReader], asyncio.Task[None]] = {}
        self._projects_changed = asyncio.Event()  # since their entries of clusters were compared
        self._directory: Directory | None = None
        self._channels: ChannelStatus | None = None
        self._server: WebServer | None = None
        self._deadline = math.inf
        # Closed in reverse order of opening: the receiver first, the database last.
        self._exit_stack = AsyncExitStack()
        self._services = CoreServices(
            settings,
            self.metrics,
            self.owner,
            resolve=self._current_people,
            timings=timings,
        )
        self._leading = LeaderLoops(self._services)
        self._leader = self._leading.leader
        self.metrics.leader.set_function(lambda: self._leader.leads)
        self._exit_stack.push_async_callback(self._services.close)

    @property
    def port(self) -> int:
        """The port of the HTTP side; with the setting 0 the free port that was chosen."""
        return self._server.port if self._server else self.settings.port

    async def start(self) -> None:
        """Start everything, open requests before Slack; raises `StartError` with all errors."""
        set_deployment(self.settings.command, self.settings.label)
        client = self._open_slack_client()
        # While the database and the port are opened.
        authentication = asyncio.create_task(
            authenticate_slack(client, self.settings.slack, self._token_status)
        )
        self._exit_stack.push_async_callback(cancel_and_wait, authentication)
        receiver = self._build_receiver()
        self._server = self._build_server(receiver)
        url = self.settings.database_url.get_secret_value()
        if errors := await run_steps(lambda: migrate(url), self._server.start):
            raise StartError("\n".join([*errors, *await collect_slack_errors(authentication)]))
        log.info("listening", port=self.port)
        self._start_leader()
        self._start_services()
        identity = await authentication
        self._token_status.failure = None
        links = Links(atlas=self.settings.atlas.base_url, identity=identity)
        # A separate client: calls of dialogs that hang do not delay the check before a DELETE.
        directory = Directory(self._open_slack_client(), identity, limits=self._services.limits)
        self._directory = directory
        notifier = self._leading.notifier(directory)
        channels = self._start_outbox(links, notifier)
        self._start_projects()
        self._start_receiver(receiver, client, links, directory)

        async def slack_answers() -> bool:
            return receiver.problem is None and await answers(client)

        # However rarely /readyz is asked for.
        test = partial(repeat, partial(self._token_status.test_if_due, client), TOKEN_TEST_PAUSE)
        self._start_loop(partial(test, "bot token not tested"), "bot token")
        with_slack = self._leading.with_slack(directory, slack_answers, channels, notifier)
        for name, loop in with_slack.items():
            self._start_loop(loop, name, leading=True)
        if not self.settings.socket_mode:
            self._exit_stack.push_async_callback(asyncio.sleep, self._timings.drain)
        log.info("ready", socket_mode=self.settings.socket_mode, port=self.port)

    async def stop(self) -> None:
        """Stop intake, finish or release the work in flight, and close everything within 10 s."""
        log.info("stopping")
        self._leader.ends = True
        self._deadline = time.monotonic() + self._timings.shutdown
        if self._server:
            self._server.begin_shutdown()
        await self._exit_stack.aclose()
        log.info("stopped")

    def _open_slack_client(self) -> AsyncWebClient:
        slack = self.settings.slack
        session = new_session(self._timings.slack_timeout)
        self._exit_stack.push_async_callback(session.close)
        token = slack.bot_token.get_secret_value()
        return SlackClient(token, slack.api_url, session, self._token_status.record)

    async def _current_people(
        self, users: Collection[str], groups: Collection[str]
    ) -> Mapping[str, Person]:
        if self._directory is None:
            raise RightsNotChecked("Slack has not named the bot's workspace yet.")
        return await self._directory.current_people(users, groups)

    def _build_receiver(self) -> SocketModeReceiver | HttpReceiver:
        if token := self.settings.slack.app_token:
            # A separate client: calls that hang do not keep the sockets from reconnecting.
            connector = self._open_slack_client()
            receiver = SocketModeReceiver(token.get_secret_value(), connector, self._timings)
            self.metrics.slack_connections.set_function(lambda: receiver.live)
            self.metrics.registered_connections.set_function(lambda: receiver.plan.counted)
            return receiver
        if secret := self.settings.slack.signing_secret:
            return HttpReceiver(secret)
        raise AssertionError("the settings have an app token or a signing secret")

    def _build_server(self, receiver: SocketModeReceiver | HttpReceiver) -> WebServer:
        """Build the HTTP side: health, metrics, and in HTTP mode the route for Slack."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        details: dict[str, Detail] = {
            "channels": lambda: self._channels.problem() if self._channels else None,
        }
        if isinstance(receiver, HttpReceiver):
            receiver.add_route(app)
        else:
            details["slack"] = lambda: receiver.notice

        async def check_slack() -> str | None:
            return server.problem or self._token_status.problem() or receiver.problem

        checks = {
            "slack": check_slack,
            "database": self._services.check_database,
            "loops": self._supervisor.check,
        }
        add_routes(app, self.metrics, checks, details)
        grace = self._timings.connection_stop_timeout
        server = WebServer(self.settings.host, self.settings.port, app, grace=grace)
        self._exit_stack.push_async_callback(server.stop)
        return server

    def _start_leader(self) -> None:
        election = self._supervise(self._leader.run, "leader")
        self._exit_stack.push_async_callback(self._leader.stop)
        self._exit_stack.push_async_callback(cancel_and_wait, election)
        if stop := self._leading.start_webhook(self._supervise):
            self._on_shutdown(stop, self._timings.webhook_stop_timeout)

    def _start_services(self) -> None:
        """Start the loops that need no Slack."""
        reloader = Reloader(
            settings=self.settings,
            load=self._load,
            apply=self._services.apply,
            requested=self.reload_requested,
            on_result=lambda *, valid: self.metrics.settings_valid.set(valid),
            report=report_reload,
            interval=self._timings.projects_file_interval,
        )
        self._exit_stack.push_async_callback(self._stop_runs)
        self._start_loop(reloader.run, "reload")
        compare = partial(
            warn_of_other_file,
            self.settings.projects_file,
            self._leading.leaders_file,
            self._timings.file_comparison_interval,
        )
        self._start_loop(compare, "settings file")
        self._start_loop(self._services.count, "counts")
        for name, loop in self._leading.without_slack().items():
            self._start_loop(loop, name, leading=True)
        self._start_loop(partial(load_project_names, self._services.projects), "projects")

    def _start_outbox(self, links: Links, notifier: Notifier) -> ChannelStatus:
        # A separate client: calls of dialogs that hang do not delay the outcomes.
        client = self._open_slack_client()
        self._channels = channels = self._leading.channels(client, links.identity)
        self._start_loop(channels.run, "channels")
        outbox = self._leading.build_outbox(client, links, channels, notifier)
        self._services.database.on_messages = outbox.wake  # else a poll finds them
        task = self._supervise(self._leader.loop(outbox.run), "outbox")
        self._on_shutdown(
            lambda seconds: outbox.stop(task, seconds), self._timings.outbox_stop_timeout
        )
        return channels

    def _start_projects(self) -> None:
        """Start the loops of the projects, and those that keep the projects up to date."""
        self._follow_projects()
        organizations, retry = self._services.organizations, self._timings.organization_retry
        organizations.on_change = self._follow_projects
        follow = partial(repeat, organizations.follow, retry, "organizations not read")
        self._start_loop(follow, "organizations")
        compare = partial(
            warn_of_unused_entries,
            self._services.projects,
            self._services.finder,
            self._projects_changed,
            self._timings.organization_interval,
        )
        self._start_loop(compare, "entries of clusters")

    def _follow_projects(self) -> None:
        """Start the loops that the projects need now, and end those that they need no more."""
        self._projects_changed.set()
        wanted = self._leading.of_projects()
        for key in self._following.keys() - wanted.keys():
            self._following.pop(key).cancel()
        for key in wanted.keys() - self._following.keys():
            self._following[key] = self._start_loop(wanted[key], f"{key[0]} of project {key[1]}")

    def _start_receiver(
        self,
        receiver: SocketModeReceiver | HttpReceiver,
        client: AsyncWebClient,
        links: Links,
        directory: Directory,
    ) -> None:
        # Runs stop before the outbox, which still posts their outcomes.
        self._exit_stack.push_async_callback(self._stop_runs)
        self._on_shutdown(self._background.drain, self._timings.dialog_stop_timeout)
        deps = Dependencies(
            client=client,
            links=links,
            service=self._services.cancellation,
            finder=self._services.finder,
            history=self._services.history,
            directory=directory,
            background=self._background,
            limits=self._services.limits,
            ack_timeout=self._timings.ack_timeout,
            reason_check_timeout=self._timings.reason_check_timeout,
        )
        app = App(deps, self.metrics.ack_seconds.observe)
        if isinstance(receiver, SocketModeReceiver):
            share = partial(self._services.share_connections, receiver.share)
            self._start_loop(share, "connections")
        self._on_shutdown(receiver.stop, self._timings.receiver_stop_timeout)
        receiver.start(app.async_dispatch)

    def _start_loop(self, loop: Loop, name: str, *, leading: bool = False) -> asyncio.Task[None]:
        """Start a loop that ends before the runs do; `leading`: one of the leader alone."""
        task = self._supervise(self._leader.loop(loop) if leading else loop, name)
        self._loops.add(task)
        task.add_done_callback(self._loops.discard)
        return task

    def _supervise(self, loop: Loop, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self._supervisor.run(loop, name), name=name)

    async def _stop_runs(self) -> None:
        """Start no more runs; finish those in progress or release their leases."""
        await cancel_and_wait(*self._loops)
        await self._services.runner.stop(self._time_left(self._timings.run_stop_timeout))

    def _on_shutdown(
        self, close: Callable[[float], Coroutine[Any, Any, None]], timeout: float
    ) -> None:
        """Register `close`, which is called at the shutdown with the seconds it may take."""
        self._exit_stack.push_async_callback(lambda: close(self._time_left(timeout)))

    def _time_left(self, timeout: float) -> float:
        return min(timeout, max(self._timings.late_stop_timeout, self._deadline - time.monotonic()))
