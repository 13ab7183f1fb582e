"""Figures per project about the downloads that the watch saw, for `audit summary`."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from statistics import median
from typing import Any

from sqlalchemy import Connection, Row, and_, func, select

from bot.atlas import JobRef
from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import WOULD_HAVE
from bot.cancellation.starter import StartedBy
from bot.storage.tables import JOB, job_facts, requests, to_ref, watched_clusters, watched_jobs
from bot.storage.watch_store import IN_CLUSTER

NOT_KNOWN = "not known"
#: Without the downloads of the first read of their cluster.
_DOWNLOADS = (
    select(watched_jobs, job_facts.c.started_by, job_facts.c.live_since)
    .outerjoin(job_facts, and_(*(job_facts.c[each] == watched_jobs.c[each] for each in JOB)))
    .outerjoin(watched_clusters, IN_CLUSTER)
    .where(
        watched_jobs.c.first_seen_at != func.coalesce(watched_clusters.c.first_read_at, 0),
        watched_jobs.c.version > 0,
    )
)
_REQUESTS = select(requests).order_by(requests.c.created_at)


def read_summary(db: Connection, since: datetime | None) -> list[dict[str, Any]]:
    """Return the figures of each project as JSON values, by its name."""
    about, downloads = defaultdict(list), defaultdict(list)
    after = since or datetime.fromtimestamp(0, UTC)
    for row in db.execute(_REQUESTS.where(requests.c.created_at >= after)):
        about[to_ref(row)].append(row)
    for row in db.execute(_DOWNLOADS.where(watched_jobs.c.first_seen_at >= after)):
        downloads[row.project_id].append(row)
    found = [_figures(project, jobs, about) for project, jobs in downloads.items()]
    return sorted(found, key=itemgetter("project"))


def _figures(
    name: str | None, downloads: Sequence[Row[Any]], about: Mapping[JobRef, Sequence[Row[Any]]]
) -> dict[str, Any]:
    """Return the figures of one project, from its downloads and the requests `about` them."""
    states, would_have = Counter[tuple[str, bool]](), 0
    delays: list[float] = []  # seconds from start to announcement
    for download in downloads:
        own = about.get(to_ref(download), ())
        for request in own:
            name = request.project_name
            states[request.state, download.live_since is None] += 1
            would_have += WOULD_HAVE in (json.loads(request.outcome).get("sentence") or "")
        delays += _delay(download, own)
    return {
        "project": name,
        "downloads": len(downloads),
        "by": dict(Counter(map(_starter, downloads)).most_common()),
        "kept": states[State.KEPT, True] + states[State.KEPT, False],
        "cancelled_before_link": states[State.CANCELLED, True],
        "cancelled_after_link": states[State.CANCELLED, False],
        "would_have_been_cancelled": would_have,
        "seconds_to_announcement_median": median(delays) if delays else None,
        "seconds_to_announcement_worst": max(delays, default=None),
    }


def _starter(download: Row[Any]) -> str:
    starter = StartedBy.from_json(json.loads(download.started_by or "{}")).starter
    return (starter and starter.name) or NOT_KNOWN


def _delay(download: Row[Any], about: Iterable[Row[Any]]) -> list[float]:
    """Return the seconds until the announcement, or the bot's own card, if either was posted."""
    posted = [download.ts, *(request.card_ts for request in about if not request.requester)]
    times = [float(ts) for ts in posted if ts]
    started = to_ref(download).started_at.timestamp()
    return [round(min(times) - started, 1)] if times else []


NO_DOWNLOADS = _figures(None, (), {})  #: the figures where no project has downloads
