"""Tells the log and the metrics what reads of Atlas have shown."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from bot.cancellation.download import Download
from bot.log_config import DOWNLOAD_LOGGER
from bot.services.projects import Projects
from bot.storage.download_store import Changes

log = structlog.get_logger(DOWNLOAD_LOGGER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Reports the changes of listings and reads; the callables update metrics."""

    projects: Projects
    now: Callable[[], datetime]
    on_seen: Callable[[str], None] = lambda _project: None  #: with the project's label
    on_detected: Callable[[float], None] = lambda _seconds: None  #: from the start
    on_link_seen: Callable[[str], None] = lambda _project: None
    on_round: Callable[[str, datetime], None] = lambda _project, _at: None

    def report_round(self, project_id: str, began: datetime) -> None:
        """Note a complete look at all clusters of a project."""
        self.on_round(self.projects.label_of(project_id), began)

    def report(self, changes: Changes) -> None:
        """Write the log lines `download_seen` and `download_ended`, and count."""
        for download in changes.seen:
            self._report_seen(download, is_new=download in changes.new)
        for download in changes.link_seen:
            self.on_link_seen(self.projects.label_of(download.ref.project_id))
        for download in changes.ended:
            log.info(
                "download_ended",
                **self._place(download),
                how=str(download.ended),
                started_by=list(download.starters.names),
                link_seen=download.link_existed,
            )

    def _report_seen(self, download: Download, *, is_new: bool) -> None:
        log.info("download_seen", **self._place(download), started=download.started_at.isoformat())
        self.on_seen(self.projects.label_of(download.ref.project_id))
        if is_new:  # others were running before the watch first started
            self.on_detected((self.now() - download.started_at).total_seconds())

    def _place(self, download: Download) -> dict[str, str]:
        ref = download.ref
        return {
            "project": self.projects.name_of(ref.project_id),
            "cluster": ref.cluster_name,
            "job": ref.job_id,
        }
