"""Keeps the outbox below Slack's rate limits: messages of each channel, and edits of all."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.cancellation.posts import Announcement, Post, RequestPost
from bot.slack.outbox.messages import Message
from bot.timings import Timings

#: Messages that a channel takes without a pause: the cards and replies of a busy hour.
#: Slack tolerates bursts, and answers 429 when it does not.
POST_BURST = 30
ANNOUNCEMENT_BURST = 5  # announcements have a budget of their own

#: Edits in each window: Slack allows about 50 a minute, and clicks edit messages too.
EDITS = 45
FINAL_EDITS = 15  # the part of them that only edits of ended requests and jobs use

#: The most edits in a window after which copies of cards are edited, so that cards come first:
#: those of ended requests, and the others.
FINAL_COPY_EDITS = 40
COPY_EDITS = 20

#: Seconds for which a claimed post waits for its turn: with the call after it, which takes up
#: to 10, it must not exceed the claim.
MAX_WAIT = 3.0


@dataclass
class ChannelRateLimiter:
    """Limits the messages of each channel: a burst, then one in each interval (in seconds)."""

    burst: int
    interval: float = Timings.message_interval
    monotonic: Callable[[], float] = time.monotonic
    full_at: dict[str, float] = field(default_factory=dict)  # when the whole burst is free again
    blocked_until: dict[str, float] = field(default_factory=dict)

    def seconds_until_free(self, channel: str) -> float:
        """Return the seconds until the channel takes another message."""
        now = self.monotonic()
        free_at = self.full_at.get(channel, now) - (self.burst - 1) * self.interval
        return max(0.0, free_at - now, self.blocked_until.get(channel, now) - now)

    def take(self, channel: str) -> None:
        """Count one message; the caller waits `seconds_until_free` first."""
        full_at = max(self.full_at.get(channel, 0.0), self.monotonic())
        self.full_at[channel] = full_at + self.interval

    def block(self, channel: str, seconds: float) -> None:
        """Let the channel take no message for `seconds`."""
        self.blocked_until[channel] = self.monotonic() + seconds


class RateLimits:
    """The limits of one process; edits are limited in each window, fewer of those that may wait."""

    def __init__(self, timings: Timings) -> None:
        interval = timings.message_interval
        self._posts = ChannelRateLimiter(POST_BURST, interval)
        self._announcements = ChannelRateLimiter(ANNOUNCEMENT_BURST, interval)
        self._window = timings.edit_window
        self._edits: deque[float] = deque()
        self._edits_blocked_until = 0.0

    def take_turn(self, post: Post, message: Message) -> float:
        """Return the seconds to wait; a message that would wait too long is not counted."""
        if message.ts is not None:
            seconds = self._seconds_until_edit(edit_limit(post))
            if seconds <= longest_wait(post):
                self._edits.append(time.monotonic() + seconds)
            return seconds
        limiter = self._limiter_of(post)
        seconds = limiter.seconds_until_free(message.channel)
        if seconds <= longest_wait(post):
            limiter.take(message.channel)
        return seconds

    def block(self, post: Post, message: Message, seconds: float) -> None:
        """Send nothing of the same kind for `seconds`."""
        if message.ts is not None:
            self._edits_blocked_until = time.monotonic() + seconds
        else:
            self._limiter_of(post).block(message.channel, seconds)

    def _limiter_of(self, post: Post) -> ChannelRateLimiter:
        return self._announcements if isinstance(post, Announcement) else self._posts

    def _seconds_until_edit(self, limit: int) -> float:
        """Return the seconds until the window has fewer than `limit` edits."""
        now = time.monotonic()
        while self._edits and self._edits[0] <= now - self._window:
            self._edits.popleft()
        excess = len(self._edits) - limit
        free_at = self._edits[excess] + self._window if excess >= 0 else now
        return max(0.0, free_at - now, self._edits_blocked_until - now)


def edit_limit(post: Post) -> int:
    """Return how many edits may be in the window with this one."""
    if isinstance(post, Announcement):
        is_final = post.job.state.is_over
    else:
        is_final = post.request.state.ended
        if post.recipient:
            return FINAL_COPY_EDITS if is_final else COPY_EDITS
    return EDITS if is_final else EDITS - FINAL_EDITS


def longest_wait(post: Post) -> float:
    """Return the seconds for which a claimed post may wait; one to a person delays no other."""
    return 0.0 if isinstance(post, RequestPost) and post.recipient else MAX_WAIT
