"""The program as a real process: exit codes, one JSON line, sentences instead of tracebacks."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from bot.__main__ import main
from bot.atlas import ApiVersion, DigestKey
from bot.cli.output import OutputFormat
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.storage.database import Database
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from tests.acceptance.environment import environment
from tests.support.atlas_client import AtlasClient
from tests.support.clock import FakeClock
from tests.support.domain import RINA, a_request
from tests.support.polling import wait_until
from tests.support.process import (
    DEMO_TIMEOUT,
    BotProcess,
    CommandResult,
    execute,
    invoke,
    running_demo,
    surroundings,
)
from tests.support.timings import DATABASE_TIMEOUT

#: Long enough for a busy machine.
SECONDS = 30


def only_stderr_has_sentences(ran: CommandResult) -> bool:
    """Return whether standard error has text without a traceback, and standard output is empty."""
    return bool(ran.err.strip()) and "Traceback" not in ran.err and not ran.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("serve", "--nonsense"),
        ("demo", "--approvals", "9"),
        ("demo", "--approvals", "some"),
        ("demo", "--fault", "nonsense"),
        ("demo", "--port", "70000"),
        ("demo", "--script", "--port", "8080"),
        ("demo", "--script", "--json"),
        ("demo", "--script", "--no-browser"),
        ("demo", "--all"),
        ("demo", "--script", "--all", "--fault", "slow"),
        ("audit", "--format", "xml"),
        ("audit", "nonsense"),
    ],
)
async def test_wrong_usage_exits_with_2_and_a_sentence(arguments: tuple[str, ...]) -> None:
    ran = await invoke(*arguments)

    assert ran.code == 2
    assert only_stderr_has_sentences(ran)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database with one request, to which `DATABASE_URL` points."""

    async def create() -> None:
        await ensure_current(url)
        database = Database(url, timeout=DATABASE_TIMEOUT)
        await RequestStore(database, FakeClock()).create(a_request(), RINA)
        await database.close()

    url = f"sqlite:///{tmp_path}/bot.db"
    asyncio.run(create())
    monkeypatch.setenv("DATABASE_URL", url)


PRINTING = ["--help", "--version", "manifest", "audit", "audit verify"]
PRINTING += [f"audit --format {each}" for each in OutputFormat]


def run_main(command: str, stdout: int, monkeypatch: pytest.MonkeyPatch) -> object:
    """Run the program in this process with a file descriptor as its output; its exit code."""
    monkeypatch.setattr(sys, "argv", ["cancel-restore", *command.split()])
    with os.fdopen(stdout, "w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as caught:
            main()
    return caught.value.code


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("command", PRINTING)
def test_full_device_as_output_exits_with_a_sentence_and_a_closed_pipe_with_1(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    on_full_device = run_main(command, os.open("/dev/full", os.O_WRONLY), monkeypatch)

    assert on_full_device == "Standard output cannot be written to (No space left on device)."
    assert run_main(command, writer, monkeypatch) == 1


@pytest.mark.parametrize(
    "error", [ConnectionRefusedError(111, "Connection refused"), BrokenPipeError(32, "Broken pipe")]
)
def test_error_of_a_socket_is_not_reported_as_an_error_of_the_output(
    error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr("bot.__main__.app", fail)

    code = run_main("audit", os.open(os.devnull, os.O_WRONLY), monkeypatch)

    assert code == f"The command failed ({error})."


async def test_help_lists_the_commands() -> None:
    ran = await invoke("--help")

    assert ran.code == 0
    for command in ("serve", "demo", "audit"):
        assert command in ran.out
    assert "..." not in ran.out.partition("Commands:")[2]  # a truncated line


@asynccontextmanager
async def surroundings_of_a_bot(
    folder: Path,
) -> AsyncIterator[tuple[FakeSlackServer, dict[str, str]]]:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        yield slack, environment(slack, atlas, folder)


async def test_serve_exits_with_0_at_an_interrupt(tmp_path: Path) -> None:
    async with surroundings_of_a_bot(tmp_path) as (_, environ):
        with BotProcess(environ) as process:
            await process.ready()
            os.kill(process.pid, signal.SIGINT)

            assert await process.ended(10) == 0
            assert "Traceback" not in process.log


#: Runs the program, and prints at its exit whether its objects are kept out of the last collection.
AT_EXIT = """import atexit, gc
atexit.register(lambda: print("frozen:", gc.get_freeze_count() > 0))
from bot.__main__ import main
main()"""


async def test_stopped_service_exits_without_freeing_its_objects(tmp_path: Path) -> None:
    async with surroundings_of_a_bot(tmp_path) as (_, environ):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", AT_EXIT, "serve"),
            env={**surroundings(), **environ},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout
        await asyncio.wait_for(process.stdout.readuntil(b"ready"), SECONDS)
        process.terminate()
        out, _ = await asyncio.wait_for(process.communicate(), SECONDS)

    assert (process.returncode, out.splitlines()[-1]) == (0, b"frozen: True")


async def state(page: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{page}_demo/state") as answer:
        found: dict[str, Any] = (await answer.json())["demo"]
        return found


async def until_ended(pid: int) -> None:
    """Wait for the end of a process, which need not be our child."""
    await wait_until(lambda: not Path(f"/proc/{pid}").exists(), 12)


async def test_demo_prints_its_addresses_as_one_json_line_and_sigterm_ends_every_process() -> None:
    began = time.monotonic()
    async with running_demo() as (process, addresses):
        assert set(addresses) >= {
            *("page", "slack_api", "atlas", "project_id", "public_key", "private_key")
        }
        demo = await state(addresses["page"])
        assert demo["bot"] == "running"
        assert time.monotonic() - began < DEMO_TIMEOUT
        key = DigestKey(addresses["public_key"], SecretStr(addresses["private_key"]))
        for version in ApiVersion:
            async with AtlasClient(key, base_url=addresses["atlas"], version=version) as atlas:
                clusters = await atlas.clusters(addresses["project_id"])
                jobs = [
                    job
                    for cluster in clusters
                    for job in await atlas.restore_jobs(addresses["project_id"], cluster.name)
                ]
            assert len(clusters) >= 3
            assert sum(job.can_be_cancelled for job in jobs) >= 3
        async with aiohttp.ClientSession() as session:
            answer = await session.post(f"{addresses['slack_api']}auth.test")
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.wait_for(process.communicate(), SECONDS)

        await until_ended(demo["pid"])
        assert process.returncode == 0
        assert out == b""
        assert b"Traceback" not in err


async def test_bot_ends_when_the_demo_with_a_fault_is_killed() -> None:
    async with running_demo("--approvals", "2", "--fault", "wrong-key") as (process, line):
        demo = await state(line["page"])
        os.kill(process.pid, signal.SIGKILL)

        await until_ended(demo["pid"])
    assert (demo["scenario"], demo["approvals"]) == ("wrong-key", 2)


async def test_demo_with_approvals_writes_one_line_with_its_address_to_a_terminal() -> None:
    """A request that waits for an approval has no DELETE to interrupt: `restart` needs none."""
    options = ("--no-browser", "--port", "0", "--approvals", "2")
    terminal, shown = os.openpty()
    process = await execute({}, "demo", *options, stdout=shown)
    os.close(shown)
    line = await asyncio.to_thread(os.read, terminal, 1000)
    found = re.fullmatch(rb"Open (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\r\n", line)
    assert found
    page = found[1].decode()
    demo = await state(page)
    async with aiohttp.ClientSession() as session:
        await session.post(f"{page}_demo/scenarios/restart", json={})
    restarted = await state(page)
    process.send_signal(signal.SIGTERM)
    await asyncio.wait_for(process.communicate(), SECONDS)
    os.close(terminal)

    assert (demo["scenario"], demo["approvals"]) == ("approval", 2)
    assert (restarted["scenario"], restarted["approvals"]) == ("restart", 0)


async def test_closed_output_exits_with_a_sentence() -> None:
    """A service without standard output works; a command that prints reports the error."""
    command = f"exec {sys.executable} -P -m bot --version >&-"
    process = await asyncio.create_subprocess_shell(
        command, env=surroundings(), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()

    assert process.returncode == 1
    assert err.decode() == "Standard output cannot be written to (it is closed).\n"
