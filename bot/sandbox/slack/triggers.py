"""Triggers (valid 3 s, one use) and response URLs (valid 30 min, five uses)."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.id_generator import IdGenerator

TRIGGER_SECONDS = 3.0
RESPONSE_SECONDS = 30 * 60.0
RESPONSE_USES = 5


@dataclass(kw_only=True)
class Trigger:
    """Permission to open a view for a person."""

    user: str
    born: float
    used: bool = False


@dataclass(kw_only=True)
class ResponseTarget:
    """The target of a response URL: a person in a channel."""

    user: str
    channel: str


@dataclass(kw_only=True)
class ResponseUrl:
    place: ResponseTarget
    born: float
    uses: int = 0


class TriggerStore:
    """Issues and checks triggers and response URLs."""

    def __init__(self, clock: Callable[[], float], ids: IdGenerator, team: str) -> None:
        self._clock = clock
        self._ids = ids
        self._team = team.removeprefix("T")
        self._triggers: dict[str, Trigger] = {}
        self._urls: dict[str, ResponseUrl] = {}

    def trigger(self, user: str) -> str:
        trigger_id = f"{self._ids.id('')}.{self._team}.{self._ids.secret()}"
        self._triggers[trigger_id] = Trigger(user=user, born=self._clock())
        return trigger_id

    def check_trigger(self, trigger_id: str) -> Trigger:
        """Return the trigger if it is valid now.

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

    def response_token(self, place: ResponseTarget) -> str:
        token = self._ids.secret()
        self._urls[token] = ResponseUrl(place=place, born=self._clock())
        return token

    def use_response(self, token: str) -> ResponseTarget:
        """Count one use, and return the target.

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
