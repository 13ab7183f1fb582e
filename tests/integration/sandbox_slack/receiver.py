"""The app's end of signed HTTP: keeps the last payload, and sends the test's answers."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl

from aiohttp import web

from tests.support.web import listening

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Answer:
    body: Json | str | None = None


@dataclass
class AppReceiver:
    """`answers` are given in turn, then empty ones."""

    answers: list[Answer] = field(default_factory=list)
    payload: Json = field(default_factory=dict)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        app = web.Application()
        app.router.add_post("/slack/events", self._take)
        async with listening(app) as port:
            self.url = f"http://127.0.0.1:{port}/slack/events"
            yield self

    async def _take(self, request: web.Request) -> web.Response:
        self.payload = _read(request.content_type, await request.read())
        answer = self.answers.pop(0) if self.answers else Answer()
        if isinstance(answer.body, dict):
            return web.json_response(answer.body)
        return web.Response(text=answer.body)


def _read(content_type: str, raw: bytes) -> Json:
    if content_type == "application/json":
        body: Json = json.loads(raw)
        return body
    fields = dict(parse_qsl(raw.decode(), keep_blank_values=True))
    return json.loads(fields["payload"]) if "payload" in fields else fields
