"""Keeps the outbox below Slack's rate limits: messages of each channel, and shares of edits."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.cancellation.posts import ANNOUNCEMENTS, JobPost, Post, PostKind, RequestPost
from bot.slack.outbox.messages import Message
from bot.timings import Timings

#: Messages that a channel takes without a pause, and announcements among them: the last one is left
#: to cards and replies.
POST_BURST = 6
ANNOUNCEMENT_BURST = POST_BURST - 1
EDITS = 50  #: that Slack allows in a minute; `Timings.edit_window` has the window
FINAL_EDITS = 8  # of these, reserved for ended requests and jobs
#: Maximum edits in a window with which a card is edited that shows nothing new but its job: this
#: leaves some to decisions.
FACTS_EDITS = 36
#: The same for copies of cards, so that cards come first: copies of ended requests, of others, and
#: of those that show nothing new but their job.
FINAL_COPY_EDITS = 48
COPY_EDITS = 32
FACTS_COPY_EDITS = 10

MAX_WAIT = 3.0  #: seconds for which a claimed post waits for its turn, else it is released


class RateLimits:
    """The limits of the replica that leads, in seconds.

    Each channel takes a burst, then a message in each interval; at first it takes one, since
    another replica may have led just before.
    """

    def __init__(self, timings: Timings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval = timings.message_interval
        self._monotonic = monotonic
        self._began = monotonic()
        self._full_at: dict[str, float] = {}  # when the whole burst of a channel is free again
        self._blocked_until: dict[str, float] = {}
        self._window = timings.edit_window
        self._edits: dict[int, tuple[int, float]] = {}  # those that wait: their limit, until when

    def take_turn(self, post: Post, message: Message) -> float:
        """Return the seconds to wait; a message that would wait too long is not counted."""
        if message.ts is not None:
            return 0.0
        now, channel = self._monotonic(), message.channel
        blocked = self._blocked_until.get(channel, now) - now
        first = self._began + (POST_BURST - 1) * self._interval
        full_at = max(self._full_at.get(channel, first), now)
        burst = ANNOUNCEMENT_BURST if post.kind in ANNOUNCEMENTS else POST_BURST
        seconds = max(0.0, full_at - (burst - 1) * self._interval - now, blocked)
        if seconds <= longest_wait(post):
            self._full_at[channel] = full_at + self._interval
        return seconds

    def block(self, channel: str, seconds: float) -> None:
        """Send nothing new to a channel for `seconds`."""
        self._blocked_until[channel] = self._monotonic() + seconds

    @contextmanager
    def edit(self, post: Post) -> Iterator[tuple[int, float, int]]:
        """Return the budget of an edit that is tried, as `CallLimits.call` takes it."""
        now, limit = self._monotonic(), edit_limit(post)
        self._edits = {of: each for of, each in self._edits.items() if each[1] > now}
        ahead = sum(share == limit for share, _until in self._edits.values())
        self._edits[post.id] = limit, math.inf
        try:
            yield limit, self._window, ahead
        finally:
            del self._edits[post.id]

    def postpone_edit(self, post: Post, seconds: float) -> None:
        """Count an edit as one that waits: those after it wait longer."""
        self._edits[post.id] = edit_limit(post), self._monotonic() + seconds


def edit_limit(post: Post) -> int:
    """Return how many edits may be in the window with this one."""
    match post:
        case RequestPost(request=request):
            is_final = request.state.ended
        case JobPost(job=job):
            is_final = job.state.is_over
    is_copy = post.recipient is not None and post.kind is not PostKind.QUESTION
    if post.only_facts:
        return FACTS_COPY_EDITS if is_copy else FACTS_EDITS
    if is_copy:
        return FINAL_COPY_EDITS if is_final else COPY_EDITS
    return EDITS if is_final else EDITS - FINAL_EDITS


def longest_wait(post: Post) -> float:
    """Return the seconds for which a claimed post may wait; one to a person delays no other."""
    return 0.0 if post.recipient else MAX_WAIT
