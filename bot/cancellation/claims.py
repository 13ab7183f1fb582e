"""Whether the starter of a download is asked, who may answer, and what an answer does (pure)."""

from bot.cancellation.errors import AlreadyAnswered, CancellationError, NotAsked, QuestionOver
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import Ending, Request, State
from bot.cancellation.people import ActingPerson, Kind
from bot.cancellation.policy import Policy
from bot.cancellation.quarantine import Mode, is_expected
from bot.cancellation.starter import StarterKind

#: Why the bot cancels a download before the end of its grace time.
DISOWNED = "The person who started it, by Atlas's activity feed, says that it was not they."


def email_to_ask(policy: Policy, job: Job) -> str | None:
    """Return the e-mail address of the user to ask about a new download; None to ask no one.

    An application names itself as it likes, and a key is no person.
    """
    starter = job.started_by.starter
    may_ask = policy.ask_starter and policy.watch_channel and job.asked == ""
    if not may_ask or job.was_running or job.state.is_over or starter is None:
        return None
    if not starter.certain or starter.kind is not StarterKind.USER or "@" not in starter.name:
        return None
    return None if is_expected(policy.quarantine, job.started_by) else starter.name


def answer_refusal(job: Job, person: ActingPerson) -> CancellationError | None:
    """Return why `person` may not answer the question about a job, or None."""
    if not job.asked or person.id != job.asked or person.kind is not Kind.MEMBER:
        return NotAsked()
    if job.answer:
        return AlreadyAnswered(said="was" if job.answer is StarterAnswer.MINE else "was not")
    return QuestionOver() if job.state.is_over else None


def ending_by(answer: StarterAnswer, policy: Policy | None, request: Request) -> Ending | None:
    """Return how a quarantine ends by an answer, or None: it neither counts in the limit nor waits.

    A download that is kept, or that people decide about, goes its way.
    """
    is_enforced = policy is not None and policy.quarantine.mode is Mode.ENFORCE
    is_disowned = answer is StarterAnswer.NOT_MINE and request.state is State.QUARANTINED
    return Ending.explained(State.APPROVED, DISOWNED) if is_enforced and is_disowned else None
