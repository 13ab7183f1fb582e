"""What probes see."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from bot.web.health import Check, add_health
from bot.web.metrics import Metrics, add_metrics

if TYPE_CHECKING:
    import aiohttp

    from tests.unit.web.conftest import Serve


def app_with(checks: dict[str, Check], patience: float = 2.0) -> web.Application:
    app = web.Application()
    add_health(app, checks, patience)
    return app


async def well() -> str | None:
    return None


async def unwell() -> str | None:
    return "The database does not answer."


async def hanging() -> str | None:
    await asyncio.Event().wait()
    return None


async def broken() -> str | None:
    raise KeyError("xoxb-1-secret")


async def test_the_process_lives_whatever_the_checks_say(serve: Serve) -> None:
    client = await serve(app_with({"database": unwell}))
    async with client.get("/healthz") as answer:
        status = answer.status

    assert status == 200


async def test_ready_when_every_check_is_well(serve: Serve) -> None:
    client = await serve(app_with({"slack": well, "database": well}))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 200
    assert body == {"ready": True, "checks": {"slack": "ok", "database": "ok"}}


async def test_not_ready_names_what_is_not(serve: Serve) -> None:
    client = await serve(app_with({"slack": well, "database": unwell}))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 503
    assert body == {
        "ready": False,
        "checks": {"slack": "ok", "database": "The database does not answer."},
    }


async def test_a_check_that_hangs_is_given_up(serve: Serve) -> None:
    client = await serve(app_with({"slack": hanging, "database": well}, patience=0.05))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 503
    assert body["checks"] == {"slack": "No answer within 0.05 seconds.", "database": "ok"}


async def test_a_check_that_breaks_is_not_ready_and_tells_no_details(serve: Serve) -> None:
    client = await serve(app_with({"slack": broken}))
    async with client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert status == 503
    assert body["checks"]["slack"] == (
        "The check itself failed (KeyError); the log has the details."
    )


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes_may_ask_with_head_but_not_post(serve: Serve, path: str) -> None:
    app = app_with({"slack": well})
    add_metrics(app, Metrics())
    client = await serve(app)
    async with client.head(path) as head, client.post(path) as post:
        statuses = head.status, post.status

    assert statuses == (200, 405)


async def test_metrics_are_prometheus_text(serve: Serve) -> None:
    app = web.Application()
    add_metrics(app, Metrics())
    client = await serve(app)
    async with client.get("/metrics") as answer:
        kind, text = answer.headers["Content-Type"], await answer.text()

    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert 'cancel_restore_requests_total{state="awaiting"} 0.0' in text


async def test_metrics_have_what_each_check_of_readiness_says_now(serve: Serve) -> None:
    """A replica that lives but cannot work raises an alert too."""
    said: dict[str, str | None] = {"slack": None, "database": "It does not answer."}

    async def slack() -> str | None:
        return said["slack"]

    async def database() -> str | None:
        return said["database"]

    app = web.Application()
    add_metrics(app, Metrics(), {"slack": slack, "database": database})
    client = await serve(app)
    before = await ready_of(client)
    said.update(slack="No connection.", database=None)

    assert before == {"slack": "1.0", "database": "0.0"}
    assert await ready_of(client) == {"slack": "0.0", "database": "1.0"}


async def ready_of(client: aiohttp.ClientSession) -> dict[str, str]:
    async with client.get("/metrics") as answer:
        text = await answer.text()
    return dict(re.findall(r'^cancel_restore_ready\{check="(\w+)"\} (\S+)$', text, re.MULTILINE))
