"""The next step of a run, and how it ends, by what Atlas answered (pure)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.atlas import RestoreJob
from bot.cancellation.download import Download, Ended, Fingerprint
from bot.cancellation.request import Attempts, Ending, Outcome, Request, State

#: A run ends this long after its start, which is stored: a download is over by then.
RUN_LIMIT = timedelta(minutes=70)
LONGEST_PAUSE = 60.0  #: seconds between two tries
#: For so long an accepted DELETE is only read back. If the job still goes on then, the answer may
#: have come from a proxy, and another DELETE is sent.
ACCEPTED_HOLDS = timedelta(seconds=60)


class Step(StrEnum):
    """The next step of a run, after a GET."""

    SEND = "send"  #: judge, record and send the DELETE
    READ = "read"  #: a DELETE was accepted or may have effect; read until the job reads cancelled
    END = "end"  #: the state is known


@dataclass(frozen=True, slots=True)
class NextStep:
    step: Step
    ending: Ending | None = None


def next_step(request: Request, job: RestoreJob, now: datetime) -> NextStep:
    """Decide from a fresh GET, and from nothing else.

    The order matters. A cancelled job counts as cancelled by this request only if one of its
    DELETEs may have taken effect, and not if it failed too: it may have ended by itself. A DELETE
    is sent only if this GET shows the job unchanged; after one, a changed job may still end by it.
    """
    attempts = request.attempts
    if job.is_over:
        return NextStep(
            Step.END, Ending(verdict(attempts, cancelled=job.cancelled, failed=job.failed))
        )
    changes = request.shown.changes(Fingerprint.of(job))
    if changes and not attempts.may_have_taken_effect:
        texts = {name: (_text(before), _text(after)) for name, (before, after) in changes.items()}
        return NextStep(Step.END, Ending(State.CHANGED, Outcome(changes=texts)))
    accepted_at = attempts.accepted_at
    is_accepted = accepted_at is not None and abs(now - accepted_at) < ACCEPTED_HOLDS
    return NextStep(Step.READ if changes or is_accepted else Step.SEND)


def verdict(attempts: Attempts, *, cancelled: bool, failed: bool) -> State:
    """Return the state of a request whose job has ended: the one answer for run and watch."""
    is_ours = cancelled and not failed and attempts.may_have_taken_effect
    return State.CANCELLED if is_ours else State.OVER


def end_of_download(request: Request, download: Download) -> State:
    """Return the state of an open request whose download has ended."""
    is_cancelled = download.ended is Ended.CANCELLED
    return verdict(request.attempts, cancelled=is_cancelled, failed=not is_cancelled)


def is_over_time(request: Request, now: datetime) -> bool:
    """Whether a run has tried for as long as it may."""
    return request.run_started_at is not None and now >= request.run_started_at + RUN_LIMIT


def _text(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if value is None else str(value)
