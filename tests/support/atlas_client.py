"""A reader and a canceller over one connection, for tests of both."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Self

import httpx

from bot.atlas import ApiVersion, AtlasCanceller, AtlasHttp, AtlasReader, CallRecord, Credentials


class AtlasClient(AtlasReader, AtlasCanceller):
    """Reads and cancels; the options are those of `AtlasHttp` and `AtlasReader`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str = "https://cloud.mongodb.com",
        version: ApiVersion = ApiVersion.V2,
        envelope: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        request_timeout: float = 8.0,
        timeout: float = 20.0,
        observe: Callable[[CallRecord], None] | None = None,
        on_login_refused: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.http = AtlasHttp(
            credentials,
            base_url=base_url,
            version=version,
            envelope=envelope,
            transport=transport,
            request_timeout=request_timeout,
            observe=observe,
            on_login_refused=on_login_refused,
            monotonic=monotonic,
        )
        AtlasReader.__init__(self, self.http, timeout=timeout, sleep=sleep, jitter=jitter)
        AtlasCanceller.__init__(self, self.http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self.http.aclose()
