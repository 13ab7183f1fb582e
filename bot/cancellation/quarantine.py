"""Quarantine: a new download that no approver keeps within the grace time is cancelled (pure)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from bot.atlas import JobRef, RestoreJob
from bot.cancellation.job import end_of_job, what_was_sent
from bot.cancellation.lifecycle import Ask, Ending, JobFingerprint, Request, State
from bot.cancellation.policy import Mode, Policy, is_expected
from bot.cancellation.starter import StartedBy

LIMIT_WINDOW = timedelta(hours=1)  #: in which the bot cancels `quarantine_limit` downloads
#: How old a quarantine is when an expected starter ends it: events are up to 16 s late.
FEED_SHOWS_AFTER = timedelta(seconds=20)
RETRY_PAUSE = timedelta(seconds=30)  #: after a fault of Atlas, at least
TRIED_FOR = timedelta(hours=2)  #: after its start a download's link has expired: it has one hour
#: Refusals that may pass: a key is being replaced, or gets its role.
KEY_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
LONGEST_SILENCE = timedelta(seconds=8)  #: of Slack, after which grace times start again
NOT_KEPT = "No approver kept the download within the grace time."
WOULD_HAVE = (
    "No approver kept the download within the grace time. Nothing was sent: the bot only observes"
    " here; otherwise it would have cancelled it."
)
NO_LONGER = "The bot's current settings do not let it cancel this download."
PROJECT_GONE = "The bot does not know this project any more, so it does not cancel this download."
LIMIT_REACHED = (
    "Within an hour the bot itself has cancelled as many downloads of this project as it may"
    " ({limit}): a person decides."
)
EXPECTED = "It was started by {name}, who may download without being asked."
TAKEN_OVER = "The bot cancels the download unless an approver keeps it: request {request}."

#: The states of a request that replaced a quarantine and cancels the download, or cannot any more.
CANCELS = frozenset({State.APPROVED, State.CANCELLING, State.CANCELLED, State.OVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedCluster:
    """A cluster whose new downloads are quarantined."""

    project: str  #: its name
    channel: str  #: gets the cards
    policy: Policy


def quarantine_key(ref: JobRef) -> str:
    """Return the idempotency key: a job is quarantined once, by whichever replica is first."""
    return f"quarantine:{ref.project_id}/{ref.cluster_name}/{ref.job_id}"


def new_request(
    request_id: str, ref: JobRef, shown: JobFingerprint, watched: WatchedCluster, now: datetime
) -> Request:
    """Build the bot's own request to cancel a download."""
    return Request(
        id=request_id,
        key=quarantine_key(ref),
        state=State.QUARANTINED,
        ask=Ask(ref=ref, shown=shown, asked_in=watched.channel),
        project_name=watched.project,
        team="",
        requester="",
        channel=watched.channel,
        approvals_needed=1,
        created_at=now,
        changed_at=now,
        expires_at=now + watched.policy.quarantine_grace,
    )


def observed(why: str, request: Request) -> Ending:
    return Ending.explained(State.OBSERVED, f"{why} {what_was_sent(request)}")


def ending_before_delete(policy: Policy, request: Request, started_by: StartedBy) -> Ending | None:
    """Return the end of a request that may not run: its starter is expected, or it is off."""
    starter = started_by.starter
    if starter and is_expected(policy, started_by):
        return Ending.explained(State.KEPT, EXPECTED.format(name=starter.name))
    if policy.quarantine is Mode.ENFORCE:
        return None
    first = policy.quarantine is Mode.OBSERVE and not request.sent.count
    return Ending.explained(State.OBSERVED, WOULD_HAVE) if first else observed(NO_LONGER, request)


def ending(
    policy: Policy, request: Request, started_by: StartedBy, job: RestoreJob | None, cancelled: int
) -> Ending:
    """Decide what happens when the grace time is over.

    `job` is as it was just read; None if Atlas did not answer. `cancelled` is the number of
    downloads of the project that the bot itself cancelled within an hour.
    """
    run = Ending.explained(State.APPROVED, NOT_KEPT)
    if job and job.is_over:  # a run reads whether a DELETE ended it
        return run if request.sent.unknown else end_of_job(request, job.state)
    end = ending_before_delete(policy, request, started_by)
    if end is None and cancelled >= policy.quarantine_limit:
        end = observed(LIMIT_REACHED.format(limit=policy.quarantine_limit), request)
    return end or run


def tried_until(ref: JobRef) -> datetime:
    """Return until when the bot tries to cancel a download while Atlas fails."""
    return ref.started_at + TRIED_FOR


def try_again_at(ref: JobRef, now: datetime, retry_after: float | None = None) -> datetime:
    """Return when the bot tries again; pauses grow to a tenth of the download's age."""
    return now + max(RETRY_PAUSE, (now - ref.started_at) / 10, timedelta(seconds=retry_after or 0))


def after_fault(request: Request, end: Ending, again_at: datetime) -> Ending:
    """Return the end of a run; the bot's own request is in quarantine again after a fault of Atlas.

    Not once Atlas accepted a DELETE: only a person may let another one be sent.
    """
    is_fault = end.state is State.FAILED or end.outcome.status in KEY_REFUSED
    may_run = request.by_bot and not request.sent.accepted and again_at < tried_until(request.ref)
    again = Ending(State.QUARANTINED, replace(end.outcome, tries_again=True))
    return again if is_fault and may_run else end


class GraceClock:
    """Knows which grace times go on: of cards that people could see since the step before.

    Others start again: after Slack, the database or this process was unavailable, another replica
    led, or the clock was set.
    """

    def __init__(self) -> None:
        self._seen: frozenset[str] = frozenset()  # the ids of requests
        self._answered_at = datetime.min.replace(tzinfo=UTC)

    def interrupt(self) -> None:
        """Slack or the database did not answer, or no card is visible: no grace time goes on."""
        self._seen = frozenset()

    def going_on(self, seen: Iterable[str], now: datetime) -> frozenset[str]:
        """Return those of the visible cards whose grace time goes on.

        Slack and the database have just answered, at the time `now`.
        """
        if not timedelta() <= now - self._answered_at <= LONGEST_SILENCE:
            self.interrupt()
        before, self._seen, self._answered_at = self._seen, frozenset(seen), now
        return before & self._seen
