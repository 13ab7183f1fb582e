"""Spans of the database and of calls to Slack: kind and duration, and never a value."""

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from bot.cancellation.errors import NotRecorded
from bot.cancellation.request_context import new_request_id
from bot.slack.client import SlackClient, new_session
from bot.storage.database import Database
from bot.tracing.spans import REQUEST, summarize
from tests.support.timings import DATABASE_TIMEOUT
from tests.unit.tracing.conftest import Traced

REASON = "a typed reason"


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT requests.id \nFROM requests WHERE id = ?", "SELECT requests"),
        ("INSERT INTO audit_events (request) VALUES (?)", "INSERT audit_events"),
        ("UPDATE posts SET state=? WHERE id = ?", "UPDATE posts"),
        ("\nDELETE FROM requests WHERE id IN (SELECT id FROM old)", "DELETE requests"),
        ("BEGIN IMMEDIATE", ""),
        ("PRAGMA journal_mode = WAL", ""),
    ],
)
def test_statement_is_summarized_by_verb_and_table(statement: str, summary: str) -> None:
    assert summarize(statement) == summary


@pytest.fixture
async def database(traced: Traced, tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/bot.db", timeout=DATABASE_TIMEOUT)
    traced.spans.instrument_database(database.engine)
    yield database
    await database.close()


def writes(db: Connection) -> None:
    db.execute(text("CREATE TABLE notes (what TEXT)"))
    for _ in range(2):
        db.execute(text("INSERT INTO notes VALUES (:what)"), {"what": REASON})


async def test_transaction_is_one_span_with_its_tables(traced: Traced, database: Database) -> None:
    request = new_request_id()
    with traced.spans.trace("run", request):
        await database.write(writes)
    span, run = await traced.finished()

    assert (span.name, span.parent) == ("transaction", run.context)
    assert dict(span.attributes or {}) == {
        "db.system.name": "sqlite",
        "db.query.summary": "INSERT notes",
        REQUEST: request,
    }
    assert REASON not in span.to_json()


async def test_failed_transaction_has_an_error_status_without_text(
    traced: Traced, database: Database
) -> None:
    def fails(db: Connection) -> None:
        db.execute(text("SELECT :what FROM nowhere"), {"what": REASON})

    with pytest.raises(NotRecorded) as raised, traced.spans.trace("run", None):
        await database.write(fails)
    span, _ = await traced.finished()

    assert isinstance(raised.value.__cause__, OperationalError)
    assert (span.status.is_ok, span.status.description) == (False, "OperationalError")
    assert REASON not in span.to_json()


async def test_transaction_outside_of_a_trace_has_no_span(
    traced: Traced, database: Database
) -> None:
    await database.write(writes)

    assert await traced.finished() == ()


@pytest.fixture
async def slack(traced: Traced) -> AsyncIterator[SlackClient]:
    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("cut"):
            assert request.transport
            request.transport.abort()
        return web.json_response({"ok": True})

    site = web.Application()
    site.router.add_post("/api/{path:.*}", answer)
    async with TestServer(site) as server, new_session() as session:
        url = str(server.make_url("/api/"))
        yield SlackClient("xoxb-1", url, session, trace=traced.spans.slack_call)


async def test_slack_call_has_only_its_method(traced: Traced, slack: SlackClient) -> None:
    with traced.spans.trace("post card", None):
        await slack.chat_postMessage(channel="C0OPS", text=REASON)
    call, post = await traced.finished()

    assert (call.name, call.parent) == ("Slack chat.postMessage", post.context)
    assert not call.attributes
    assert REASON not in call.to_json()


async def test_broken_slack_call_has_an_error_status(traced: Traced, slack: SlackClient) -> None:
    with traced.spans.trace("post card", None), pytest.raises(aiohttp.ClientError):
        await slack.api_call("cut")
    call, _ = await traced.finished()

    assert (call.status.is_ok, call.status.description) == (False, "ServerDisconnectedError")


async def test_slack_call_without_a_trace_has_no_span(traced: Traced, slack: SlackClient) -> None:
    await slack.auth_test()

    assert await traced.finished() == ()
