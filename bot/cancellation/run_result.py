"""The results of runs: the next state of a request, and the sentence for people (pure)."""

from bot.atlas import AtlasError, AtlasRejected, RestoreJob
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import DeleteAttempts, Ending, Outcome, State, Step

NOTHING_DONE = "Nothing was done."
NOTHING_MORE_SENT = "Nothing more was sent."
SENT_BUT_UNREADABLE = (
    "The cancellation was sent, but the job could not be read again, so look in Atlas."
)
JOB_STILL_THERE = "The job is still there."
ACCEPTED_BUT_NOT_CANCELLED = (
    "Atlas accepted the cancellation, but still shows the job as {state}."
    " Look at it in Atlas, or try again."
)
SENT_BUT_NOT_CANCELLED = (
    "The cancellation was sent and its answer is not known. Atlas still shows the job as {state}."
    " Look at it in Atlas, or try again."
)
ENDED_BEFORE = "Nothing was sent: the restore job had ended before ({state})."
ENDED_OTHERWISE = "The restore job ended by other means ({state})."
CANCELLED_AND_FAILED = (
    "The restore job is over, and no copy comes of it. It reads cancelled and failed, so Atlas does"
    " not say whether the cancellation ended it."
)
ANOTHER_JOB = "Its type or its snapshot is not the one that was shown."
APPROVALS_MISSING = "By the current policy, approvals are missing."
CONFIRMED = "Atlas confirms that the restore job is cancelled."


def result_of_step(step: Step, sent: DeleteAttempts, job: RestoreJob) -> Ending | None:
    """Return the result of a run that ends with this step (pure)."""
    match step:
        case Step.CANCELLED:
            sentence = CONFIRMED
        case Step.OVER:
            sentence = _sentence_when_over(sent, job)
        case Step.CHANGED:
            sentence = ANOTHER_JOB
        case Step.SEND | Step.WAIT:
            return None
    return Ending.explained(State(step.value), sentence)


def _sentence_when_over(sent: DeleteAttempts, job: RestoreJob) -> str:
    is_both = job.cancelled and job.failed
    if is_both and sent.may_have_taken_effect:
        return CANCELLED_AND_FAILED
    ended = ENDED_OTHERWISE if sent.count else ENDED_BEFORE
    return ended.format(state="cancelled and failed" if is_both else job.state.value)


def result_of_judgement(judgement: Judgement, sent: DeleteAttempts) -> Ending:
    """Return the result of a run that the current policy does not allow (pure)."""
    done = NOTHING_MORE_SENT if sent.count else NOTHING_DONE
    because = judgement.refusal or APPROVALS_MISSING
    return judgement.instead or Ending.explained(State.AWAITING, f"{done} {because}")


def result_of_failed_read(
    sent: DeleteAttempts, delete_error: AtlasError | None, read_error: AtlasError
) -> Ending:
    """Return the result of a run whose GET failed (pure).

    `refused` is certain only if no DELETE may have taken effect.
    """
    if sent.may_have_taken_effect:
        return failed_with(State.FAILED, read_error, SENT_BUT_UNREADABLE)
    for error in (delete_error, read_error):
        if isinstance(error, AtlasRejected):
            return failed_with(State.REFUSED, error)
    return failed_with(State.FAILED, read_error, NOTHING_DONE)


def result_of_timeout(
    sent: DeleteAttempts, delete_error: AtlasError | None, job: RestoreJob
) -> Ending:
    """Return the result of a run whose time is over while the job is still there (pure)."""
    if sent.accepted or delete_error is None:
        known = ACCEPTED_BUT_NOT_CANCELLED if sent.accepted else SENT_BUT_NOT_CANCELLED
        sentence = known.format(state=job.state.value.replace("_", " "))
        return Ending.explained(State.FAILED, sentence)
    return failed_with(State.FAILED, delete_error, JOB_STILL_THERE)


def failed_with(state: State, error: AtlasError, prefix: str = "") -> Ending:
    """Return a result with Atlas's status and code (pure)."""
    sentence = f"{prefix} {error}".strip()
    return Ending(state, Outcome(sentence=sentence, status=error.status, code=error.code))
