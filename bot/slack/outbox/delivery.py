"""Decides what to do with a post that Slack refused (pure)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import is_operator
from bot.cancellation.policy import Policy
from bot.cancellation.posts import (
    JobPost,
    Post,
    PostKind,
    RequestPost,
    are_reached_directly,
)
from bot.slack import errors
from bot.slack.errors import SlackError
from bot.timings import backoff

# Seconds between attempts
INITIAL_BACKOFF = 1.0  # doubled for each further attempt, up to the maximum
MAX_BACKOFF = 15.0
INVALID_TOKEN_BACKOFF = 30.0  # while Slack refuses the bot's token
REFUSED_BACKOFF = 100.0  # the maximum for a message that Slack refuses everywhere
REFUSED_ANNOUNCEMENT_BACKOFF = 60.0  # the bot may be invited to the channel

# Numbers of attempts
MAX_ATTEMPTS = 5  # of a post that Slack refuses for an unknown reason
MAX_REFUSED_ATTEMPTS = 10_000  # of a refused message: more than a week
#: Of an edit or a copy that Slack refuses with any content: about an hour, as these share a rate
#: limit, and the thread has the outcome too.
MAX_EDIT_ATTEMPTS = 50


@dataclass(frozen=True, slots=True)
class RetryLater:
    seconds: float


class Action(StrEnum):
    """What to do other than to try again."""

    DELIVERED = "delivered"  #: nothing: Slack has the message already
    #: post the card as a direct message to the requester, or in the spare channel
    MOVE_CARD = "move card"
    NOTIFY_REQUESTER = "notify requester"  #: post the reply as a direct message to the requester
    DROP = "drop"  #: end delivery without success


NextAction: TypeAlias = Action | RetryLater

SEEN_BY_APPROVERS = "Approvers get it as a direct message."
NOT_SEEN_BY_APPROVERS = (
    "Approvers do not see it here: withdraw it, and ask in a channel that they read."
)


def next_action(
    post: Post, channel: str, error: SlackError, jitter: float, spare: str | None = None
) -> NextAction:
    """Decide by Slack's error in a channel, the kind of the post and the number of attempts.

    `jitter` is a random number from 0 to 1, so that replicas do not retry at the same moment.
    `spare` is another channel for a card whose requester no direct message reaches.
    """
    match error:
        case errors.AlreadyPosted():
            return Action.DELIVERED
        case errors.RateLimited(seconds=seconds):
            return RetryLater(seconds + jitter)
        case errors.InvalidToken():
            return RetryLater(INVALID_TOKEN_BACKOFF)
        case errors.MessageDeleted():
            return Action.DROP
    is_certain = isinstance(error, (errors.CannotPost, errors.MessageNotEditable))
    may_pass = not is_certain and post.attempts < MAX_ATTEMPTS
    if may_pass or isinstance(error, errors.SlackUnavailable):
        return _retry(post, MAX_BACKOFF, jitter)
    return _elsewhere(post, channel, spare) or _retry_slowly(post, error, jitter)


def _elsewhere(post: Post, channel: str, spare: str | None) -> Action | None:
    """Return how to reach the requester, if another place is left to try."""
    if post.is_edit:
        return None
    match post:
        case JobPost(recipient=str()):
            return Action.DROP
        case RequestPost(kind=PostKind.CARD) if spare:
            return Action.MOVE_CARD
        case RequestPost(kind=PostKind.DIRECT | PostKind.COPY):
            return Action.DROP  # the person takes no direct messages; the thread mentions them
        case RequestPost(request=request) if reaches(request) and channel != request.requester:
            return Action.MOVE_CARD if post.kind is PostKind.CARD else Action.NOTIFY_REQUESTER
    return None


def reaches(request: Request) -> bool:
    """Return whether a direct message reaches the requester, who may be an operator or the bot."""
    return not (request.by_bot or is_operator(request.requester))


def _retry(post: Post, longest: float, jitter: float) -> RetryLater:
    return RetryLater(backoff(post.attempts, first=INITIAL_BACKOFF, longest=longest, jitter=jitter))


def _retry_slowly(post: Post, error: SlackError, jitter: float) -> NextAction:
    """Decide about a message that no place takes: Slack or its settings may change."""
    # Without a new message people would not learn of the job, or of the outcome.
    waits_long = not post.is_edit or isinstance(error, errors.SlackRejected)
    if post.attempts >= (MAX_REFUSED_ATTEMPTS if waits_long else MAX_EDIT_ATTEMPTS):
        return Action.DROP
    if not isinstance(post, RequestPost):
        return RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)
    # Each attempt sends approvers a copy, if Slack says by then who they are.
    is_urgent = post.request.state is State.QUARANTINED
    return _retry(post, MAX_BACKOFF if is_urgent else REFUSED_BACKOFF, jitter)


def reason_to_move(request: Request, policy: Policy | None, error: SlackError) -> str:
    """Return the reason on a card that moves to the direct message; None: no project any more."""
    if request.state is not State.AWAITING or not reaches(request):
        return error.sentence
    reached = policy is not None and are_reached_directly(policy, request.requester)
    return f"{error.sentence} {SEEN_BY_APPROVERS if reached else NOT_SEEN_BY_APPROVERS}"
