"""A Web API client without a network: it records every call and returns scripted answers."""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.cancellation.errors import NotRecorded
from bot.slack.client import Identity, Links
from bot.slack.errors import CALL_ERRORS, translate_error
from bot.storage.database import Database
from bot.storage.replicas import CallBudget

HOME = "T0HOME"
IDENTITY = Identity(team=HOME, user="U0BOT", bot="B0BOT", url="https://shop.slack.com/")
LINKS = Links(atlas="https://cloud.mongodb.com", identity=IDENTITY)

#: The answer of each method unless a test scripts another.
USUAL: Mapping[str, dict[str, Any]] = {
    "views.publish": {},
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
    """The next result of one method: an error code, an exception, an answer, or a hang.

    The answers of the next `lost` calls are lost after they took effect.
    """

    answers: list[str | Exception | dict[str, Any]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200
    lost: int = 0


class FakeSlack(AsyncWebClient):
    """`AsyncWebClient` without a network; `views` are the modals that people see, by their ids."""

    def __init__(self) -> None:
        super().__init__(token="xoxb-test", base_url="http://127.0.0.1:1/api/", retry_handlers=[])
        self.calls: list[Call] = []
        self.scripts: dict[str, MethodScript] = defaultdict(MethodScript)
        self.views: dict[str, dict[str, Any]] = {}
        self._hashes = itertools.count(1)

    async def api_call(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        try:
            return await self._answer(api_method, **arguments)
        except CALL_ERRORS as error:
            raise translate_error(error) from error

    async def _answer(self, api_method: str, **arguments: Any) -> AsyncSlackResponse:
        given = arguments.get("json") or arguments.get("params") or {}
        self.calls.append(Call(api_method, {k: v for k, v in given.items() if v is not None}))
        script = self.scripts[api_method]
        if script.gate:
            await script.gate.wait()
        answer = script.answers.pop(0) if script.answers else self._usual(api_method, given)
        if script.lost:
            script.lost -= 1
            raise aiohttp.ServerDisconnectedError
        if isinstance(answer, Exception):
            raise answer
        body = {"ok": False, "error": answer} if isinstance(answer, str) else {"ok": True, **answer}
        return self._response(api_method, body, script)

    def _usual(self, method: str, given: Mapping[str, Any]) -> str | dict[str, Any]:
        if method == "views.open":
            return self.replace_view(f"V{len(self.views) + 1}", given["view"])
        if method != "views.update":
            return USUAL[method]
        by_name = (view for view in self.views.values() if view.get("external_id"))
        known = {view["external_id"]: view["id"] for view in by_name}
        view_id = given.get("view_id") or known.get(given["external_id"])
        if view_id is None:
            return "not_found"
        shown = self.views.get(view_id, {})
        if shown and given.get("hash") not in {None, shown["hash"]}:
            return "hash_conflict"
        return self.replace_view(view_id, given["view"])

    def replace_view(self, view_id: str, view: str | dict[str, Any]) -> dict[str, Any]:
        """Show another view, as also the answer to a submission does; return Slack's answer."""
        content = json.loads(view) if isinstance(view, str) else view
        self.views[view_id] = content | {"id": view_id, "hash": str(next(self._hashes))}
        return {"view": self.views[view_id]}

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

    async def until_called(self, method: str, count: int) -> None:
        """Wait until `method` was called so often."""
        async with asyncio.timeout(20):
            while len(self.called(method)) < count:  # noqa: ASYNC110 - calls set no event
                await asyncio.sleep(0)

    def called(self, method: str) -> list[dict[str, Any]]:
        return [call.arguments for call in self.calls if call.method == method]

    @property
    def methods(self) -> list[str]:
        return [call.method for call in self.calls]


@dataclass
class FakeBudget(CallBudget):
    """Answers the next calls with these seconds to wait, and then lets all be made."""

    waits: list[float]
    limits: list[int] = field(default_factory=list)
    ahead: list[int] = field(default_factory=list)
    windows: set[float] = field(default_factory=set)
    database: Database = field(init=False)
    now: Callable[[], datetime] = field(init=False)

    async def take(self, method: str, limit: int, window: float, ahead: int = 0) -> float:
        self.limits.append(limit)
        self.ahead.append(ahead)
        self.windows.add(window)
        return self.waits.pop(0) if self.waits else 0.0

    async def pause(self, method: str, seconds: float) -> None:
        pass


class FailingBudget(FakeBudget):
    """Cannot be read: the database is locked, or away."""

    async def take(self, method: str, limit: int, window: float, ahead: int = 0) -> float:
        raise NotRecorded


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
