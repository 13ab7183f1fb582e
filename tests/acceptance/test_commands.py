"""The program as a real process: exit codes, one JSON line, sentences instead of tracebacks."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from pydantic import SecretStr

from bot.atlas import ApiVersion, AtlasClient, DigestKey
from bot.cli.audit import Format
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.storage.database import Database
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from tests.acceptance.house import RUNNING, environment, open_house
from tests.support.domain import RINA, Clock, a_request
from tests.support.process import BotProcess, Ran, run_command, run_into, surroundings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

#: Long enough for a busy machine.
SECONDS = 30

PEOPLE_ONLY = {
    "SLACK_BOT_TOKEN": "xoxb-1",
    "SLACK_APP_TOKEN": "xapp-1",
    "MONGODB_ATLAS_PUBLIC_API_KEY": "public",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "private",
    "MONGODB_ATLAS_PROJECT_ID": "5b6212af90dc76637950a2c6",
}


def is_said_in_sentences(ran: Ran) -> bool:
    """Whether standard error is for people, and standard output is left alone."""
    return bool(ran.err.strip()) and "Traceback" not in ran.err and not ran.out


async def test_settings_that_are_missing_are_all_named_at_once() -> None:
    ran = await run_command("serve")

    assert ran.code == 2
    assert is_said_in_sentences(ran)
    for name in ("SLACK_BOT_TOKEN", "MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PROJECT_ID"):
        assert name in ran.err


WRONG = {
    "SLACK_BOT_TOKEN": "nonsense",
    "MONGODB_ATLAS_PROJECT_ID": "5b6212af90dc76637950a2cg",
    "MONGODB_ATLAS_BASE_URL": "not an address",
    "MONGODB_ATLAS_API_VERSION": "v3",
    "MONGODB_ATLAS_ENVELOPE": "perhaps",
    "BOT_REQUESTERS": "@rina",
    "BOT_APPROVALS": "9",
    "BOT_APPROVAL_TTL": "0",
    "BOT_CHANNELS": "#ops",
    "BOT_AUDIT_CHANNEL": "ops",
    "BOT_WATCH_INTERVAL": "-1",
    "BOT_REQUIRE_REASON": "sometimes",
    "BOT_PROJECTS_FILE": "/nowhere/projects.toml",
    "DATABASE_URL": "mysql://somewhere",
    "PORT": "seventy",
    "LOG_LEVEL": "LOUD",
    "LOG_FORMAT": "xml",
}


async def test_settings_that_are_wrong_are_all_named_at_once() -> None:
    ran = await run_command("serve", **{**PEOPLE_ONLY, **WRONG})

    assert ran.code == 2
    assert is_said_in_sentences(ran)
    for name in WRONG:
        assert name in ran.err, ran.err


@pytest.mark.parametrize("name", ["BOT_APPROVALS", "BOT_CHANNELS", "DATABASE_URL"])
async def test_one_wrong_setting_is_enough(name: str) -> None:
    ran = await run_command("serve", **{**PEOPLE_ONLY, name: WRONG[name]})

    assert ran.code == 2
    assert name in ran.err
    assert is_said_in_sentences(ran)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("serve", "--nonsense"),
        ("demo", "--approvals", "9"),
        ("demo", "--approvals", "some"),
        ("demo", "--fault", "nonsense"),
        ("demo", "--port", "70000"),
        ("audit", "--format", "xml"),
        ("audit", "--since", "yesterday"),
        ("audit", "nonsense"),
    ],
)
async def test_wrong_usage_exits_with_2_and_says_what_is_wrong(arguments: tuple[str, ...]) -> None:
    ran = await run_command(*arguments)

    assert ran.code == 2
    assert is_said_in_sentences(ran)


async def prints(command: str, folder: Path) -> Callable[[int], Awaitable[Ran]]:
    """Return how to run a command that prints something, with a given standard output."""
    await ensure_current(url := f"sqlite:///{folder}/ledger.db")
    database = Database(url)
    await RequestStore(database, Clock()).create(a_request(), RINA)
    await database.close()
    return lambda stdout: run_into(stdout, *command.split(), DATABASE_URL=url)


PRINTING = ["--help", "--version", "manifest", "audit", "audit verify", "demo --script"]
PRINTING += [f"audit --format {each}" for each in Format]


@pytest.mark.parametrize("command", PRINTING)
async def test_an_output_that_takes_nothing_is_a_sentence(command: str, tmp_path: Path) -> None:
    run = await prints(command, tmp_path)
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        ran = await run(full)
    finally:
        os.close(full)

    expected = "Standard output cannot be written to (No space left on device).\n"
    assert (ran.code, ran.err) == (1, expected)


@pytest.mark.parametrize("command", PRINTING)
async def test_a_reader_who_has_enough_ends_it_without_a_word(command: str, tmp_path: Path) -> None:
    run = await prints(command, tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ran = await run(writer)
    finally:
        os.close(writer)

    assert (ran.code, ran.err) == (1, "")


async def test_an_output_that_is_closed_is_a_sentence() -> None:
    """A service without standard output works; who wants to see something is told."""
    command = f"exec {sys.executable} -P -m bot --version >&-"
    process = await asyncio.create_subprocess_shell(
        command, env=surroundings(), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()

    assert process.returncode == 1
    assert err.decode() == "Standard output cannot be written to (it is closed).\n"


async def test_help_names_the_commands() -> None:
    ran = await run_command("--help")

    assert ran.code == 0
    for command in ("serve", "demo", "audit"):
        assert command in ran.out
    assert "..." not in ran.out.partition("Commands:")[2]  # a line that says half of it


@asynccontextmanager
async def surroundings_of_a_bot(
    folder: Path,
) -> AsyncIterator[tuple[FakeSlackServer, dict[str, str]]]:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        yield slack, environment(slack, atlas, folder)


@pytest.mark.parametrize(
    ("name", "token"),
    [("SLACK_BOT_TOKEN", "xoxb-not-this-one"), ("SLACK_APP_TOKEN", "xapp-not-this-one")],
)
async def test_a_token_that_slack_refuses_is_said_and_exits_with_1(
    tmp_path: Path, name: str, token: str
) -> None:
    async with surroundings_of_a_bot(tmp_path) as (_, environ):
        ran = await run_command("serve", **{**environ, name: token})

        assert ran.code == 1
        assert f"Slack refuses {name} (invalid_auth): copy the " in ran.err
        assert "Traceback" not in ran.err
        assert token not in ran.err + ran.out


async def test_a_port_that_is_taken_is_said_and_exits_with_1(tmp_path: Path) -> None:
    async with surroundings_of_a_bot(tmp_path) as (slack, environ):
        taken = slack.base_url.rpartition(":")[2]
        ran = await run_command("serve", **{**environ, "PORT": taken})

        assert ran.code == 1
        assert "PORT" in ran.err
        assert "Traceback" not in ran.err


async def test_a_database_that_cannot_be_opened_is_said_and_exits_with_1(tmp_path: Path) -> None:
    async with surroundings_of_a_bot(tmp_path) as (_, environ):
        ran = await run_command(
            "serve", **{**environ, "DATABASE_URL": f"sqlite:///{tmp_path}/no/such/folder/x.db"}
        )

        assert ran.code == 1
        assert "DATABASE_URL" in ran.err
        assert "Traceback" not in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_ends_in_good_order_at_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    async with surroundings_of_a_bot(tmp_path) as (_, environ):
        with BotProcess(environ) as process:
            await process.ready()
            os.kill(process.pid, number)

            assert await process.ended(10) == 0
            assert "Traceback" not in process.log


async def listens(process: BotProcess) -> None:
    """Wait until it answers at all; raises `TimeoutError` with its log."""
    for _ in range(SECONDS * 20):
        if await process.status("/healthz"):
            return
        await asyncio.sleep(0.05)
    raise TimeoutError(process.log)


async def test_serve_can_be_stopped_while_slack_is_away(tmp_path: Path) -> None:
    async with surroundings_of_a_bot(tmp_path) as (_, environ):
        environ["SLACK_API_URL"] = "http://127.0.0.1:9/api/"
        with BotProcess(environ) as process:
            await listens(process)
            with pytest.raises(TimeoutError):
                await process.ready(3)

            assert await process.status("/healthz") == 200
            assert await process.status("/readyz") == 503
            assert await process.stop() == 0
            assert "Traceback" not in process.log


@asynccontextmanager
async def demo(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, Any]]]:
    """Run the demo, and give what its JSON line says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "bot", "demo", "--no-browser", "--port", "0", *arguments),
        env=surroundings(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout
        line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_the_demo_says_in_one_json_line_where_everything_is() -> None:
    async with demo() as (process, says):
        assert set(says) >= {
            *("page", "slack_api", "atlas", "project_id", "public_key", "private_key")
        }
        key = DigestKey(says["public_key"], SecretStr(says["private_key"]))
        for version in ApiVersion:
            async with AtlasClient(key, base_url=says["atlas"], version=version) as atlas:
                clusters = await atlas.clusters(says["project_id"])
                jobs = [
                    job
                    for cluster in clusters
                    for job in await atlas.restore_jobs(says["project_id"], cluster.name)
                ]
            assert len(clusters) >= 3
            assert sum(job.can_be_cancelled for job in jobs) >= 3
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{says['slack_api']}auth.test")
            assert answer.status == 200
            assert (await session.get(says["page"])).status == 200
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), SECONDS)

        assert process.returncode == 0
        assert out == b""
        assert b"Traceback" not in err


async def test_the_script_plays_one_cancellation() -> None:
    ran = await run_command("demo", "--script")

    assert ran.code == 0
    assert "the job is cancelled" in ran.out
    assert "DELETEs sent: 1" in ran.out
    assert "Traceback" not in ran.err


async def test_the_script_plays_a_lost_answer_too() -> None:
    ran = await run_command("demo", "--script", "--fault", "cut-after", "--approvals", "1")

    assert ran.code == 0
    assert "DELETEs sent: 1" in ran.out


async def recorded(folder: Path) -> dict[str, str]:
    """Cancel one job, and give the settings with which its record is read."""
    async with open_house(folder) as house:
        await house.asks(RUNNING, reason="=1+1 and <!channel>")
        await house.ends(RUNNING[1])
    return {"DATABASE_URL": f"sqlite:///{folder}/ledger.db"}


async def test_the_record_is_read_in_every_format(tmp_path: Path) -> None:
    environ = await recorded(tmp_path)
    lines = await run_command("audit", "--format", "jsonl", **environ)
    table = await run_command("audit", **environ)
    rows = await run_command("audit", "--format", "csv", **environ)
    whole = await run_command("audit", "verify", **environ)

    events = [json.loads(line) for line in lines.out.splitlines()]
    assert [event["event"] for event in events] == [
        "request:created",
        "request:approved",
        "request:cancelling",
        "atlas:cancel_sent",
        "atlas:cancel_answered",
        "request:cancelled",
    ]
    assert all({"at", "event", "request", "actor", "team"} <= set(event) for event in events)
    assert (events[0]["actor"], events[-1]["actor"]) == ("U0RINA0001", None)
    assert events[4]["status"] == 204
    assert "request:cancelled" in table.out
    assert [row["event"] for row in csv.DictReader(rows.out.splitlines())] == [
        event["event"] for event in events
    ]
    assert [ran.code for ran in (lines, table, rows, whole)] == [0, 0, 0, 0]


async def test_a_record_that_was_changed_is_found_out(tmp_path: Path) -> None:
    environ = await recorded(tmp_path)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as database, database:
        database.execute("UPDATE audit_events SET actor = 'U0EVE' WHERE event = 'request:created'")
    ran = await run_command("audit", "verify", **environ)

    assert ran.code == 1
    assert "event 1 of request" in ran.err
    assert "Traceback" not in ran.err


async def test_an_event_that_does_not_exist_is_named_and_so_are_those_that_do() -> None:
    ran = await run_command("audit", "--event", "request:aproved")

    assert ran.code == 2
    assert "request:approved" in ran.err


async def test_a_record_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    ran = await run_command("audit", DATABASE_URL=f"sqlite:///{tmp_path}/none.db")

    assert ran.code == 1
    assert is_said_in_sentences(ran)
    assert not (tmp_path / "none.db").exists()
