"""Keeps the outbox below Slack's rate limits: messages of each channel, and shares of edits."""

import time
from collections.abc import Callable
from typing import Final, TypeAlias

from bot.cancellation.posts import Announcement, Post, RequestPost, StarterPost
from bot.slack.outbox.messages import Message
from bot.timings import Timings

#: Messages that a channel takes without a pause, and announcements among them: the last one is left
#: to cards and replies.
POST_BURST = 6
ANNOUNCEMENT_BURST = POST_BURST - 1
EDIT = "chat.update"  #: the method whose calls all replicas count
#: Edits in each window: Slack allows about 50 a minute, by the time at which they arrive.
EDITS = 45
FINAL_EDITS = 15  # of these, reserved for ended requests and jobs
#: Maximum edits in a window with which copies of cards are edited, so that cards come first: copies
#: of ended requests, and of others. With these, too, a card shows nothing new but its job.
FINAL_COPY_EDITS = 40
COPY_EDITS = 20
FACTS_COPY_EDITS = 10  # the same for copies that show nothing new but their job

MAX_WAIT = 3.0  #: seconds for which a claimed post waits for its turn, else it is released

#: What is limited: the messages of a channel, by its id, or all edits.
Budget: TypeAlias = str | None
ALL_EDITS: Final = None


class RateLimits:
    """The limits of the replica that leads, in seconds.

    Each channel takes a burst, then a message in each interval; at first it takes one, since
    another replica may have led just before.
    """

    def __init__(self, timings: Timings, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval = timings.message_interval
        self._monotonic = monotonic
        self._began = monotonic()
        self._full_at: dict[Budget, float] = {}  # when the whole burst is free again
        self._blocked_until: dict[Budget, float] = {}

    def take_turn(self, post: Post, message: Message) -> float:
        """Return the seconds to wait; a message that would wait too long is not counted."""
        now, budget = self._monotonic(), _budget(message)
        blocked = self._blocked_until.get(budget, now) - now
        if budget is ALL_EDITS:
            return max(0.0, blocked)
        first = self._began + (POST_BURST - 1) * self._interval
        full_at = max(self._full_at.get(budget, first), now)
        burst = ANNOUNCEMENT_BURST if isinstance(post, Announcement) else POST_BURST
        seconds = max(0.0, full_at - (burst - 1) * self._interval - now, blocked)
        if seconds <= longest_wait(post):
            self._full_at[budget] = full_at + self._interval
        return seconds

    def block(self, message: Message, seconds: float) -> None:
        """Send nothing of the same budget for `seconds`."""
        self._blocked_until[_budget(message)] = self._monotonic() + seconds


def _budget(message: Message) -> Budget:
    return message.channel if message.ts is None else ALL_EDITS


def edit_limit(post: Post) -> int:
    """Return how many edits may be in the window with this one."""
    match post:
        case RequestPost(request=request):
            is_final = request.state.ended
        case Announcement(job=job) | StarterPost(job=job):
            is_final = job.state.is_over
    if post.only_facts:
        return FACTS_COPY_EDITS if post.recipient else COPY_EDITS
    if post.recipient:
        return FINAL_COPY_EDITS if is_final else COPY_EDITS
    return EDITS if is_final else EDITS - FINAL_EDITS


def longest_wait(post: Post) -> float:
    """Return the seconds for which a claimed post may wait; one to a person delays no other.

    An edit that waits is not counted yet.
    """
    return 0.0 if post.recipient or post.is_edit else MAX_WAIT
