"""Keeps the outbox below Slack's rate limits: messages of each channel, and edits of all."""

import time
from collections import deque
from collections.abc import Callable

from bot.cancellation.posts import Announcement, Post, RequestPost
from bot.slack.outbox.messages import Message
from bot.timings import DEFAULT_TIMINGS, Timings

#: Messages that a channel takes without a pause: the cards and replies of a busy hour.
#: Slack tolerates bursts, and answers 429 when it does not.
POST_BURST = 30

#: The same for announcements, which have a budget of their own.
ANNOUNCEMENT_BURST = 5

#: Edits in each window: Slack allows about 50 a minute, and clicks edit messages too.
EDITS = 45

#: The part of them that only edits of ended requests and jobs use.
FINAL_EDITS = 15

#: The most edits in a window after which copies of cards are edited, so that cards come first:
#: those of ended requests, and the others.
FINAL_COPY_EDITS = 40
COPY_EDITS = 20

#: Seconds for which a claimed post waits for its turn: with the call after it, which takes up
#: to 10, it must not exceed the claim.
MAX_WAIT = 3.0

Clock = Callable[[], float]


class ChannelRateLimiter:
    """Limits the messages of each channel: a burst, then one in each interval (in seconds)."""

    def __init__(
        self,
        burst: int,
        interval: float = Timings.message_interval,
        monotonic: Clock = time.monotonic,
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


class EditRateLimiter:
    """Limits edits in each window (in seconds), to fewer for those that may wait."""

    def __init__(
        self, window: float = Timings.edit_window, monotonic: Clock = time.monotonic
    ) -> None:
        self._window = window
        self._monotonic = monotonic
        self._taken: deque[float] = deque()
        self._blocked_until = 0.0

    def seconds_until_free(self, limit: int = EDITS) -> float:
        """Return the seconds until an edit is allowed that comes after fewer than `limit`."""
        now = self._monotonic()
        while self._taken and self._taken[0] <= now - self._window:
            self._taken.popleft()
        excess = len(self._taken) - limit
        free_at = self._taken[excess] + self._window if excess >= 0 else now
        return max(0.0, free_at - now, self._blocked_until - now)

    def take(self, seconds: float) -> None:
        """Count an edit that is sent in `seconds`."""
        self._taken.append(self._monotonic() + seconds)

    def block(self, seconds: float) -> None:
        """Allow no edit for `seconds`."""
        self._blocked_until = self._monotonic() + seconds


class RateLimits:
    """The limits of one process."""

    def __init__(
        self, timings: Timings = DEFAULT_TIMINGS, monotonic: Clock = time.monotonic
    ) -> None:
        interval = timings.message_interval
        self._posts = ChannelRateLimiter(POST_BURST, interval, monotonic)
        self._announcements = ChannelRateLimiter(ANNOUNCEMENT_BURST, interval, monotonic)
        self._edits = EditRateLimiter(timings.edit_window, monotonic)

    def take_turn(self, post: Post, message: Message) -> float:
        """Return the seconds to wait; a message that would wait too long is not counted."""
        if message.ts is not None:
            seconds = self._edits.seconds_until_free(edit_limit(post))
            if seconds <= longest_wait(post):
                self._edits.take(seconds)
            return seconds
        limiter = self._limiter_of(post)
        seconds = limiter.seconds_until_free(message.channel)
        if seconds <= longest_wait(post):
            limiter.take(message.channel)
        return seconds

    def block(self, post: Post, message: Message, seconds: float) -> None:
        """Send nothing of the same kind for `seconds`."""
        if message.ts is not None:
            self._edits.block(seconds)
        else:
            self._limiter_of(post).block(message.channel, seconds)

    def _limiter_of(self, post: Post) -> ChannelRateLimiter:
        return self._announcements if isinstance(post, Announcement) else self._posts


def edit_limit(post: Post) -> int:
    """Return how many edits may be in the window with this one."""
    if isinstance(post, RequestPost) and post.recipient:
        return FINAL_COPY_EDITS if is_final(post) else COPY_EDITS
    return EDITS if is_final(post) else EDITS - FINAL_EDITS


def longest_wait(post: Post) -> float:
    """Return the seconds for which a claimed post may wait; one to a person delays no other."""
    return 0.0 if isinstance(post, RequestPost) and post.recipient else MAX_WAIT


def is_final(post: Post) -> bool:
    """Return whether the post shows the end of its request or job."""
    if isinstance(post, Announcement):
        return post.job.state.is_over
    return post.request.state.ended
