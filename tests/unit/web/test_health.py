"""`/healthz`, `/readyz`, and the checks at `/metrics`."""

import asyncio
import re

import aiohttp
import pytest
from aiohttp import web

from bot.web.metrics import Check, Metrics, add_routes
from tests.unit.web.conftest import Serve


def app_with(checks: dict[str, Check], timeout: float = 2.0) -> web.Application:
    app = web.Application()
    add_routes(app, Metrics(), checks, timeout)
    return app


async def succeeding() -> str | None:
    return None


async def failing() -> str | None:
    return "The database does not answer."


async def hanging() -> str | None:
    await asyncio.Event().wait()
    return None


async def broken() -> str | None:
    raise KeyError("xoxb-1-secret")


async def test_healthz_is_200_while_a_check_fails(serve: Serve) -> None:
    client = await serve(app_with({"database": failing}))
    async with client.get("/healthz") as answer:
        status = answer.status

    assert status == 200


async def test_readyz_is_200_when_all_checks_succeed(serve: Serve) -> None:
    client = await serve(app_with({"slack": succeeding, "database": succeeding}))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 200
    assert body == {"ready": True, "checks": {"slack": "ok", "database": "ok"}}


async def test_readyz_is_503_and_names_the_failed_check(serve: Serve) -> None:
    client = await serve(app_with({"slack": succeeding, "database": failing}))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 503
    assert body == {
        "ready": False,
        "checks": {"slack": "ok", "database": "The database does not answer."},
    }


async def test_hanging_check_fails_after_its_timeout(serve: Serve) -> None:
    client = await serve(app_with({"slack": hanging, "database": succeeding}, timeout=0.05))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 503
    assert body["checks"] == {"slack": "No answer within 0.05 seconds.", "database": "ok"}


async def test_raising_check_fails_without_details(serve: Serve) -> None:
    client = await serve(app_with({"slack": broken}))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 503
    assert body["checks"]["slack"] == (
        "The check itself failed (KeyError); the log has the details."
    )


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_head_is_allowed_and_post_is_not(serve: Serve, path: str) -> None:
    client = await serve(app_with({"slack": succeeding}))
    async with client.head(path) as head, client.post(path) as post:
        statuses = head.status, post.status

    assert statuses == (200, 405)


async def test_metrics_are_prometheus_text(serve: Serve) -> None:
    client = await serve(app_with({}))
    async with client.get("/metrics") as answer:
        kind, text = answer.headers["Content-Type"], await answer.text()

    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert 'cancel_restore_requests_total{state="awaiting"} 0.0' in text


async def test_metrics_show_the_current_result_of_each_check(serve: Serve) -> None:
    """A replica that lives but cannot work raises an alert too."""
    said: dict[str, str | None] = {"slack": None, "database": "It does not answer."}

    async def slack() -> str | None:
        return said["slack"]

    async def database() -> str | None:
        return said["database"]

    client = await serve(app_with({"slack": slack, "database": database}))
    before = await ready_of(client)
    said.update(slack="No connection.", database=None)

    assert before == {"slack": "1.0", "database": "0.0"}
    assert await ready_of(client) == {"slack": "0.0", "database": "1.0"}


async def ready_of(client: aiohttp.ClientSession) -> dict[str, str]:
    async with client.get("/metrics") as answer:
        text = await answer.text()
    return dict(re.findall(r'^cancel_restore_ready\{check="(\w+)"\} (\S+)$', text, re.MULTILINE))
