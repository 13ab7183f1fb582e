"""Serves `/healthz` and `/readyz`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import structlog
from aiohttp import web

#: Returns None on success, otherwise a sentence that names the problem.
Check: TypeAlias = Callable[[], Awaitable[str | None]]

#: Seconds for each check; probes usually have a slightly longer timeout.
CHECK_TIMEOUT = 2.0

log = structlog.stdlib.get_logger(__name__)


def add_health(
    app: web.Application, checks: Mapping[str, Check], timeout: float = CHECK_TIMEOUT
) -> None:
    """Serve `/healthz`, and `/readyz` with the result of each check by its name."""

    async def healthz(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_request: web.Request) -> web.Response:
        failed = await run_checks(checks, timeout)
        body = {"ready": not failed, "checks": dict.fromkeys(checks, "ok") | failed}
        return web.json_response(body, status=503 if failed else 200)

    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)


async def run_checks(checks: Mapping[str, Check], timeout: float) -> dict[str, str]:
    """Run all checks concurrently; return the sentences of those that failed."""
    results = await asyncio.gather(*(_run(name, c, timeout) for name, c in checks.items()))
    return {name: why for name, why in zip(checks, results, strict=True) if why is not None}


async def _run(name: str, check: Check, timeout: float) -> str | None:
    try:
        async with asyncio.timeout(timeout):
            return await check()
    except TimeoutError:
        return f"No answer within {timeout:g} seconds."
    except Exception as error:
        log.exception("health check failed", check=name)
        return f"The check itself failed ({type(error).__name__}); the log has the details."
