"""The figures that `/metrics` shows."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bot.web.health import PATIENCE, find_troubles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bot.web.health import Check

#: The states of a request. They are named here too, so that each counter exists at 0 before
#: anything happens; alert rules need that. This package knows nothing of the domain.
STATES = (
    "awaiting",
    "approved",
    "cancelling",
    "cancelled",
    "over",
    "refused",
    "changed",
    "failed",
    "denied",
    "expired",
    "withdrawn",
)

#: The answers of Atlas that alert rules wait for the first of: these exist at 0 too.
METHODS = ("GET", "DELETE")
AWAITED = ("403", "429")

#: Seconds. Slack gives three for an acknowledgement, Atlas is given more.
ACK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)
ATLAS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

#: The status of a call that got no answer at all.
NO_ANSWER = "none"


class Metrics:
    """Counts what happens, in a registry of its own."""

    def __init__(self, states: Iterable[str] = STATES) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "cancel_restore_requests",
            "Requests that entered a state.",
            ["state"],
            registry=self._registry,
        )
        self._atlas_requests = Counter(
            "cancel_restore_atlas_requests",
            f"Calls of the Atlas Administration API; status {NO_ANSWER} means no answer.",
            ["method", "status"],
            registry=self._registry,
        )
        self._atlas_seconds = Histogram(
            "cancel_restore_atlas_request_seconds",
            "Duration of calls of the Atlas Administration API.",
            buckets=ATLAS_BUCKETS,
            registry=self._registry,
        )
        self._ack_seconds = Histogram(
            "cancel_restore_ack_seconds",
            "Time until Slack had its acknowledgement.",
            buckets=ACK_BUCKETS,
            registry=self._registry,
        )
        self._pending = Gauge(
            "cancel_restore_pending_requests",
            "Requests that have not ended.",
            registry=self._registry,
        )
        self._ready = Gauge(
            "cancel_restore_ready",
            "Whether each check of /readyz is well, 1 or 0.",
            ["check"],
            registry=self._registry,
        )
        self._connections = Gauge(
            "cancel_restore_slack_connections",
            "Open connections of Socket Mode; 0 in HTTP mode.",
            registry=self._registry,
        )
        for state in states:
            self._requests.labels(state=state)
        for method, status in product(METHODS, (*AWAITED, NO_ANSWER)):
            self._atlas_requests.labels(method=method, status=status)

    def state_entered(self, state: str) -> None:
        self._requests.labels(state=state).inc()

    def atlas_answered(self, method: str, status: int | None, seconds: float) -> None:
        """Count one call; `status` is None where no answer came."""
        shown = NO_ANSWER if status is None else str(status)
        self._atlas_requests.labels(method=method, status=shown).inc()
        self._atlas_seconds.observe(seconds)

    def acked(self, seconds: float) -> None:
        self._ack_seconds.observe(seconds)

    def pending(self, count: int) -> None:
        self._pending.set(count)

    def checked(self, check: str, *, well: bool) -> None:
        self._ready.labels(check=check).set(well)

    def watch_connections(self, count: Callable[[], int]) -> None:
        """Ask `count`, at each look, how many connections of Socket Mode there are."""
        self._connections.set_function(count)

    def render(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)


def add_metrics(
    app: web.Application,
    metrics: Metrics,
    checks: Mapping[str, Check] | None = None,
    patience: float = PATIENCE,
) -> None:
    """Serve `metrics` at `/metrics`; each time with what `checks`, those of `/readyz`, say."""
    asked = checks or {}

    async def show(_request: web.Request) -> web.Response:
        troubles = await find_troubles(asked, patience)
        for name in asked:
            metrics.checked(name, well=name not in troubles)
        return web.Response(
            body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    app.router.add_get("/metrics", show)
