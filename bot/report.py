"""Writes the log lines and the metrics of what the transactions of this process have changed."""

from dataclasses import dataclass

import structlog

from bot.cancellation.change import Change, DownloadChange, RequestChange
from bot.cancellation.request import State
from bot.log_config import DOWNLOAD_LOGGER
from bot.services.projects import Projects
from bot.web.metrics import Metrics

#: How the ends of a run count for auto-cancel; after those that failed the download may go on.
AUTO_CANCELS = {
    State.CANCELLED: "cancelled",
    State.FAILED: "failed",
    State.REFUSED: "failed",
    State.CHANGED: "failed",
}

log = structlog.get_logger(DOWNLOAD_LOGGER)


@dataclass(frozen=True, slots=True)
class Report:
    """Called with each change, once it is in the database."""

    projects: Projects
    metrics: Metrics

    def __call__(self, change: Change) -> None:
        if isinstance(change, DownloadChange):
            self._of_download(change)
        else:
            self._of_request(change)

    def _of_download(self, change: DownloadChange) -> None:
        before, after, ref = change.before, change.after, change.after.ref
        label = self.projects.label_of(ref.project_id)
        place = {
            "project": self.projects.name_of(ref.project_id),
            "cluster": ref.cluster_name,
            "job": ref.job_id,
        }
        if before is None:
            log.info("download_seen", **place, started=after.started_at.isoformat())
            self.metrics.seen.labels(project=label).inc()
        if change.is_new:  # others were running before the watch first started
            self.metrics.observe_detection((after.stored_at - after.started_at).total_seconds())
        if change.shows_link:
            self.metrics.live_links.labels(project=label).inc()
        if after.let_run and not (before and before.let_run):
            self.metrics.auto_cancels.labels(how="let_run").inc()
        if change.has_ended:
            log.info(
                "download_ended",
                **place,
                how=str(after.ended),
                started_by=list(after.starters.names),
                link_seen=after.link_existed,
            )

    def _of_request(self, change: RequestChange) -> None:
        state = change.after.state
        self.metrics.requests.labels(state=state).inc()
        if change.after.is_automatic and (how := AUTO_CANCELS.get(state)):
            self.metrics.auto_cancels.labels(how=how).inc()
        if state is State.CANCELLED and not change.download.link_existed:
            self.metrics.cancelled_before_link.inc()
