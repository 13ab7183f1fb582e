"""Collects metrics and serves them at `/metrics`."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from itertools import product

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.web.server import CHECK_TIMEOUT, Check, run_checks

#: The states of a request, repeated here because this package does not import the rules. Each
#: counter exists at 0 from the start: Prometheus sees no increase in a series that begins at 1.
STATES = (
    *("awaiting", "approved", "cancelling", "cancelled", "over", "refused", "changed", "failed"),
    *("denied", "expired", "withdrawn"),
)

#: Atlas responses whose first occurrence raises an alert; their counters exist at 0 too.
METHODS = ("GET", "DELETE")
ALERT_STATUSES = ("403", "429")
#: The status of a call without a response.
NO_RESPONSE = "none"

#: Seconds. Slack expires an acknowledgement after three.
ACK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)
ATLAS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The bot's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self._requests = counter(
            "cancel_restore_requests", "Requests that entered a state.", ["state"]
        )
        self._atlas_requests = counter(
            "cancel_restore_atlas_requests",
            f"Calls of the Atlas Administration API; status {NO_RESPONSE} means no response.",
            ["method", "status"],
        )
        self._atlas_seconds = histogram(
            "cancel_restore_atlas_request_seconds",
            "Duration of calls of the Atlas Administration API.",
            buckets=ATLAS_BUCKETS,
        )
        self._ack_seconds = histogram(
            "cancel_restore_ack_seconds",
            "Time until Slack had its acknowledgement.",
            buckets=ACK_BUCKETS,
        )
        self._before_link = counter(
            "cancel_restore_cancelled_before_link", "Cancelled jobs whose link was never live."
        )
        self._pending = gauge("cancel_restore_pending_requests", "Requests that have not ended.")
        self._unreviewed = gauge(
            "cancel_restore_unreviewed_requests",
            "Requests that ran without approval and were not reviewed.",
        )
        self._ready = gauge(
            "cancel_restore_ready", "Whether each check of /readyz succeeds, 1 or 0.", ["check"]
        )
        self._dropped_posts = counter(
            "cancel_restore_dropped_posts", "Messages that Slack took nowhere, given up."
        )
        self._connections = gauge(
            "cancel_restore_slack_connections", "Open connections of Socket Mode; 0 in HTTP mode."
        )
        self._webhook_lag = gauge(
            "cancel_restore_audit_webhook_lag_seconds",
            "Age of the oldest audit event that the audit webhook's receiver has not taken, or 0.",
        )
        self._settings_valid = gauge(
            "cancel_restore_settings_valid",
            "Whether the settings were valid when last read, 1 or 0.",
        )
        self._settings_valid.set(1)
        self._login_refused = counter(
            "cancel_restore_atlas_login_refused",
            "Calls for which Atlas refused the key or the service account.",
        )
        self._watch_success = gauge(
            "cancel_restore_watch_last_success_timestamp_seconds",
            "When the watch last read a watched project; 0 before.",
            ["project"],
        )
        self._secret_expires = gauge(
            "cancel_restore_atlas_secret_expires_timestamp_seconds",
            "When the secret of the project's service account expires.",
            ["project"],
        )
        for state in STATES:
            self._requests.labels(state=state)
        for method, status in product(METHODS, (*ALERT_STATUSES, NO_RESPONSE)):
            self._atlas_requests.labels(method=method, status=status)

    def count_state(self, state: str) -> None:
        """Count a request that entered `state`."""
        self._requests.labels(state=state).inc()

    def count_cancelled_before_link(self) -> None:
        """Count a cancelled job whose download link was never live."""
        self._before_link.inc()

    def observe_atlas_call(self, method: str, status: int | None, seconds: float) -> None:
        """Count one call; `status` is None without a response."""
        shown = NO_RESPONSE if status is None else str(status)
        self._atlas_requests.labels(method=method, status=shown).inc()
        self._atlas_seconds.observe(seconds)

    def count_login_refused(self) -> None:
        self._login_refused.inc()

    def track_watch(self, project: str) -> Callable[[], None]:
        """Return what records a successful read of a watched project."""
        return self._watch_success.labels(project=project).set_to_current_time

    def set_secret_expiry(self, project: str, at: datetime) -> None:
        self._secret_expires.labels(project=project).set(at.timestamp())

    def observe_ack(self, seconds: float) -> None:
        self._ack_seconds.observe(seconds)

    def count_dropped_post(self) -> None:
        self._dropped_posts.inc()

    def set_open(self, pending: int, unreviewed: int) -> None:
        """Set how many requests have not ended, and how many wait for a review."""
        self._pending.set(pending)
        self._unreviewed.set(unreviewed)

    def set_ready(self, check: str, *, ready: bool) -> None:
        self._ready.labels(check=check).set(ready)

    def track_connections(self, count: Callable[[], int]) -> None:
        """Call `count` at each scrape for the number of Socket Mode connections."""
        self._connections.set_function(count)

    def set_settings_valid(self, *, valid: bool) -> None:
        self._settings_valid.set(valid)

    def track_webhook_lag(self, lag: Callable[[], float]) -> None:
        """Call `lag` at each scrape for the age of the oldest unsent event."""
        self._webhook_lag.set_function(lag)

    def render(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)


def add_metrics(
    app: web.Application,
    metrics: Metrics,
    checks: Mapping[str, Check] | None = None,
    timeout: float = CHECK_TIMEOUT,
) -> None:
    """Serve `metrics` at `/metrics`; each scrape runs `checks`, those of `/readyz`."""
    all_checks = checks or {}

    async def scrape(_request: web.Request) -> web.Response:
        failed = await run_checks(all_checks, timeout)
        for name in all_checks:
            metrics.set_ready(name, ready=name not in failed)
        return web.Response(
            body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    app.router.add_get("/metrics", scrape)
