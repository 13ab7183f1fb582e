"""Builds the services, the Atlas clients and the web application from the settings."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import KeyAccess
from bot.atlas_clients import AtlasClients
from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import WatchedProject
from bot.services.activity_feed import ActivityFeeds, FeedMonitor
from bot.services.job_facts import JobFactsService
from bot.services.job_search import JobFinder
from bot.services.organizations import Organizations
from bot.services.projects import Project, Projects, follow_key_access
from bot.services.quarantine import Quarantine
from bot.services.rate_limit import CallPacer
from bot.services.rights import ResolvePeople, RightsCheck
from bot.services.runner import Runner
from bot.services.service import CancellationService
from bot.services.sweeper import Notifier
from bot.services.watch import Watcher
from bot.settings import OrganizationSettings, Settings
from bot.slack.directory import Directory
from bot.slack.receivers.http import HttpReceiver
from bot.slack.receivers.socket_mode import SocketModeReceiver
from bot.slack.token_status import answers
from bot.storage.audit_log import History
from bot.storage.database import Database, DatabaseClock
from bot.storage.job_facts import JobFactsStore
from bot.storage.lease_store import LeaseStore
from bot.storage.notice_store import NoticeStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.quarantine_store import QuarantineStore
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from bot.storage.webhook_store import WebhookStore
from bot.timings import Timings
from bot.tracing import Tracing
from bot.web.metrics import Metrics, add_metrics
from bot.web.server import Check, ShutdownState, add_health
from bot.web.slack_payloads import MAX_BODY_BYTES, PATH, verify_slack_requests


class CoreServices:
    """Everything below Slack: Atlas clients, stores, the runner and the cancellation service.

    This process holds leases under the name `owner`. `resolve` reads people from Slack for the
    check before each DELETE, and is None without Slack. `on_change` is called after a write that
    Slack should show.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        metrics: Metrics,
        owner: str,
        *,
        resolve: ResolvePeople | None,
        on_change: Callable[[], None],
        tracing: Tracing,
        timings: Timings,
    ) -> None:
        self.database = database
        self.clock = clock = DatabaseClock(database)
        self._on_change = on_change
        self.projects = Projects()
        self.clients = AtlasClients(settings, metrics, tracing, self.projects)
        for project in settings.projects:
            self.projects.add(self.clients.project(project))
        self.organizations = Organizations(self.projects, timings=timings)
        self.set_organizations(settings.organizations)
        self.timings = timings
        self.pacer = CallPacer(timings.watch_call_interval)
        count = partial(count_state, metrics)
        self.requests = RequestStore(database, clock, on_state_entered=count)
        self.leases = self._leases(owner, metrics, timings)
        self.outbox = OutboxStore(database, clock)
        self.quarantine = QuarantineStore(
            database,
            clock,
            partial(quarantined_project, self.projects),
            on_state_entered=count,
            on_limit=lambda name: metrics.quarantine_limit_reached.labels(project=name).inc(),
        )
        self.watches = WatchStore(database, clock, owner, self.quarantine, on_state_entered=count)
        self.facts = self._facts(timings)
        rights = RightsCheck(self.projects, resolve, self.facts.starter_of)
        self.runner = Runner(
            self.leases,
            self.projects,
            rights,
            on_change=on_change,
            tracer=tracing.trace,
            timings=timings,
        )
        self.cancellation = self._cancellation(rights)

    def _leases(self, owner: str, metrics: Metrics, timings: Timings) -> LeaseStore:
        return LeaseStore(
            self.database,
            self.clock,
            owner,
            lease=timings.request_lease,
            on_state_entered=partial(count_state, metrics),
            on_cancelled_before_link=metrics.cancelled_before_link.inc,
        )

    def set_organizations(self, organizations: Iterable[OrganizationSettings]) -> None:
        """Set patterns and policies of the organizations."""
        self.organizations.set(map(self.clients.organization, organizations))

    def _facts(self, timings: Timings) -> JobFactsService:
        return JobFactsService(
            self.projects,
            JobFactsStore(self.database, self.clock),
            ActivityFeeds(self.projects, self.clock),
            now=self.clock,
            on_change=self._on_change,
            interval=timings.job_facts_interval,
        )

    def _cancellation(self, rights: RightsCheck) -> CancellationService:
        return CancellationService(
            self.requests,
            self.projects,
            self.runner,
            rights,
            finder=JobFinder(self.projects),
            facts=self.facts,
            history=History(self.database, self.clock),
            now=self.clock,
            on_change=self._on_change,
        )

    async def close(self) -> None:
        """Cancel the reads in flight, and close all connections to Atlas and the database."""
        await self.facts.feeds.close()
        await self.cancellation.finder.close()
        await self.clients.close()
        await self.database.close()


def count_state(metrics: Metrics, state: State) -> None:
    """Count a request that entered `state`."""
    metrics.requests.labels(state=state.value).inc()


def quarantined_project(projects: Projects, project_id: str) -> WatchedProject | None:
    """Return what quarantine needs to know about a project; None where it is off."""
    project = projects.find(project_id)
    if project is None or project.watch_channel is None or not project.policy.quarantine.is_on:
        return None
    return WatchedProject(
        name=project.name, channel=project.watch_channel, policy=project.policy.quarantine
    )


def quarantine_loop(
    services: CoreServices,
    receiver: SocketModeReceiver | HttpReceiver,
    client: AsyncWebClient,
    on_change: Callable[[], None],
    timings: Timings,
) -> Coroutine[Any, Any, None]:
    """Build the loop that ends quarantines, also of projects where it was switched off."""

    async def slack_answers() -> bool:
        return await receiver.problem() is None and await answers(client)

    quarantine = Quarantine(
        services.quarantine,
        services.projects,
        services.facts,
        services.runner,
        slack_answers=slack_answers,
        now=services.clock,
        on_change=on_change,
        interval=timings.quarantine_interval,
    )
    return quarantine.run()


def start_webhook(
    settings: Settings, services: CoreServices, metrics: Metrics, owner: str, timings: Timings
) -> Callable[[float], Coroutine[Any, Any, None]] | None:
    """Start the audit webhook, if one is configured; return what stops it, given the seconds."""
    hook = settings.audit_webhook
    if hook is None:
        return None
    # Loading the libraries takes 40 ms, which most bots save.
    from bot.webhook.client import WebhookClient  # noqa: PLC0415 - see above
    from bot.webhook.worker import WebhookWorker  # noqa: PLC0415 - see above

    client = WebhookClient(hook.url, hook.secret, timeout=timings.webhook_try_timeout)
    store = WebhookStore(services.database, services.clock, owner)
    worker = WebhookWorker(store, client, clock=services.clock, timings=timings)
    metrics.webhook_lag.set_function(worker.lag)
    task = asyncio.create_task(worker.run(), name="audit webhook")
    return lambda seconds: worker.stop(task, seconds)


def notify_approvers(
    services: CoreServices, directory: Directory, on_change: Callable[[], None], timings: Timings
) -> Coroutine[Any, Any, None]:
    """Build the loop that tells approvers of waiting requests."""
    notifier = Notifier(
        NoticeStore(services.database, services.clock),
        services.projects,
        directory.candidates,
        now=services.clock,
        interval=timings.sweep_interval,
        on_change=on_change,
    )
    return notifier.run()


def build_watcher(
    services: CoreServices,
    settings: Settings,
    metrics: Metrics,
    project: Project,
    on_change: Callable[[], None],
) -> Watcher:
    """Build the watch of one project."""
    return Watcher(
        project,
        services.watches,
        FeedMonitor(project.id, services.facts.feeds),
        services.pacer,
        interval=settings.watch_interval.total_seconds(),
        events_interval=settings.events_interval.total_seconds(),
        timings=services.timings,
        on_change=on_change,
        on_read=metrics.watch_success.labels(project=project.name).set_to_current_time,
    )


async def follow_key(
    services: CoreServices, metrics: Metrics, project: Project, after: asyncio.Task[None] | None
) -> None:
    """Read what the key of a project may do, from the end of `after` on.

    Those are the first reads, so that these calls need no login of their own.
    """

    def on_read(access: KeyAccess) -> None:
        if access.secret_expires_at:
            metrics.set_secret_expiry(project.name, access.secret_expires_at)
        services.projects.update({project.id: {"key_may_cancel": access.may_cancel}})

    if after:
        await asyncio.wait({after}, timeout=services.timings.key_access_retry)
    credentials = services.clients.credentials[project.id]
    turn = partial(services.pacer.wait, lambda: 0.0)
    await follow_key_access(project.atlas, project.id, credentials, on_read, turn=turn)


def build_web_app(
    settings: Settings,
    metrics: Metrics,
    services: CoreServices,
    receiver: SocketModeReceiver | HttpReceiver,
    shutdown: ShutdownState,
    *,
    check_slack: Check,
) -> web.Application:
    """Build the web application: health, metrics, and in HTTP mode the route for Slack."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    shutdown.watch(app)
    if isinstance(receiver, HttpReceiver) and settings.slack.signing_secret:
        app.middlewares.append(verify_slack_requests(settings.slack.signing_secret, time.time))
        receiver.add_route(app, PATH)

    async def check_database() -> str | None:
        problem = await services.database.check_writable()
        return problem and f"The database cannot be written ({problem}): check DATABASE_URL."

    checks = {"slack": check_slack, "database": check_database}
    add_health(app, checks)
    add_metrics(app, metrics, checks)
    return app
