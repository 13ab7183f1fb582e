"""What goes wrong in the stand-in, as one tree.

SandboxError
├── ApiError        a Web API method answers `ok: false`
└── CannotDo        Slack's own client would not let this person do that
"""

from typing import Any


class SandboxError(Exception):
    """The stand-in of Slack refused something."""


class ApiError(SandboxError):
    """The answer of a Web API method that failed: Slack's error code and what comes with it."""

    def __init__(self, code: str, messages: list[str] | None = None, **fields: object) -> None:
        super().__init__(f"{code} {messages or ''}".strip())
        self.code = code
        self.messages = messages or []
        self.fields = fields

    def as_json(self) -> dict[str, Any]:
        """The body as Slack words it: `ok`, `error`, and messages in `response_metadata`."""
        body: dict[str, Any] = {"ok": False, "error": self.code, **self.fields}
        if self.messages:
            marked = [f"[ERROR] {message}" for message in self.messages]
            body["response_metadata"] = {"messages": marked}
        return body


class CannotDo(SandboxError):
    """The person cannot do this in Slack: there is nothing to click, fill or see."""
