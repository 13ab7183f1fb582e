"""A minimal fake Slack that records the time of each call, by trigger.

The fake server of the sandbox checks every rule of Slack and so costs more than what is measured.
`GET /stamps` gives what was noted, `DELETE /stamps` forgets it. Times are `time.monotonic()`,
which on one machine is one clock for all processes.
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from tests.tools.bench.peers.serve import serve

Json = dict[str, Any]

ME = {"ok": True, "team_id": "T1", "user_id": "U0", "bot_id": "B0", "url": "http://127.0.0.1/"}
MEMBER = {"ok": True, "user": {"id": "U1", "team_id": "T1"}}
CHANNEL = {"ok": True, "channel": {"id": "C1", "is_member": True}}
POSTED = {"ok": True, "channel": "C1", "ts": "1.0"}


class Slack:
    """The calls by trigger: times; for updates the last one, and whether it had a submit button."""

    def __init__(self) -> None:
        self.opened: dict[str, float] = {}
        self.updated: dict[str, tuple[float, bool]] = {}
        self.notified: dict[str, float] = {}

    async def call(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        given = await _arguments(request)
        return web.json_response(self._answer(request.match_info["method"], given, now))

    async def answer(self, request: web.Request) -> web.Response:
        self.notified[request.match_info["trigger"]] = time.monotonic()
        return web.Response(text="ok")

    async def stamps(self, _request: web.Request) -> web.Response:
        noted = {"opened": self.opened, "updated": self.updated, "notified": self.notified}
        return web.json_response(noted)

    async def forget(self, _request: web.Request) -> web.Response:
        for noted in (self.opened, self.updated, self.notified):
            noted.clear()
        return web.json_response({})

    def _answer(self, method: str, given: Json, now: float) -> Json:
        match method:
            case "auth.test":
                return ME
            case "users.info":
                return MEMBER
            case "conversations.info":
                return CHANNEL
            case "views.open":
                return self._open(str(given["trigger_id"]), now)
            case "views.update":
                self.updated[str(given["view_id"])] = (now, bool(given["view"].get("submit")))
                return {"ok": True, "view": {"id": given["view_id"]}}
        return POSTED

    def _open(self, trigger: str, now: float) -> Json:
        if trigger in self.opened:
            return {"ok": False, "error": "exchanged_trigger_id"}
        self.opened[trigger] = now
        return {"ok": True, "view": {"id": trigger}}


async def _arguments(request: web.Request) -> Json:
    if request.content_type == "application/json":
        return dict(await request.json())
    return {**request.query, **await request.post()}


def build() -> web.Application:
    slack = Slack()
    app = web.Application()
    app.router.add_post("/api/{method}", slack.call)
    app.router.add_get("/api/{method}", slack.call)
    app.router.add_post("/answers/{trigger}", slack.answer)
    app.router.add_get("/stamps", slack.stamps)
    app.router.add_delete("/stamps", slack.forget)
    return app


if __name__ == "__main__":
    serve(build)
