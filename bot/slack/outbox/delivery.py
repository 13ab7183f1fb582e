"""Decides what to do with a post that Slack refused (pure)."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from bot.cancellation.lifecycle import State
from bot.cancellation.posts import Post, PostKind, RequestPost
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    InvalidToken,
    MessageNotEditable,
    RateLimited,
    SlackError,
    SlackUnavailable,
)
from bot.timings import Timings

#: Seconds before the first retry; doubled for each further one, up to the maximum.
INITIAL_BACKOFF = 0.5
MAX_BACKOFF = 15.0

#: Seconds between attempts while Slack refuses the bot's token.
INVALID_TOKEN_BACKOFF = 30.0

#: Attempts of a post that Slack refuses for an unknown reason.
MAX_ATTEMPTS = 5

#: Seconds between attempts of a refused announcement: the bot may be invited to the channel.
REFUSED_ANNOUNCEMENT_BACKOFF = 60.0

#: Attempts of a refused announcement: about a week.
MAX_ANNOUNCEMENT_ATTEMPTS = 10_000


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Try again in `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Delivered:
    """Slack has the message already."""


@dataclass(frozen=True, slots=True)
class MoveCard:
    """Post the card as a direct message to the requester."""


@dataclass(frozen=True, slots=True)
class TellRequester:
    """Post the reply as a direct message to the requester."""


@dataclass(frozen=True, slots=True)
class Drop:
    """End delivery without success."""


NOT_SEEN_BY_APPROVERS = (
    "Approvers do not see it here: withdraw it, and ask in a channel that they read."
)

Action: TypeAlias = RetryLater | Delivered | MoveCard | TellRequester | Drop


def next_action(
    post: Post, error: SlackError, jitter: Callable[[], float] = random.random
) -> Action:
    """Decide by Slack's error, the kind of the post and the number of attempts.

    `jitter` returns a number from 0 to 1, so that replicas do not retry at the same moment.
    """
    match error:
        case AlreadyPosted():
            return Delivered()
        case RateLimited(seconds=seconds):
            return RetryLater(seconds + jitter())
        case SlackUnavailable():
            return RetryLater(backoff(post.attempts, jitter))
        case InvalidToken():
            return RetryLater(INVALID_TOKEN_BACKOFF)
    is_final = isinstance(error, (CannotPost, MessageNotEditable))
    if not is_final and post.attempts < MAX_ATTEMPTS:
        return RetryLater(backoff(post.attempts, jitter))
    return _after_refusal(post, error)


def _after_refusal(post: Post, error: SlackError) -> Action:
    match post:
        case RequestPost(kind=PostKind.REPLY):
            return TellRequester()
        case RequestPost(kind=PostKind.CARD, request=request):
            is_direct = request.channel == request.requester
            return Drop() if is_direct else MoveCard()
        case RequestPost():
            return Drop()
    if isinstance(error, MessageNotEditable) or post.attempts >= MAX_ANNOUNCEMENT_ATTEMPTS:
        return Drop()
    return RetryLater(REFUSED_ANNOUNCEMENT_BACKOFF)


def reason_to_move(post: RequestPost, error: SlackError) -> str:
    """Return the reason on a card that moves to the direct message."""
    if post.request.state is not State.AWAITING:
        return error.sentence
    return f"{error.sentence} {NOT_SEEN_BY_APPROVERS}"


def backoff(attempts: int, jitter: Callable[[], float] = random.random) -> float:
    """Return the seconds to wait after `attempts` attempts: half to all of the doubled backoff."""
    longest = min(MAX_BACKOFF, INITIAL_BACKOFF * 2 ** min(attempts, MAX_ATTEMPTS * 2))
    return float(longest * (1 + jitter()) / 2)


class ChannelRateLimiter:
    """Limits the messages of each channel: a burst, then one in each interval (in seconds)."""

    def __init__(
        self,
        burst: int,
        interval: float = Timings.message_interval,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._burst = burst
        self._interval = interval
        self._monotonic = monotonic
        # When each channel's burst is fully available again.
        self._full_at: dict[str, float] = {}
        self._blocked_until: dict[str, float] = {}

    def seconds_until_free(self, channel: str) -> float:
        """Return the seconds until the channel takes another message."""
        now = self._monotonic()
        free_at = self._full_at.get(channel, now) - (self._burst - 1) * self._interval
        return max(0.0, free_at - now, self._blocked_until.get(channel, now) - now)

    def take(self, channel: str) -> None:
        """Count one message; the caller waits `seconds_until_free` first."""
        full_at = max(self._full_at.get(channel, 0.0), self._monotonic())
        self._full_at[channel] = full_at + self._interval

    def block(self, channel: str, seconds: float) -> None:
        """Let the channel take no message for `seconds`."""
        self._blocked_until[channel] = self._monotonic() + seconds
