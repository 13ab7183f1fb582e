"""The composition root: from settings to a running bot. The only module that knows everybody."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import structlog

from bot.services.sweeper import Sweeper
from bot.services.watch.watcher import Watcher
from bot.site import build_site
from bot.slack.bolt_app import build_app
from bot.slack.client import build_client, new_session
from bot.slack.directory import Directory
from bot.slack.links import Links
from bot.slack.outbox.announcements import Announcements
from bot.slack.outbox.worker import Outbox
from bot.slack.receivers import HttpReceiver, SocketModeReceiver
from bot.startup_checks import (
    StartError,
    authenticate_slack,
    collect_slack_errors,
    migrate,
    run_steps,
)
from bot.storage.database import Database
from bot.tasks import BackgroundTasks, cancel_and_wait
from bot.timings import Timings
from bot.tracing import open_tracing
from bot.web.draining import ShutdownState
from bot.web.metrics import Metrics
from bot.web.payload_schema import what_is_wrong
from bot.web.server import WebServer
from bot.web.signature_middleware import payload_of
from bot.wiring import build_core_services, load_project_names

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.settings import Settings
    from bot.slack.identity import Identity
    from bot.tracing import Tracing
    from bot.wiring import CoreServices

log = structlog.get_logger(__name__)


class Bot:
    """One running bot, between `start` and `stop`.

    Args:
        settings: what it is to run with.
        timings: intervals, timeouts and leases; tests pass shorter ones.
        tracing: in place of what the settings say, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        timings: Timings = Timings(),  # noqa: B008 - it is frozen
        tracing: Tracing | None = None,
    ) -> None:
        self.settings = settings
        self._timings = timings
        self._leaving = ShutdownState()
        self.metrics = Metrics()
        # A new name at each start: what the last one held is not ours until its lease runs out.
        self.owner = uuid.uuid4().hex[:12]
        self._tracing = tracing or open_tracing(settings.tracing, self.owner)
        self._background = BackgroundTasks(self._tracing.trail)
        self._loops: set[asyncio.Task[None]] = set()
        self._outbox: Outbox | None = None
        self._server: WebServer | None = None
        # Closed in the reverse order of opening: intake first, then the database, last the spans.
        self._closing = AsyncExitStack()
        self._stop_by = math.inf
        self._finish(self._tracing.close, self._timings.span_export_timeout)

    @property
    def port(self) -> int:
        """Where the HTTP side listens: a free one that was found, where the setting is 0."""
        return self._server.port if self._server else self.settings.port

    async def start(self) -> None:
        """Start everything. Requests that were left behind go on before Slack is reached.

        Raises:
            StartError: with all that was found at once: the database cannot be opened, the port
                cannot be used, Slack refuses a token.
        """
        client = self._open_client()
        meeting = self._meet(client)
        database_url = self.settings.database_url.get_secret_value()
        database = self._open_database(database_url)
        domain = self._open_domain(database)
        intake = self._build_intake(client)
        server = self._build_server(domain, intake)
        if refused := await run_steps(lambda: migrate(database_url), server.start):
            raise StartError("\n".join([*refused, *await collect_slack_errors(meeting)]))
        self._sweep(domain)
        identity = await meeting
        self._open_slack(domain, client, identity, intake)
        self._loop(self._ask_about_ids(client, identity), "ids")
        log.info("ready", socket_mode=self.settings.socket_mode, port=self.port)

    async def stop(self) -> None:
        """Stop intake, finish what is in flight or hand it over, close everything: under 10 s."""
        log.info("stopping")
        self._stop_by = time.monotonic() + self._timings.shutdown
        self._leaving.begin()
        await self._closing.aclose()
        log.info("stopped")

    def _meet(self, client: AsyncWebClient) -> asyncio.Task[Identity]:
        """Ask Slack who we are while the rest is opened."""
        meeting = asyncio.create_task(
            authenticate_slack(client, self.settings.slack), name="meeting"
        )
        self._closing.push_async_callback(cancel_and_wait, meeting)
        return meeting

    def _open_database(self, database_url: str) -> Database:
        database = Database(database_url)
        self._tracing.follow_ledger(database.engine)
        self._closing.push_async_callback(database.close)
        return database

    def _open_domain(self, database: Database) -> CoreServices:
        domain = build_core_services(
            self.settings,
            database,
            self.metrics,
            self.owner,
            on_change=self._notify_outbox,
            tracing=self._tracing,
            timings=self._timings,
        )
        for atlas in domain.clients.values():
            self._closing.push_async_callback(atlas.aclose)
        self._closing.push_async_callback(domain.desk.finder.close)
        return domain

    def _open_client(self) -> AsyncWebClient:
        slack = self.settings.slack
        session = new_session(self._tracing.slack_calls(slack.api_url))
        self._closing.push_async_callback(session.close)
        return build_client(slack.bot_token.get_secret_value(), slack.api_url, session)

    def _build_intake(self, client: AsyncWebClient) -> SocketModeReceiver | HttpReceiver:
        if token := self.settings.slack.app_token:
            # Of its own, so that calls that hang take no connection from the sockets.
            dialler = self._open_client()
            intake = SocketModeReceiver(token.get_secret_value(), dialler, refuse=what_is_wrong)
            self.metrics.watch_connections(lambda: intake.live)
            return intake
        return HttpReceiver(client, payload_of)

    def _build_server(
        self, domain: CoreServices, intake: SocketModeReceiver | HttpReceiver
    ) -> WebServer:
        host, port = self.settings.host, self.settings.port
        site = build_site(self.settings, self.metrics, domain, intake, self._leaving)
        self._server = WebServer(host, port, site, grace=self._timings.connection_stop_timeout)
        self._closing.push_async_callback(self._server.stop)
        return self._server

    def _sweep(self, domain: CoreServices) -> None:
        sweeper = Sweeper(
            domain.ledger,
            domain.leases,
            domain.runner,
            clock=domain.clock,
            interval=self._timings.sweep_interval,
            on_sweep=self.metrics.pending,
            on_change=self._notify_outbox,
        )
        self._closing.push_async_callback(self._end_runs, domain)
        self._loop(sweeper.run(), "sweeper")
        self._loop(load_project_names(domain), "projects")

    def _open_slack(
        self,
        domain: CoreServices,
        client: AsyncWebClient,
        identity: Identity,
        intake: SocketModeReceiver | HttpReceiver,
    ) -> None:
        links = Links(atlas=self.settings.atlas.base_url, identity=identity)
        policy_of = domain.desk.policy_of
        trail = self._tracing.trail
        # With connections of its own: dialogs that hang hold up nobody's outcome.
        poster = self._open_client()
        outbox = Outbox(
            domain.posts,
            poster,
            self.owner,
            policy_of,
            links,
            trail=trail,
            interval=self._timings.outbox_poll_interval,
        )
        self._deliver(outbox)
        self._watch(domain, client, links)
        # Before the outbox ends, so that the last outcomes are still posted.
        self._closing.push_async_callback(self._end_runs, domain)
        self._finish(self._background.drain, self._timings.dialog_stop_timeout)
        secret = self.settings.slack.signing_secret
        app = build_app(
            client,
            identity,
            signing_secret=secret.get_secret_value() if secret else None,
            service=domain.desk,
            directory=Directory(client, identity),
            background=self._background,
            links=links,
            on_ack=self.metrics.acked,
            tracer=trail,
        )
        self._finish(intake.stop, self._timings.receiver_stop_timeout)
        intake.open(app)
        if not self.settings.socket_mode:
            # What a load balancer still sends until it has noticed is answered as ever.
            self._closing.push_async_callback(asyncio.sleep, self._timings.drain)

    def _deliver(self, outbox: Outbox) -> None:
        self._outbox = outbox
        running = asyncio.create_task(outbox.run(), name="outbox")
        self._finish(
            lambda seconds: outbox.stop(running, seconds), self._timings.outbox_stop_timeout
        )

    def _watch(self, domain: CoreServices, client: AsyncWebClient, links: Links) -> None:
        """Look for new download restores, in the projects that have a channel for them."""
        channels = {p.id: p.watch_channel for p in self.settings.projects if p.watch_channel}
        if not channels:
            return
        announcements = Announcements(domain.sightings, client, channels.get, domain.name_of, links)
        running = asyncio.create_task(announcements.run(), name="announcements")
        self._finish(
            lambda seconds: announcements.stop(running, seconds), self._timings.outbox_stop_timeout
        )
        for project_id in channels:
            watch = Watcher(
                project_id,
                domain.clients[project_id],
                domain.buckets[project_id],
                domain.sightings,
                interval=self.settings.watch_interval.total_seconds(),
                on_change=announcements.wake,
            )
            self._loop(watch.run(), f"watch {project_id}")

    async def _ask_about_ids(self, client: AsyncWebClient, identity: Identity) -> None:
        # Loaded when Slack is answered already: a start is no slower for it.
        from bot.doctor.ids import warn_of_ids  # noqa: PLC0415 - see above

        await warn_of_ids(self.settings, client, identity)

    def _notify_outbox(self) -> None:
        """Deliver at once what was written for Slack."""
        if self._outbox:
            self._outbox.wake()

    def _loop(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._loops.add(asyncio.create_task(work, name=name))

    async def _end_runs(self, domain: CoreServices) -> None:
        """Start no more runs, and finish those that are under way or let go of them."""
        await cancel_and_wait(*self._loops)
        await domain.runner.stop(self._left(self._timings.run_stop_timeout))

    def _finish(self, finish: Callable[[float], Coroutine[Any, Any, None]], share: float) -> None:
        """Have `finish` called at the end, with at most `share` seconds for it."""

        async def within() -> None:
            await finish(self._left(share))

        self._closing.push_async_callback(within)

    def _left(self, share: float) -> float:
        return min(share, max(self._timings.late_stop_timeout, self._stop_by - time.monotonic()))


async def serve(settings: Settings, stopped: asyncio.Event) -> None:
    """Run the bot until `stopped`; raises what `Bot.start` raises, and `TracingError`."""
    bot = Bot(settings)
    try:
        starting = asyncio.create_task(bot.start())
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
        await waiting
    finally:
        await cancel_and_wait(starting, waiting)
        await bot.stop()
