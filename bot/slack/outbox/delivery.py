"""Decides what to do with a post that Slack did not take (pure)."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from bot.cancellation.lifecycle import State
from bot.cancellation.posts import PostKind
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    InvalidToken,
    MessageNotEditable,
    RateLimited,
    SlackError,
    SlackUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.cancellation.posts import Post

#: Seconds before the first repetition; it doubles, up to the longest.
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 15.0

#: Seconds until a refused token is tried again: somebody has to mend it first.
MENDING = 30.0

#: How often a refusal that we do not know is put to the test.
TRIES = 5


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Put it back for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """Slack has it already."""


@dataclass(frozen=True, slots=True)
class MoveCard:
    """Send the card to the requester's direct messages."""


@dataclass(frozen=True, slots=True)
class TellRequester:
    """Send the reply to the requester's direct messages."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Give it up, on record."""


UNSEEN = (
    "Whoever may approve does not see it here: withdraw it, and ask in a channel that they read."
)

Verdict: TypeAlias = RetryLater | Delivered | MoveCard | TellRequester | Drop


def next_action(
    post: Post, trouble: SlackError, jitter: Callable[[], float] = random.random
) -> Verdict:
    """Decide by what Slack said, by what kind of post it is, and by how often it was tried.

    Args:
        post: the post that was not taken.
        trouble: what Slack said.
        jitter: a number from 0 to 1, so that replicas do not knock together.
    """
    if verdict := passing(trouble, post.attempts, jitter):
        return verdict
    known = isinstance(trouble, (CannotPost, MessageNotEditable))
    if not known and post.attempts < TRIES:
        return RetryLater(pause(post.attempts, jitter))
    return _for_good(post)


def passing(
    trouble: SlackError, attempts: int, jitter: Callable[[], float]
) -> RetryLater | Delivered | None:
    """Decide where the trouble has nothing to do with the message; None where it has."""
    match trouble:
        case AlreadyPosted():
            return Delivered()
        case RateLimited(seconds=seconds):
            return RetryLater(seconds + jitter())
        case SlackUnavailable():
            return RetryLater(pause(attempts, jitter))
        case InvalidToken():
            return RetryLater(MENDING)
    return None


def why_moved(post: Post, trouble: SlackError) -> str:
    """Say on the card why it stands in the direct message, and what to do if it waits there."""
    if post.request.state is not State.AWAITING:
        return trouble.sentence
    return f"{trouble.sentence} {UNSEEN}"


def pause(attempts: int, jitter: Callable[[], float] = random.random) -> float:
    """Return how long to wait after `attempts` tries, from half to all of the doubled pause."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts, TRIES * 2))
    return float(longest * (1 + jitter()) / 2)


def _for_good(post: Post) -> Verdict:
    if post.kind is PostKind.EDIT:
        return Drop()
    if post.kind is PostKind.REPLY:
        return TellRequester()
    is_direct = post.request.channel == post.request.requester
    return Drop() if is_direct else MoveCard()
