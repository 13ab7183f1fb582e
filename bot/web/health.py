"""Tells a supervisor whether the process lives and whether it can work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import structlog
from aiohttp import web

#: Returns None when all is well, else a sentence that says what is not.
Check: TypeAlias = Callable[[], Awaitable[str | None]]

#: Seconds for each check: probes usually wait a little longer than that.
PATIENCE = 2.0

log = structlog.stdlib.get_logger(__name__)


def add_health(
    app: web.Application, checks: Mapping[str, Check], patience: float = PATIENCE
) -> None:
    """Serve `/healthz`, and `/readyz` with the result of every check by its name."""

    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def ready(_request: web.Request) -> web.Response:
        troubles = await find_troubles(checks, patience)
        body = {"ready": not troubles, "checks": dict.fromkeys(checks, "ok") | troubles}
        return web.json_response(body, status=503 if troubles else 200)

    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)


async def find_troubles(checks: Mapping[str, Check], patience: float) -> dict[str, str]:
    """Run every check at the same time; return the sentences of those that are not well."""
    results = await asyncio.gather(*(_run(name, c, patience) for name, c in checks.items()))
    return {name: why for name, why in zip(checks, results, strict=True) if why is not None}


async def _run(name: str, check: Check, patience: float) -> str | None:
    try:
        async with asyncio.timeout(patience):
            return await check()
    except TimeoutError:
        return f"No answer within {patience:g} seconds."
    except Exception as error:
        log.exception("health check failed", check=name)
        return f"The check itself failed ({type(error).__name__}); the log has the details."
