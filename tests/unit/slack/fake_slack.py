"""A Web API client without a network: it records every call and returns scripted answers."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.client import Identity, Links

HOME = "T0HOME"
IDENTITY = Identity(team=HOME, user="U0BOT", bot="B0BOT", url="https://shop.slack.com/")
LINKS = Links(atlas="https://cloud.mongodb.com", identity=IDENTITY)

#: The answer of each method unless a test scripts another.
USUAL: Mapping[str, dict[str, Any]] = {
    "views.open": {"view": {"id": "V1", "hash": "1"}},
    "views.publish": {},
    "views.update": {"view": {"id": "V1", "hash": "2"}},
    "chat.postMessage": {"channel": "C0OPS", "ts": "1700000000.000100"},
    "chat.postEphemeral": {"message_ts": "1700000000.000200"},
    "chat.update": {"channel": "C0OPS", "ts": "1700000000.000100"},
    "conversations.info": {"channel": {"id": "C0OPS", "is_member": True}},
    "users.info": {"user": {"id": "U0RINA", "team_id": HOME}},
    "usergroups.users.list": {"users": ["U0ADA", "U0ABE"]},
}


#: The SDK leaves its constructor untyped.
REFUSED: Callable[[str, object], SlackApiError] = SlackApiError


@dataclass(slots=True)
class Call:
    method: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class MethodScript:
    """The next result of one method: an error code, an exception, an answer, or a hang."""

    answers: list[str | Exception | dict[str, Any]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


class FakeSlack(AsyncWebClient):
    """`AsyncWebClient` without a network."""

    def __init__(self) -> None:
        super().__init__(token="xoxb-test", base_url="http://127.0.0.1:1/api/", retry_handlers=[])
        self.calls: list[Call] = []
        self.scripts: dict[str, MethodScript] = defaultdict(MethodScript)

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        given = arguments.get("json") or arguments.get("params") or {}
        self.calls.append(Call(api_method, {k: v for k, v in given.items() if v is not None}))
        script = self.scripts[api_method]
        if script.gate:
            await script.gate.wait()
        answer = script.answers.pop(0) if script.answers else USUAL[api_method]
        if isinstance(answer, Exception):
            raise answer
        body = {"ok": False, "error": answer} if isinstance(answer, str) else {"ok": True, **answer}
        return self._response(api_method, body, script)

    def _response(
        self, method: str, body: dict[str, Any], script: MethodScript
    ) -> AsyncSlackResponse:
        response = AsyncSlackResponse(
            client=self,
            http_verb="POST",
            api_url=method,
            req_args={},
            data=body,
            headers=script.headers,
            status_code=script.status,
        )
        if not body["ok"]:
            raise REFUSED(f"{method} was refused", response)
        return response

    def respond(self, method: str, *answers: str | Exception | dict[str, Any]) -> None:
        """Let the next calls of `method` end in these ways."""
        self.scripts[method].answers.extend(answers)

    def called(self, method: str) -> list[dict[str, Any]]:
        return [call.arguments for call in self.calls if call.method == method]

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls]


def api_error(code: str, status: int = 200, headers: dict[str, str] | None = None) -> SlackApiError:
    """The error that the SDK raises for an answer with `ok: false`."""
    response = AsyncSlackResponse(
        client=None,
        http_verb="POST",
        api_url="x",
        req_args={},
        data={"ok": False, "error": code},
        headers=headers or {},
        status_code=status,
    )
    return REFUSED("refused", response)
