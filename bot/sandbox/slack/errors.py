"""Errors of the fake Slack."""

from typing import Any


class ApiError(Exception):
    """A failed Web API call: Slack's error code and further fields."""

    def __init__(self, code: str, messages: list[str] | None = None, **fields: object) -> None:
        super().__init__(f"{code} {messages or ''}".strip())
        self.code = code
        self.messages = messages or []
        self.fields = fields

    def as_json(self) -> dict[str, Any]:
        """Return the response body: `ok`, `error`, and messages in `response_metadata`."""
        body: dict[str, Any] = {"ok": False, "error": self.code, **self.fields}
        if self.messages:
            marked = [f"[ERROR] {message}" for message in self.messages]
            body["response_metadata"] = {"messages": marked}
        return body


class CannotDo(Exception):
    """Slack's client does not offer this action to this person."""
