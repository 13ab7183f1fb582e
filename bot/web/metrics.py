"""The metrics that `/metrics` serves."""

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from itertools import product

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from bot.cancellation.request import State

NAMESPACE = "cancel_restore"
#: Answers of Atlas that raise an alert; their counters exist from the start.
METHODS = ("GET", "DELETE")
ALERT_STATUSES = ("401", "403", "429")
NO_ANSWER = "none"  #: the status of a call without an answer
AUTO_CANCEL_ENDS = ("cancelled", "let_run", "failed")
#: Seconds. Slack's limit for an acknowledgement is three.
ACK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3)
ATLAS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DETECTION_BUCKETS = (5, 10, 15, 20, 30, 45, 60, 90, 120, 150, 300)

# Else each counter has a second series, with the time of its start.
disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no type there


class Metrics:
    """The metrics of one process, in a registry of their own.

    Every counter that an alert reads exists at 0 from the start of the process: Prometheus sees no
    increase in a series that begins at 1. Gauges show something in the active process alone: an
    old value would raise an alert beside the process that took over.
    """

    def __init__(self, projects: Iterable[str] = ()) -> None:
        """Take the labels of all projects; none of them changes."""
        self._registry = CollectorRegistry()
        self._counter = partial(Counter, namespace=NAMESPACE, registry=self._registry)
        self._gauge = partial(Gauge, namespace=NAMESPACE, registry=self._registry)
        self._histogram = partial(Histogram, namespace=NAMESPACE, registry=self._registry)
        self._add_requests()
        self._add_atlas()
        self._add_downloads(projects)
        self._add_process()

    def _add_requests(self) -> None:
        self.requests = self._counter("requests", "Requests that entered a state.", ["state"])
        for state in State:
            self.requests.labels(state=state)
        self._pending = self._gauge("pending_requests", "Requests that have not ended.")
        self.cancelled_before_link = self._counter(
            "cancelled_before_link", "Cancelled downloads whose link was never seen."
        )
        self.auto_cancels = self._counter(
            "auto_cancels", "Downloads with an auto-cancel time, by how it was used.", ["how"]
        )
        for how in AUTO_CANCEL_ENDS:
            self.auto_cancels.labels(how=how)

    def _add_atlas(self) -> None:
        self._atlas_requests = self._counter(
            "atlas_requests",
            f"Calls of the Atlas Administration API; status {NO_ANSWER} means no answer.",
            ["method", "status"],
        )
        for method, status in product(METHODS, (*ALERT_STATUSES, NO_ANSWER)):
            self._atlas_requests.labels(method=method, status=status)
        self._atlas_seconds = self._histogram(
            "atlas_request_seconds",
            "Duration of calls of the Atlas Administration API.",
            buckets=ATLAS_BUCKETS,
        )
        self.login_refused = self._counter(
            "atlas_login_refused", "Calls for which Atlas refused the key or the service account."
        )

    def _add_downloads(self, projects: Iterable[str]) -> None:
        self._watch_success = self._gauge(
            "watch_last_success_timestamp_seconds",
            "When the last complete look at all clusters of a project began, or the process became"
            " active.",
            ["project"],
        )
        self.seen = self._counter("downloads_seen", "Downloads that the watch saw.", ["project"])
        self.live_links = self._counter(
            "downloads_live_link", "Downloads whose link was seen.", ["project"]
        )
        for project in projects:
            self.seen.labels(project=project)
            self.live_links.labels(project=project)
        self._detection = self._histogram(
            "detection_seconds",
            "Time from the start of a download until it was stored and announced.",
            buckets=DETECTION_BUCKETS,
        )

    def _add_process(self) -> None:
        self._ack = self._histogram(
            "ack_seconds", "Time until Slack had its acknowledgement.", buckets=ACK_BUCKETS
        )
        self._oldest_unposted = self._gauge(
            "oldest_unposted_seconds", "Age of the oldest change that Slack does not show, or 0."
        )
        self.dropped_posts = self._counter("dropped_posts", "Posts that Slack refused for good.")
        self._active = self._gauge("active", "1 in the active process, 0 in a standby.")
        self._is_active = False

    def become_active(self, watched: Iterable[str], at: datetime) -> None:
        """Show the age of each project's watch from now on, also where no look is ever complete."""
        self._is_active = True
        self._active.set(1)
        for project in watched:
            self.set_round(project, at)

    def become_standby(self) -> None:
        """Take back what the gauges of the active process say."""
        self._is_active = False
        for gauge in (self._active, self._pending, self._oldest_unposted):
            gauge.set(0)
        self._watch_success.clear()

    def observe_atlas_call(self, method: str, status: int | None, seconds: float) -> None:
        """Count one call; `status` is None without an answer."""
        self._atlas_requests.labels(method=method, status=str(status or NO_ANSWER)).inc()
        self._atlas_seconds.observe(seconds)

    def set_round(self, project: str, at: datetime) -> None:
        if self._is_active:
            self._watch_success.labels(project=project).set(at.timestamp())

    def set_backlog(self, pending: int, oldest_unposted: float) -> None:
        """Note the requests that have not ended, and the age of what Slack does not show."""
        if self._is_active:
            self._pending.set(pending)
            self._oldest_unposted.set(max(oldest_unposted, 0.0))

    def observe_detection(self, seconds: float) -> None:
        self._detection.observe(max(seconds, 0.0))

    def observe_ack(self, seconds: float) -> None:
        self._ack.observe(seconds)

    def render(self) -> bytes:
        """Return the text format of Prometheus."""
        return generate_latest(self._registry)
