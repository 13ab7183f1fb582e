"""Figures per project about the downloads that the watch saw, for `audit summary`."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import median
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from bot.atlas import JobRef
from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import WOULD_HAVE
from bot.cancellation.starter import NOT_READ, StartedBy
from bot.storage.tables import JOB, job_facts, requests, to_ref, watched_clusters, watched_jobs

NOT_KNOWN = "not known"


@dataclass(slots=True, kw_only=True)
class ProjectSummary:
    """The downloads of one project, without those of the first look at their cluster."""

    project: str
    downloads: int = 0
    started_by: Counter[str] = field(default_factory=Counter)  #: by person or key
    kept: int = 0
    cancelled_before_link: int = 0
    cancelled_after_link: int = 0
    would_have_been_cancelled: int = 0
    delays: list[float] = field(default_factory=list)  #: seconds from start to announcement

    def as_json(self) -> dict[str, Any]:
        return {
            "project": self.project,
            "downloads": self.downloads,
            "by": dict(self.started_by.most_common()),
            "kept": self.kept,
            "cancelled_before_link": self.cancelled_before_link,
            "cancelled_after_link": self.cancelled_after_link,
            "would_have_been_cancelled": self.would_have_been_cancelled,
            "seconds_to_announcement_median": median(self.delays) if self.delays else None,
            "seconds_to_announcement_worst": max(self.delays, default=None),
        }


def read_summary(db: Connection, since: datetime | None) -> Sequence[ProjectSummary]:
    """Return the figures of each project, by its name."""
    projects: dict[str, ProjectSummary] = {}
    found = defaultdict(list)
    after = since or datetime.fromtimestamp(0, UTC)
    for row in db.execute(_REQUESTS.where(requests.c.created_at >= after)):
        found[to_ref(row)].append(row)
    for row in db.execute(_DOWNLOADS.where(watched_jobs.c.first_seen_at >= after)):
        ref = to_ref(row)
        summary = projects.setdefault(ref.project_id, ProjectSummary(project=ref.project_id))
        _add(summary, ref, row, found[ref])
    return sorted(projects.values(), key=lambda each: each.project)


_DOWNLOADS = (
    select(watched_jobs, job_facts.c.started_by, job_facts.c.live_since)
    .outerjoin(job_facts, and_(*(job_facts.c[each] == watched_jobs.c[each] for each in JOB)))
    .outerjoin(
        watched_clusters,
        and_(
            watched_clusters.c.project_id == watched_jobs.c.project_id,
            watched_clusters.c.cluster_name == watched_jobs.c.cluster_name,
        ),
    )
    .where(
        watched_jobs.c.first_seen_at != func.coalesce(watched_clusters.c.first_read_at, 0),
        watched_jobs.c.version > 0,
    )
)
_REQUESTS = select(requests).order_by(requests.c.created_at)


def _add(
    summary: ProjectSummary, ref: JobRef, download: Row[Any], about: Iterable[Row[Any]]
) -> None:
    """Count one download with the requests about it."""
    summary.downloads += 1
    known = (
        StartedBy.from_json(json.loads(download.started_by)) if download.started_by else NOT_READ
    )
    summary.started_by[(known.starter and known.starter.name) or NOT_KNOWN] += 1
    posted = [download.ts]
    for request in about:
        summary.project = request.project_name
        summary.kept += request.state == State.KEPT
        if request.state == State.CANCELLED:
            summary.cancelled_before_link += download.live_since is None
            summary.cancelled_after_link += download.live_since is not None
        summary.would_have_been_cancelled += WOULD_HAVE in (
            json.loads(request.outcome).get("sentence") or ""
        )
        if not request.requester:
            posted.append(request.card_ts)
    if times := [float(ts) for ts in posted if ts]:
        summary.delays.append(round(min(times) - ref.started_at.timestamp(), 1))
