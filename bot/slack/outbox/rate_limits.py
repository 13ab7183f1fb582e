"""Keeps the outbox below Slack's rate limits: messages of each channel, and edits of all."""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

from bot.cancellation.posts import Announcement, Post
from bot.slack.outbox.messages import Message
from bot.timings import Timings

#: Messages that a channel takes without a pause: Slack tolerates bursts, or answers 429.
POST_BURST = 30
ANNOUNCEMENT_BURST = 5  # announcements have a budget of their own
#: Edits in each window: Slack allows about 50 a minute, and clicks edit messages too.
EDITS = 45
FINAL_EDITS = 15  # of these, reserved for ended requests and jobs
#: Maximum edits in a window with which copies of cards are edited, so that cards come first: copies
#: of ended requests, and of others.
FINAL_COPY_EDITS = 40
COPY_EDITS = 20

MAX_WAIT = 3.0  #: seconds for which a claimed post waits for its turn, else it is released

#: What is limited: edits, or the messages of a channel: its id, and whether they are announcements.
Budget: TypeAlias = tuple[str, bool] | None
ALL_EDITS: Final = None


class RateLimits:
    """The limits of one process, in seconds.

    Each channel takes a burst, then a message in each interval. Edits are limited in each window,
    fewer of those that may wait.
    """

    def __init__(self, timings: Timings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._timings = timings
        self._monotonic = monotonic
        self._full_at: dict[Budget, float] = {}  # when the whole burst is free again
        self._edits: deque[float] = deque()
        self._blocked_until: dict[Budget, float] = {}

    def take_turn(self, post: Post, message: Message) -> float:
        """Return the seconds to wait; a message that would wait too long is not counted."""
        now = self._monotonic()
        budget = _budget(post, message)
        full_at = max(self._full_at.get(budget, now), now)
        if budget is ALL_EDITS:
            free_at = self._edit_free_at(edit_limit(post), now)
        else:
            burst = ANNOUNCEMENT_BURST if isinstance(post, Announcement) else POST_BURST
            free_at = full_at - (burst - 1) * self._timings.message_interval
        seconds = max(0.0, free_at - now, self._blocked_until.get(budget, now) - now)
        if seconds > longest_wait(post):
            return seconds
        if budget is ALL_EDITS:
            self._edits.append(now + seconds)
        else:
            self._full_at[budget] = full_at + self._timings.message_interval
        return seconds

    def block(self, post: Post, message: Message, seconds: float) -> None:
        """Send nothing of the same budget for `seconds`."""
        self._blocked_until[_budget(post, message)] = self._monotonic() + seconds

    def _edit_free_at(self, limit: int, now: float) -> float:
        """Return when the window has fewer than `limit` edits."""
        while self._edits and self._edits[0] <= now - self._timings.edit_window:
            self._edits.popleft()
        excess = len(self._edits) - limit
        return self._edits[excess] + self._timings.edit_window if excess >= 0 else now


def _budget(post: Post, message: Message) -> Budget:
    return (message.channel, isinstance(post, Announcement)) if message.ts is None else ALL_EDITS


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
    return 0.0 if post.recipient else MAX_WAIT
