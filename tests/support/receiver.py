"""A receiver of the audit webhook, which verifies by the convention's own library."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from tests.support.polling import wait_until
from tests.support.web import listening

SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four byt").decode()

#: Faults of the receiver: close the connection, or send no answer.
CLOSE, HANG = "close", "hang"


@dataclass(slots=True)
class Receiver:
    """Takes events, unless `fault_of` returns a status, `CLOSE` or `HANG` for one."""

    port: int = 0
    fault_of: Callable[[dict[str, Any]], int | str | None] = lambda _event: None
    tries: list[dict[str, Any]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events?token=abc"

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        event: dict[str, Any] = Webhook(SECRET).verify(body, dict(request.headers))
        assert request.content_type == "application/cloudevents+json"
        assert request.headers["webhook-id"] == event["id"]
        self.tries.append(event)
        fault = self.fault_of(event)
        if fault == HANG:
            await asyncio.sleep(30)
        if fault == CLOSE and request.transport:
            request.transport.close()
        if fault:
            status = fault if isinstance(fault, int) else 500
            return web.Response(status=status, headers={"Location": "/elsewhere"})
        self.taken.append(event)
        return web.Response(status=202)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Receiver]:
        """Listen; a second time on the same port."""
        app = web.Application()
        app.router.add_post("/events", self.handle)
        app.router.add_get("/elsewhere", elsewhere)
        async with listening(app, self.port) as self.port:
            yield self

    def numbers(self, request: str) -> list[int]:
        """List the events of a request that were taken, by their numbers."""
        return [event["data"]["number"] for event in self.taken if event.get("subject") == request]

    async def until_taken(self, count: int, seconds: float = 20.0) -> None:
        """Wait until this many different events are taken: one may come twice."""
        await wait_until(lambda: len({event["id"] for event in self.taken}) >= count, seconds)


async def elsewhere(_request: web.Request) -> web.Response:
    """Answer a client that follows a redirect, which loses the event."""
    return web.Response()
