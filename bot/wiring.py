"""Builds the services, the Atlas clients and the web application from the settings."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from bot.atlas import AtlasClient, CallRecord, KeyAccess
from bot.cancellation.lifecycle import State
from bot.services import activity_feed
from bot.services.job_facts import JobFactsService
from bot.services.job_search import JobFinder
from bot.services.key_access import follow_key_access
from bot.services.projects import Project, Projects, RateLimitBudget
from bot.services.rights import ResolvePeople, RightsCheck
from bot.services.runner import Runner
from bot.services.service import CancellationService
from bot.settings import ProjectSettings, Settings
from bot.slack.receivers import HttpReceiver, SocketModeReceiver
from bot.storage.audit_log import History
from bot.storage.database import Database, DatabaseClock
from bot.storage.job_facts_store import JobFactsStore
from bot.storage.lease_store import LeaseStore
from bot.storage.outbox_store import OutboxStore
from bot.storage.request_store import RequestStore
from bot.storage.watch_store import WatchStore
from bot.storage.webhook_store import WebhookStore
from bot.timings import Timings
from bot.tracing import Tracing
from bot.web.metrics import Metrics, add_metrics
from bot.web.server import Check, ShutdownState, add_health
from bot.web.slack_payloads import MAX_BODY_BYTES, PATH, verify_slack_requests

#: All paths that contain this share one rate limit per project.
BACKUP_PATH = "/backup/"
#: The ends of the paths of the activity feed; reads of events have a rate limit of their own.
EVENTS_PATH = "/events"
FEED_PATHS = (EVENTS_PATH, "/activityFeed")
FEED_REFUSALS = frozenset({400, 401, 403, 404})


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreServices:
    """Everything below Slack: Atlas clients, stores, the runner and the cancellation service."""

    database: Database
    clock: DatabaseClock
    atlas: dict[str, AtlasClient]
    rate_limits: dict[str, RateLimitBudget]
    projects: Projects
    requests: RequestStore
    leases: LeaseStore
    outbox: OutboxStore
    watches: WatchStore
    runner: Runner
    facts: JobFactsService
    cancellation: CancellationService


def build_core_services(
    settings: Settings,
    database: Database,
    metrics: Metrics,
    owner: str,
    *,
    resolve: ResolvePeople | None,
    on_change: Callable[[], None],
    tracing: Tracing,
    timings: Timings,
) -> CoreServices:
    """Build the services below Slack.

    Args:
        settings: the settings of the bot.
        database: the open database.
        metrics: counts state changes and Atlas calls.
        owner: the name under which this process holds leases.
        resolve: reads people from Slack for the check before each DELETE; None without Slack.
        on_change: called after a write that Slack should show.
        tracing: traces requests and Atlas calls.
        timings: the length of leases, and how often they are renewed.
    """
    rate_limits = {p.id: RateLimitBudget(time.monotonic) for p in settings.projects}
    event_limits = {
        p.id: RateLimitBudget(
            time.monotonic, size=activity_feed.BUCKET_SIZE, refill=activity_feed.REFILL_PER_SECOND
        )
        for p in settings.projects
    }
    atlas = {
        p.id: build_atlas_client(
            settings, p, metrics, rate_limits[p.id], tracing, event_limit=event_limits[p.id]
        )
        for p in settings.projects
    }
    projects = Projects(
        Project(
            id=p.id,
            name=p.label,
            policy=p.policy,
            atlas=atlas[p.id],
            watch_channel=p.watch_channel,
        )
        for p in settings.projects
    )

    def on_state_entered(state: State) -> None:
        metrics.requests.labels(state=state.value).inc()

    clock = DatabaseClock(database)
    requests = RequestStore(database, clock, on_state_entered)
    leases = LeaseStore(
        database,
        clock,
        owner,
        lease=timings.request_lease,
        on_state_entered=on_state_entered,
        on_cancelled_before_link=metrics.cancelled_before_link.inc,
    )
    rights = RightsCheck(projects, resolve)
    runner = Runner(
        leases,
        projects,
        rights,
        on_change=on_change,
        tracer=tracing.trace,
        timings=timings,
    )
    facts = JobFactsService(
        projects,
        JobFactsStore(database, clock),
        activity_feed.ActivityFeeds(projects, event_limits, clock),
        rate_limits,
        now=clock,
        on_change=on_change,
        interval=timings.job_facts_interval,
    )
    return CoreServices(
        database=database,
        clock=clock,
        atlas=atlas,
        rate_limits=rate_limits,
        projects=projects,
        requests=requests,
        leases=leases,
        outbox=OutboxStore(database, clock),
        watches=WatchStore(database, clock, owner),
        runner=runner,
        facts=facts,
        cancellation=CancellationService(
            requests,
            projects,
            runner,
            rights,
            finder=JobFinder(projects, rate_limits),
            facts=facts,
            history=History(database, clock),
            now=clock,
            on_change=on_change,
        ),
    )


def build_atlas_client(
    settings: Settings,
    project: ProjectSettings,
    metrics: Metrics,
    rate_limit: RateLimitBudget,
    tracing: Tracing,
    *,
    event_limit: RateLimitBudget,
) -> AtlasClient:
    """Build the client of one project; each answer updates its limits, metrics and traces."""

    def observe(call: CallRecord) -> None:
        # A feed that is refused is no fault: only the starters of jobs are not known then.
        if not (call.path.endswith(FEED_PATHS) and call.status in FEED_REFUSALS):
            metrics.observe_atlas_call(call.method, call.status, call.seconds)
        tracing.record_atlas_call(call)
        if call.path.endswith(EVENTS_PATH) and call.status and not call.challenge:
            event_limit.update(call.rate_limit_remaining, call.rate_limit)
        if BACKUP_PATH in call.path and call.status and not call.challenge:
            rate_limit.update(call.rate_limit_remaining, call.rate_limit)

    return AtlasClient(
        project.credentials,
        base_url=settings.atlas.base_url,
        version=settings.atlas.api_version,
        envelope=settings.atlas.envelope,
        observe=observe,
        on_login_refused=metrics.login_refused.inc,
    )


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


def key_access_loops(
    settings: Settings, services: CoreServices, metrics: Metrics
) -> Iterator[Coroutine[Any, Any, None]]:
    """Build the loop of each project, which reads what its key may do."""

    def on_read(project: ProjectSettings, access: KeyAccess) -> None:
        if access.secret_expires_at:
            metrics.set_secret_expiry(project.label, access.secret_expires_at)
        services.projects.update({project.id: {"key_may_cancel": access.may_cancel}})

    for p in settings.projects:
        atlas = services.atlas[p.id]
        yield follow_key_access(atlas, p.id, p.credentials, partial(on_read, p))


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
