"""When Slack may be called: the documented rates, and pauses a channel and method."""

from collections.abc import Callable, Mapping

#: Calls at once, and seconds for each further one. Slack documents one post a second and channel,
#: with bursts, and 50 edits a minute in a workspace.
POSTS_A_CHANNEL = (10, 1.0)
EDITS = (20, 2.0)


class Pace:
    """Counts calls; one channel's 429 pauses that channel and method alone."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # When the calls so far would have ended without bursts.
        self._busy_until: dict[tuple[str, str], float] = {}
        self._paused_until: dict[tuple[str, str], float] = {}

    def may_call(self, method: str, channel: str) -> bool:
        """Whether a call may be made now; it is counted if so."""
        now = self._monotonic()
        if now < self._paused_until.get((method, channel), now):
            return False
        burst, interval = _LIMITS[method]
        key = _counted(method, channel)
        busy_until = max(now, self._busy_until.get(key, now))
        if busy_until > now + (burst - 1) * interval:
            return False
        self._busy_until[key] = busy_until + interval
        return True

    def pause(self, method: str, channel: str, seconds: float) -> None:
        """Let no call of this method in this channel be made for a while, and no burst after it."""
        now = self._monotonic()
        until = now + seconds
        self._paused_until[method, channel] = max(
            until, self._paused_until.get((method, channel), until)
        )
        burst, interval = _LIMITS[method]
        key = _counted(method, channel)
        self._busy_until[key] = max(now + (burst - 1) * interval, self._busy_until.get(key, now))


def _counted(method: str, channel: str) -> tuple[str, str]:
    """Return what a call counts for: posts for their channel, edits for the workspace."""
    return method, channel if method == "chat.postMessage" else ""


_LIMITS: Mapping[str, tuple[int, float]] = {
    "chat.postMessage": POSTS_A_CHANNEL,
    "chat.update": EDITS,
}
