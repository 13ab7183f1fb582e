"""When Slack may be called: the documented rates, and pauses of a channel or a thread."""

from collections.abc import Callable, Mapping

#: Calls at once, and seconds for each further one. Slack documents one post a second and channel,
#: with bursts, and 50 edits a minute in a workspace.
POSTS_A_CHANNEL = (10, 1.0)
EDITS = (20, 2.0)


class Pace:
    """Counts calls; a pause is of one method in one channel, or in one thread of it.

    A channel that has not taken the last call, or has had none, gets one call at a time: 500
    messages for a channel that is archived are one try.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # When the calls so far would have ended without bursts.
        self._busy_until: dict[tuple[str, str], float] = {}
        self._paused_until: dict[tuple[str, str, str], float] = {}
        # Methods and channels: those that took the last call, and those of single calls.
        self._taking: set[tuple[str, str]] = set()
        self._trying: set[tuple[str, str]] = set()

    def may_call(self, method: str, channel: str, thread: str = "") -> bool:
        """Whether a call may be made now; it is counted if so, and `ended` must follow it."""
        if self._is_closed(method, channel) or (
            thread and self._is_paused(method, channel, thread)
        ):
            return False
        _burst, interval = _LIMITS[method]
        key, now = _counted(method, channel), self._monotonic()
        self._busy_until[key] = max(now, self._busy_until.get(key, now)) + interval
        if (method, channel) not in self._taking:
            self._trying.add((method, channel))
        return True

    def ended(self, method: str, channel: str, *, is_taken: bool) -> bool:
        """Note that a call has ended; whether others waited for it that may be made now."""
        was_try = (method, channel) in self._trying
        self._trying.discard((method, channel))
        if is_taken:
            self._taking.add((method, channel))
        return was_try and is_taken

    def pause(self, method: str, channel: str, seconds: float, thread: str = "") -> None:
        """Let no call of this method in this channel, or this thread, be made for a while.

        No burst follows the pause of a channel.
        """
        now = self._monotonic()
        pause = (method, channel, thread)
        self._paused_until[pause] = max(now + seconds, self._paused_until.get(pause, now))
        if not thread:
            self._taking.discard((method, channel))
            burst, interval = _LIMITS[method]
            key = _counted(method, channel)
            full = now + (burst - 1) * interval
            self._busy_until[key] = max(full, self._busy_until.get(key, now))

    def closed_channels(self, method: str) -> set[str]:
        """Return the channels that take no call of this method now."""
        keys = (*self._busy_until, *self._paused_until, *self._trying)
        called = {channel for name, channel, *_ in keys if name == method}
        return {channel for channel in called if self._is_closed(method, channel)}

    def closed_threads(self, method: str) -> set[tuple[str, str]]:
        """Return the channels and threads that take no call of this method now."""
        paused = (key for key in self._paused_until if key[0] == method and self._is_paused(*key))
        return {(channel, thread) for _, channel, thread in paused if thread}

    def is_used_up(self, method: str, channel: str = "") -> bool:
        """Whether the documented rate allows no call now."""
        burst, interval = _LIMITS[method]
        now = self._monotonic()
        return self._busy_until.get(_counted(method, channel), now) > now + (burst - 1) * interval

    def _is_closed(self, method: str, channel: str) -> bool:
        is_tried = (method, channel) in self._trying
        return is_tried or self._is_paused(method, channel) or self.is_used_up(method, channel)

    def _is_paused(self, method: str, channel: str, thread: str = "") -> bool:
        now = self._monotonic()
        return now < self._paused_until.get((method, channel, thread), now)


def _counted(method: str, channel: str) -> tuple[str, str]:
    """Return what a call counts for: posts for their channel, edits for the workspace."""
    return method, channel if method == "chat.postMessage" else ""


_LIMITS: Mapping[str, tuple[int, float]] = {
    "chat.postMessage": POSTS_A_CHANNEL,
    "chat.update": EDITS,
}
