"""Triggers (3 s, one use) and response URLs (30 min, five uses)."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.stamps import Stamps

TRIGGER_SECONDS = 3.0
RESPONSE_SECONDS = 30 * 60.0
RESPONSE_USES = 5


@dataclass(kw_only=True)
class Trigger:
    """Permission to open a view for a person; `view_id` when they acted in a view."""

    user: str
    view_id: str | None
    born: float
    used: bool = False


@dataclass(kw_only=True)
class Place:
    """Where the answers of a response URL go: to a person in a channel, or over a message."""

    user: str
    channel: str
    message_ts: str | None = None


@dataclass(kw_only=True)
class ResponseUrl:
    place: Place
    born: float
    uses: int = 0


class Passes:
    """All triggers and response URLs handed out."""

    def __init__(self, clock: Callable[[], float], stamps: Stamps, team: str) -> None:
        self._clock = clock
        self._stamps = stamps
        self._team = team.removeprefix("T")
        self._triggers: dict[str, Trigger] = {}
        self._urls: dict[str, ResponseUrl] = {}

    def trigger(self, user: str, view_id: str | None = None) -> str:
        trigger_id = f"{self._stamps.id('')}.{self._team}.{self._stamps.secret()}"
        self._triggers[trigger_id] = Trigger(user=user, view_id=view_id, born=self._clock())
        return trigger_id

    def check_trigger(self, trigger_id: str) -> Trigger:
        """The trigger, if it can be exchanged now.

        Raises:
            ApiError: invalid_trigger_id, exchanged_trigger_id, expired_trigger_id.
        """
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise ApiError("invalid_trigger_id")
        if trigger.used:
            raise ApiError("exchanged_trigger_id")
        if self._clock() - trigger.born > TRIGGER_SECONDS:
            raise ApiError("expired_trigger_id")
        return trigger

    def response_token(self, place: Place) -> str:
        token = self._stamps.secret()
        self._urls[token] = ResponseUrl(place=place, born=self._clock())
        return token

    def use_response(self, token: str) -> Place:
        """Counts one use.

        Raises:
            ApiError: no_such_url, expired_url, used_url.
        """
        url = self._urls.get(token)
        if url is None:
            raise ApiError("no_such_url")
        if self._clock() - url.born > RESPONSE_SECONDS:
            raise ApiError("expired_url")
        if url.uses >= RESPONSE_USES:
            raise ApiError("used_url")
        url.uses += 1
        return url.place
