"""What came back from the bot for one act, and what the person sees of it."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# What Slack's client says when the app did not answer as it must.
SHOWN = {
    "operation_timeout": "Operation timed out. Apps need to respond within 3 seconds.",
    "dispatch_failed": "The app did not respond.",
    "http_error": "The app returned an error.",
    "invalid_response": "We had some trouble connecting. Try again?",
    "invalid_command": "That is not a valid command. Nothing was sent.",
    "not_confirmed": "",
}


@dataclass(frozen=True, kw_only=True)
class Ack:
    """The answer of the bot.

    `status`: HTTP status (200 for an ack over Socket Mode), None when there was none ·
    `body`: the answer's JSON or text · `seconds`: how long it took · `error`: a key of `SHOWN` ·
    `shown`: what Slack's own client says about it · `errors`: sentences under inputs, by block_id ·
    `confirm`: the confirm dialog that stood before the act · `options`: those suggested.
    """

    status: int | None = None
    body: Json | str | None = None
    seconds: float = 0.0
    error: str | None = None
    errors: dict[str, str] = field(default_factory=dict)
    confirm: Json | None = None
    options: list[Json] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def shown(self) -> str:
        return SHOWN[self.error] if self.error else ""

    def as_json(self) -> Json:
        fields = ("status", "body", "seconds", "error", "errors", "confirm", "options")
        return {"ok": self.ok, "shown": self.shown, **{f: getattr(self, f) for f in fields}}
