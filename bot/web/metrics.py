"""Serves metrics at `/metrics`, and the health checks at `/healthz` and `/readyz`."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from itertools import product
from typing import TypeAlias

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.cancellation.events import Event, EventName, state_entered
from bot.cancellation.lifecycle import State

#: Atlas responses whose first occurrence raises an alert. Their counters exist at 0 from the start:
#: Prometheus sees no increase in a series that begins at 1.
METHODS = ("GET", "DELETE")
ALERT_STATUSES = ("403", "429")
NO_RESPONSE = "none"  #: the status of a call without a response
#: Seconds. Slack expires an acknowledgement after three.
ACK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)
ATLAS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DETECTION_BUCKETS = (5, 10, 15, 20, 30, 45, 60, 90, 120, 150, 300)
NAMESPACE = "cancel_restore"
ANSWERS = {EventName.DOWNLOAD_CLAIMED: "mine", EventName.DOWNLOAD_DISOWNED: "not_mine"}

#: Returns None on success, otherwise a sentence that names the problem.
Check: TypeAlias = Callable[[], Awaitable[str | None]]
#: Returns a sentence about a problem that needs a person, though the process is ready; or None.
Detail: TypeAlias = Callable[[], str | None]

CHECK_TIMEOUT = 2.0  #: seconds for each check; probes usually have a slightly longer timeout

log = structlog.stdlib.get_logger(__name__)


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._counter = partial(Counter, namespace=NAMESPACE, registry=self._registry)
        self._gauge = partial(Gauge, namespace=NAMESPACE, registry=self._registry)
        self._histogram = partial(Histogram, namespace=NAMESPACE, registry=self._registry)
        self._add_requests()
        self._add_atlas()
        self._add_watch()
        self._add_process()

    def _add_requests(self) -> None:
        self.requests = self._counter("requests", "Requests that entered a state.", ["state"])
        for state in State:
            self.requests.labels(state=state)
        self.cancelled_before_link = self._counter(
            "cancelled_before_link", "Cancelled jobs whose link was never live."
        )
        self.quarantine_limit_reached = self._counter(
            "quarantine_limit_reached",
            "Downloads that were only announced, because the bot had cancelled too many.",
            ["project"],
        )
        self.pending = self._gauge("pending_requests", "Requests that have not ended.")
        self.unreviewed = self._gauge(
            "unreviewed_requests", "Requests that ran without approval and were not reviewed."
        )

    def _add_atlas(self) -> None:
        self._atlas_requests = self._counter(
            "atlas_requests",
            f"Calls of the Atlas Administration API; status {NO_RESPONSE} means no response.",
            ["method", "status"],
        )
        for method, status in product(METHODS, (*ALERT_STATUSES, NO_RESPONSE)):
            self._atlas_requests.labels(method=method, status=status)
        self._atlas_seconds = self._histogram(
            "atlas_request_seconds",
            "Duration of calls of the Atlas Administration API.",
            buckets=ATLAS_BUCKETS,
        )
        self.login_refused = self._counter(
            "atlas_login_refused", "Calls for which Atlas refused the key or the service account."
        )
        self.secret_expires = self._gauge(
            "atlas_secret_expires_timestamp_seconds",
            "When the secret of the project's service account expires.",
            ["project"],
        )

    def _add_watch(self) -> None:
        self.watch_success = self._gauge(
            "watch_last_success_timestamp_seconds",
            "When the watch last read all clusters of a watched project; 0 before.",
            ["project"],
        )
        self._downloads_seen = self._counter(
            "downloads_seen", "Downloads of a watched project that are on record.", ["project"]
        )
        self._downloads_disowned = self._counter(
            "downloads_disowned",
            "Downloads of a watched project whose starters deny having started them.",
            ["project"],
        )
        self.starter_questions = self._counter(
            "starter_questions",
            "Answers of the starters of downloads who were asked whether it was they.",
            ["step"],
        )
        self._detection_seconds = self._histogram(
            "detection_seconds",
            "Time from the start of a restore job until Slack had its announcement.",
            buckets=DETECTION_BUCKETS,
        )

    def _add_process(self) -> None:
        self.ack_seconds = self._histogram(
            "ack_seconds", "Time until Slack had its acknowledgement.", buckets=ACK_BUCKETS
        )
        self.dropped_posts = self._counter("dropped_posts", "Messages that no channel accepted.")
        self._channel_reachable = self._gauge(
            "channel_reachable",
            "Whether a channel of the settings takes the bot's posts, 1 or 0.",
            ["channel"],
        )
        self.slack_connections = self._gauge(
            "slack_connections", "Open connections of Socket Mode; 0 in HTTP mode."
        )
        self.registered_connections = self._gauge(
            "slack_registered_connections",
            "Connections of Socket Mode that Slack counted at the last hello; 0 in HTTP mode.",
        )
        self.webhook_lag = self._gauge(
            "audit_webhook_lag_seconds",
            "Age of the oldest audit event that the audit webhook's receiver has not taken, or 0.",
        )
        self.leader = self._gauge(
            "leader", "Whether this replica runs the background loops of all replicas, 1 or 0."
        )
        self.ready = self._gauge(
            "ready", "Whether each check of /readyz succeeds, 1 or 0.", ["check"]
        )
        self.settings_valid = self._gauge(
            "settings_valid", "Whether the settings were valid when last read, 1 or 0."
        )
        self.settings_valid.set(1)

    def count_event(self, event: Event) -> None:
        """Count what an audit event says."""
        state = state_entered(event.name, event.detail)
        if state is State.QUARANTINED and event.detail.get("tries_again"):
            state = State.FAILED  # for the alert: a person may have to cancel the download in Atlas
        is_repeated = event.name is EventName.CREATED and state is State.APPROVED
        if state and not is_repeated:  # by an event that says why no approval was needed
            self.requests.labels(state=state).inc()
        may_be_used = event.detail.keys() & {"link_live_since", "link_unknown"}
        if event.name is EventName.CANCELLED and not may_be_used:
            self.cancelled_before_link.inc()
        if answer := ANSWERS.get(event.name):
            self.starter_questions.labels(step=answer).inc()

    def observe_atlas_call(self, method: str, status: int | None, seconds: float) -> None:
        """Count one call; `status` is None without a response."""
        shown = NO_RESPONSE if status is None else str(status)
        self._atlas_requests.labels(method=method, status=shown).inc()
        self._atlas_seconds.observe(seconds)

    def set_downloads_seen(self, project: str, count: int) -> None:
        _set_to(self._downloads_seen.labels(project=project), count)

    def set_downloads_disowned(self, project: str, count: int) -> None:
        _set_to(self._downloads_disowned.labels(project=project), count)

    def stop_watch(self, project: str) -> None:
        """Show no more of a project that this replica does not watch."""
        for metric in (self.watch_success, self._downloads_seen, self._downloads_disowned):
            metric.remove(project)

    def observe_detection(self, seconds: float) -> None:
        self._detection_seconds.observe(max(seconds, 0.0))

    def set_channels(self, takes_posts: Mapping[str, bool]) -> None:
        """Set which channels of the settings take posts; others are not shown any more."""
        self._channel_reachable.clear()
        for channel, takes in takes_posts.items():
            self._channel_reachable.labels(channel=channel).set(takes)

    def set_open(self, pending: int, unreviewed: int) -> None:
        self.pending.set(pending)
        self.unreviewed.set(unreviewed)

    def render(self) -> bytes:
        return generate_latest(self._registry)


def _set_to(counter: Counter, count: int) -> None:
    """Set a counter to what the database has, so that restarts and lost answers miss none."""
    counter.reset()
    counter.inc(count)


def add_routes(
    app: web.Application,
    metrics: Metrics,
    checks: Mapping[str, Check],
    details: Mapping[str, Detail] = {},
) -> None:
    """Serve `/healthz`, `/readyz` with the result of each check by its name, and `/metrics`.

    `/readyz` has the sentences of `details`, too, which change no status.
    """

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        failed = await run_checks(checks)
        body: dict[str, object] = {"ready": not failed}
        body["checks"] = dict.fromkeys(checks, "ok") | failed
        if told := {name: why for name, detail in details.items() if (why := detail())}:
            body["details"] = told
        return web.json_response(body, status=503 if failed else 200)

    async def scrape(_request: web.Request) -> web.Response:
        failed = await run_checks(checks)
        for name in checks:
            metrics.ready.labels(check=name).set(name not in failed)
        return web.Response(
            body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", scrape)


async def run_checks(checks: Mapping[str, Check]) -> dict[str, str]:
    """Run all checks concurrently; return the sentences of those that failed."""
    results = await asyncio.gather(*(_run(name, check) for name, check in checks.items()))
    return {name: why for name, why in zip(checks, results, strict=True) if why is not None}


async def _run(name: str, check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            return await check()
    except TimeoutError:
        return f"No answer within {CHECK_TIMEOUT:g} seconds."
    except Exception as error:
        log.exception("health check failed", check=name)
        return f"The check itself failed ({type(error).__name__}); the log has the details."
