"""The bot's response to one action, and the message that the person sees."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# The messages of Slack's client after an invalid or missing response.
SHOWN = {
    "operation_timeout": "Operation timed out. Apps need to respond within 3 seconds.",
    "dispatch_failed": "The app did not respond.",
    "invalid_response": "We had some trouble connecting. Try again?",
    "invalid_command": "That is not a valid command. Nothing was sent.",
}


@dataclass(frozen=True, kw_only=True)
class Ack:
    """The response of the bot.

    `body`: the answer's JSON · `seconds`: how long it took · `error`: a key of `SHOWN` · `shown`:
    the message of Slack's client · `errors`: sentences under inputs, by block_id.
    """

    body: Json | None = None
    seconds: float = 0.0
    error: str | None = None
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def shown(self) -> str:
        return SHOWN[self.error] if self.error else ""

    def as_json(self) -> Json:
        fields = ("body", "seconds", "error", "errors")
        return {"ok": self.ok, "shown": self.shown, **{f: getattr(self, f) for f in fields}}
