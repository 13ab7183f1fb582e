"""The audit events of downloads, each once, with or without a request (pure)."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from bot.atlas import JobState
from bot.cancellation.events import EventName
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import JOB_FIELDS

#: The states in which a link is live or was used.
_WITH_LINK = frozenset({JobState.LINK_LIVE, JobState.LINK_USED})


def events_to_record(
    job: Job, recorded: Collection[str], *, was_cancelled: bool
) -> Iterator[tuple[EventName, Mapping[str, Any]]]:
    """Yield the events that are true of an announced job and not `recorded`, with their details.

    `was_cancelled` is whether a DELETE of the bot may have ended it: then it may read failed too.
    """
    ref = {name: getattr(job.ref, attribute) for attribute, name in JOB_FIELDS.items()}
    for name, detail in _true_of(job, was_cancelled=was_cancelled):
        if name not in recorded:
            yield name, ref | detail


def _true_of(job: Job, *, was_cancelled: bool) -> Iterator[tuple[EventName, dict[str, Any]]]:
    started = job.ref.started_at.isoformat()
    yield EventName.SEEN, {"started": started, "before_watch": job.was_running}
    starter = job.started_by.starter
    if starter and starter.certain:
        detail = {"by": starter.name or None, "kind": starter.kind}
        yield EventName.DOWNLOAD_STARTER_KNOWN, detail
    if job.live_since or job.state in _WITH_LINK:
        times = {"live_since": job.live_since, "until": job.until}
        detail = {name: at.isoformat() if at else None for name, at in times.items()}
        yield EventName.DOWNLOAD_LINK_LIVE, detail
    if job.ended:
        how = JobState.CANCELLED if was_cancelled and job.state is JobState.FAILED else job.state
        yield EventName.DOWNLOAD_ENDED, {"how": how}
