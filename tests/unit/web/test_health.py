"""`/healthz`, `/readyz`, and the checks at `/metrics`."""

import asyncio
import re

import aiohttp
import pytest
from aiohttp import web

from bot.web.metrics import Check, Metrics, add_routes
from tests.support.web import serving


def app_with(checks: dict[str, Check]) -> web.Application:
    app = web.Application()
    add_routes(app, Metrics(), checks)
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


async def test_healthz_is_200_while_a_check_fails() -> None:
    async with serving(app_with({"database": failing})) as client, client.get("/healthz") as answer:
        status = answer.status

    assert status == 200


@pytest.mark.parametrize(
    ("check", "result"),
    [
        (succeeding, "ok"),
        (failing, "The database does not answer."),
        (hanging, "No answer within 0.05 seconds."),
        (broken, "The check itself failed (KeyError); the log has the details."),
    ],
)
async def test_readyz_is_503_unless_all_checks_succeed_and_names_the_failed_one(
    check: Check, result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.web.metrics.CHECK_TIMEOUT", 0.05 if check is hanging else 20.0)
    async with (
        serving(app_with({"slack": succeeding, "database": check})) as client,
        client.get("/readyz") as answer,
    ):
        status, body = answer.status, await answer.json()

    ready = check is succeeding
    assert status == (200 if ready else 503)
    assert body == {"ready": ready, "checks": {"slack": "ok", "database": result}}


async def test_readyz_with_a_detail_has_its_sentence_and_stays_200() -> None:
    app = web.Application()
    details = {"channels": lambda: "The bot cannot post in C1.", "other": lambda: None}
    add_routes(app, Metrics(), {"slack": succeeding}, details)
    async with serving(app) as client, client.get("/readyz") as answer:
        status, body = answer.status, await answer.json()

    assert (status, body["details"]) == (200, {"channels": "The bot cannot post in C1."})


async def test_metrics_are_prometheus_text() -> None:
    async with serving(app_with({})) as client, client.get("/metrics") as answer:
        kind, text = answer.headers["Content-Type"], await answer.text()

    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    assert 'cancel_restore_requests_total{state="awaiting"} 0.0' in text


async def test_metrics_show_the_current_result_of_each_check() -> None:
    """A replica that lives but cannot work raises an alert too."""
    result: dict[str, str | None] = {"slack": None, "database": "It does not answer."}

    async def slack() -> str | None:
        return result["slack"]

    async def database() -> str | None:
        return result["database"]

    async with serving(app_with({"slack": slack, "database": database})) as client:
        before = await ready_of(client)
        result.update(slack="No connection.", database=None)
        after = await ready_of(client)

    assert before == {"slack": "1.0", "database": "0.0"}
    assert after == {"slack": "0.0", "database": "1.0"}


async def ready_of(client: aiohttp.ClientSession) -> dict[str, str]:
    async with client.get("/metrics") as answer:
        text = await answer.text()
    return dict(re.findall(r'^cancel_restore_ready\{check="(\w+)"\} (\S+)$', text, re.MULTILINE))
