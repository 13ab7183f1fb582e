"""A small load balancer: forwards to any replica that passed its last check."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import aiohttp
from aiohttp import web

from tests.support.web import listening

#: Seconds between two checks of a replica's readiness, and the timeout of one check.
CHECK_INTERVAL = 0.3
CHECK_TIMEOUT = 2.0

#: Headers that are forwarded with a request and with its answer; others are hop by hop.
FORWARDED = ("Content-Type", "X-Slack-Request-Timestamp", "X-Slack-Signature")


class LoadBalancer:
    """Passes `POST /slack/events` on to replicas while it is open.

    It retries nothing: a request without an answer of its replica stays unanswered. Connections
    to replicas are kept open, as those of real ones are.
    """

    def __init__(self) -> None:
        self._ready: dict[str, asyncio.Event] = {}
        self._rng = random.Random(1125)  # noqa: S311 - which replica is no secret
        self._session: aiohttp.ClientSession

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        app = web.Application()
        app.router.add_post("/slack/events", self._forward)
        async with aiohttp.ClientSession() as self._session, listening(app, grace=1.0) as port:
            self.url = f"http://127.0.0.1:{port}"
            checks = asyncio.create_task(self._check_replicas())
            try:
                yield self
            finally:
                checks.cancel()
                await asyncio.gather(checks, return_exceptions=True)

    @property
    def ready(self) -> list[str]:
        """The replicas that get requests now."""
        return [url for url, ready in self._ready.items() if ready.is_set()]

    def add(self, url: str) -> None:
        """Check a replica from now on; it gets requests once it is ready."""
        self._ready[url] = asyncio.Event()

    async def wait_until_ready(self, url: str) -> None:
        """Wait until a replica gets requests."""
        await self._ready[url].wait()

    def remove(self, url: str) -> None:
        """Remove a replica that has ended."""
        del self._ready[url]

    async def _check_replicas(self) -> None:
        while True:
            replicas = list(self._ready)
            seen = await asyncio.gather(*map(self._is_ready, replicas))
            for url, ready in zip(replicas, seen, strict=True):
                if url in self._ready:
                    (self._ready[url].set if ready else self._ready[url].clear)()
            await asyncio.sleep(CHECK_INTERVAL)

    async def _is_ready(self, url: str) -> bool:
        timeout = aiohttp.ClientTimeout(total=CHECK_TIMEOUT)
        try:
            async with self._session.get(f"{url}/readyz", timeout=timeout) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _forward(self, request: web.Request) -> web.Response:
        if not (ready := self.ready):
            return web.Response(status=502, text="no replica is ready")
        url = self._rng.choice(ready)
        try:
            return await self._exchange(request, url)
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"{url}: {error!r}")

    async def _exchange(self, request: web.Request, url: str) -> web.Response:
        headers = {name: request.headers[name] for name in FORWARDED if name in request.headers}
        body = await request.read()
        async with self._session.post(f"{url}{request.path}", data=body, headers=headers) as answer:
            text = await answer.read()
            passed = {name: answer.headers[name] for name in FORWARDED if name in answer.headers}
            return web.Response(status=answer.status, body=text, headers=passed)
