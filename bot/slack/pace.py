"""When Slack may be called: the documented rates, and pauses of a channel or a thread."""

from collections.abc import Callable, Mapping

#: Calls at once, and seconds for each further one. Slack documents one post a second and channel,
#: with bursts, and 50 edits a minute in a workspace.
POSTS_A_CHANNEL = (10, 1.0)
EDITS = (20, 2.0)


class Pace:
    """Counts calls; a pause is of one method in one channel, or in one thread of it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # When the calls so far would have ended without bursts.
        self._busy_until: dict[tuple[str, str], float] = {}
        self._paused_until: dict[tuple[str, str, str], float] = {}

    def may_call(self, method: str, channel: str, thread: str = "") -> bool:
        """Whether a call may be made now; it is counted if so."""
        now = self._monotonic()
        pauses = ((method, channel, ""), (method, channel, thread))
        if any(now < self._paused_until.get(pause, now) for pause in pauses):
            return False
        burst, interval = _LIMITS[method]
        key = _counted(method, channel)
        busy_until = max(now, self._busy_until.get(key, now))
        if busy_until > now + (burst - 1) * interval:
            return False
        self._busy_until[key] = busy_until + interval
        return True

    def pause(self, method: str, channel: str, seconds: float, thread: str = "") -> None:
        """Let no call of this method in this channel, or this thread, be made for a while.

        No burst follows the pause of a channel.
        """
        now = self._monotonic()
        pause = (method, channel, thread)
        self._paused_until[pause] = max(now + seconds, self._paused_until.get(pause, now))
        if not thread:
            burst, interval = _LIMITS[method]
            key = _counted(method, channel)
            full = now + (burst - 1) * interval
            self._busy_until[key] = max(full, self._busy_until.get(key, now))


def _counted(method: str, channel: str) -> tuple[str, str]:
    """Return what a call counts for: posts for their channel, edits for the workspace."""
    return method, channel if method == "chat.postMessage" else ""


_LIMITS: Mapping[str, tuple[int, float]] = {
    "chat.postMessage": POSTS_A_CHANNEL,
    "chat.update": EDITS,
}
