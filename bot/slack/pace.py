"""When Slack may be called: the documented rates, and pauses of a channel or a thread."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping

#: Calls in a window of seconds. Slack documents one post a second and channel, with bursts, and
#: 50 edits a minute in a workspace.
POSTS_A_CHANNEL = (20, 20.0)
EDITS = (48, 60.0)


class Pace:
    """Counts calls; a pause is of one method in one channel, or in one thread of it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._calls: defaultdict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._paused_until: dict[tuple[str, str, str], float] = {}

    def may_call(self, method: str, channel: str, thread: str = "") -> bool:
        """Whether a call may be made now; it is counted if so."""
        now = self._monotonic()
        pauses = ((method, channel, ""), (method, channel, thread))
        if any(now < self._paused_until.get(pause, now) for pause in pauses):
            return False
        limit, window = _LIMITS[method]
        calls = self._calls[method, channel if method == "chat.postMessage" else ""]
        while calls and calls[0] <= now - window:
            calls.popleft()
        if len(calls) >= limit:
            return False
        calls.append(now)
        return True

    def pause(self, method: str, channel: str, seconds: float, thread: str = "") -> None:
        """Let no call of this method in this channel, or this thread, be made for a while."""
        until = self._monotonic() + seconds
        key = (method, channel, thread)
        self._paused_until[key] = max(until, self._paused_until.get(key, until))


_LIMITS: Mapping[str, tuple[int, float]] = {
    "chat.postMessage": POSTS_A_CHANNEL,
    "chat.update": EDITS,
}
