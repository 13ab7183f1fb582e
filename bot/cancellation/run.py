"""The next step of a run, and how it ends, by what Atlas answered (pure)."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.atlas import RestoreJob
from bot.cancellation.download import LONGEST, Download, Fingerprint
from bot.cancellation.request import Attempts, Ending, Outcome, Request, State

RUN_LIMIT = LONGEST  #: from the stored start of a run: a download is over by then
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
    #: Whether a DELETE may follow, now or after a wait. It may not where the job has changed after
    #: one that may have taken effect.
    may_send: bool = True


def next_step(request: Request, job: RestoreJob, now: datetime) -> NextStep:
    """Decide from a fresh GET, and from nothing else.

    The order matters. A DELETE is sent only if this GET shows the job unchanged; after one that may
    have taken effect, a changed job may still end by it.
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
    if changes:
        return NextStep(Step.READ, may_send=False)
    return NextStep(Step.READ if is_accepted else Step.SEND)


def verdict(attempts: Attempts, *, cancelled: bool, failed: bool) -> State:
    """Return the state of a request whose job has ended: the one answer for run and watch.

    A cancelled job was cancelled by this request if one of its DELETEs may have taken effect. A job
    that reads cancelled and failed may have ended without it, so only an accepted DELETE counts.
    """
    if failed:
        is_ours = cancelled and attempts.accepted_at is not None
    else:
        is_ours = cancelled and attempts.may_have_taken_effect
    return State.CANCELLED if is_ours else State.OVER


def end_of_download(request: Request, download: Download) -> State:
    """Return the state of an open request whose download has ended."""
    return verdict(request.attempts, cancelled=download.cancelled, failed=download.failed)


def is_over_time(request: Request, now: datetime) -> bool:
    """Whether a run has tried for as long as it may."""
    return request.run_started_at is not None and now >= request.run_started_at + RUN_LIMIT


def _text(value: object) -> str | None:
    if isinstance(value, datetime):
        return value.isoformat()
    return None if value is None else str(value)
