"""`cancel` and `list` as processes: without Slack, beside a bot, killed, on a terminal."""

import asyncio
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from bot.atlas import JobRef
from bot.sandbox.atlas import PROJECT_ID, Call, FakeAtlasServer, Fault, Kind
from bot.sandbox.slack import FakeSlackServer
from bot.storage.database import Database, wall_clock
from bot.storage.lease import Lease
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from bot.storage.run_store import RunStore
from tests.acceptance.command_line.commands import (
    ALONE,
    APPROVALS,
    AUTOMATED,
    CANCELLED,
    EXPIRED,
    FAILED,
    LIVE,
    RUNNING,
    YES,
    Environ,
    lines,
    run,
)
from tests.support.domain import ADA, ALAN, POLICY, RINA, restore_job, submission
from tests.support.polling import wait_until
from tests.support.process import EMPTY_FOLDER, BotProcess, execute, invoke, surroundings

#: Seconds after which a command on a terminal is killed.
TERMINAL_TIMEOUT = 60.0


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_list_has_a_line_for_each_restore_newest_first_and_creates_no_database(
    environ: Environ, tmp_path: Path
) -> None:
    ran = await run(environ, "list")
    of_cluster = await run(environ, "list", "PROD-EU", "--project", "shop-prod")
    starts = [line["job"] for line in lines(ran.out)]

    assert (ran.code, ran.err, of_cluster.code) == (0, "", 0)
    assert starts == sorted(starts, reverse=True)
    assert [line["job"] for line in lines(of_cluster.out)] == [AUTOMATED[1], LIVE[1], RUNNING[1]]
    assert [line["cancellable"] for line in lines(of_cluster.out)] == [False, True, True]
    assert files_in(tmp_path) == []


async def test_list_writes_what_could_be_read_and_ends_with_1_for_the_rest(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    fault = Fault(kind=Kind.ERROR, code="USER_UNAUTHORIZED", path="/prod-us/", times=None)
    atlas.faults.add(fault)
    ran = await run(environ, "list")

    assert ran.code == 1
    assert {line["cluster"] for line in lines(ran.out)} >= {"prod-eu", "staging-eu"}
    assert "prod-us in shop-prod could not be read" in ran.err


@pytest.mark.parametrize(
    ("policy", "arguments", "code", "why"),
    [
        (APPROVALS, (*RUNNING, *YES), 2, "--without-approval"),
        (APPROVALS, (*RUNNING, "--yes", "--without-approval"), 2, "--reason"),
        ({"BOT_REQUIRE_REASON": "true"}, (*RUNNING, "--yes"), 2, "--reason"),
        ({"BOT_READ_ONLY": "true"}, (*RUNNING, *YES), 2, "only watches"),
        ({}, ("no-such", *RUNNING, *YES), 2, "no project 'no-such'"),
        ({}, (*RUNNING, "--reason", "by mistake"), 2, "--yes"),
        ({}, ("prod-us", RUNNING[1], *YES), 1, "belongs to the cluster prod-eu, not to prod-us"),
        ({}, ("prod-eu", "0" * 24, *YES), 1, "has a download with this job id. Check the id."),
        ({}, (*AUTOMATED, *YES), 1, "Atlas cancels downloads only"),
        ({}, (*EXPIRED, *YES), 1, "Tell your security team.\n"),
        ({}, (*FAILED, *YES), 1, "does not read cancelled. No link was seen.\n"),
    ],
)
async def test_command_that_may_not_or_cannot_cancel_says_why_and_sends_nothing(
    environ: Environ,
    atlas: FakeAtlasServer,
    policy: Environ,
    arguments: tuple[str, ...],
    *,
    code: int,
    why: str,
) -> None:
    ran = await run(environ | policy, "cancel", *arguments)

    assert (ran.code, ran.out) == (code, "")
    assert why in ran.err
    assert "Traceback" not in ran.err
    assert atlas.deletes() == []


@pytest.mark.parametrize("policy", [{}, APPROVALS], ids=["no approvals", "acting alone"])
async def test_download_is_cancelled_and_recorded_without_slack_and_called_again_sends_nothing(
    environ: Environ, atlas: FakeAtlasServer, policy: Environ
) -> None:
    options = ALONE if policy else YES
    ran = await run(environ | policy, "cancel", *RUNNING, *options)
    again = await run(environ | policy, "cancel", *RUNNING, *options)
    record = lines((await run(environ, "audit")).out)
    verified = await run(environ, "audit", "verify")

    assert (ran.code, ran.err, again.code) == (0, "", 0)
    assert lines(ran.out)[-1]["event"] == "request:cancelled"
    assert "cancelled already" in lines(again.out)[-1]["sentence"]
    assert len(atlas.deletes(RUNNING[1])) == 1
    assert ("request:acted_alone" in {line["event"] for line in record}) == bool(policy)
    assert all(line["actor"].startswith("cli:") for line in record if line["actor"])
    assert (verified.code, verified.err) == (0, "")


def ended_pipe() -> int:
    """Return the end for writing of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full_disk() -> int:
    return os.open("/dev/full", os.O_WRONLY)


@pytest.mark.parametrize("open_output", [ended_pipe, full_disk])
async def test_output_that_fails_stops_the_lines_and_not_the_cancellation(
    environ: Environ, atlas: FakeAtlasServer, open_output: Callable[[], int]
) -> None:
    output = open_output()
    process = await execute(environ, "cancel", *RUNNING, *YES, stdout=output)
    os.close(output)
    _, errors = await asyncio.wait_for(process.communicate(), TERMINAL_TIMEOUT)

    assert process.returncode == 0
    assert b"The cancellation goes on." in errors
    assert b"Traceback" not in errors
    assert len(atlas.deletes(RUNNING[1])) == 1


@pytest.mark.parametrize(
    ("target", "failed", "code"), [(CANCELLED, False, 0), (CANCELLED, True, 1)]
)
async def test_job_that_reads_cancelled_already_is_a_success_unless_it_failed_too(
    environ: Environ, atlas: FakeAtlasServer, target: tuple[str, str], *, failed: bool, code: int
) -> None:
    atlas.world.job(target[1]).failed = failed
    ran = await run(environ, "cancel", *target, *YES)

    assert ran.code == code
    assert atlas.deletes() == []


async def test_cancelled_download_whose_link_had_been_live_is_reported_with_that(
    environ: Environ,
) -> None:
    ran = await run(environ, "cancel", *LIVE, *YES)

    assert ran.code == 0
    assert "a copy may have been taken" in lines(ran.out)[-1]["sentence"]
    assert lines(ran.out)[-1]["link_live_since"]


async def test_refusal_of_atlas_ends_with_1_and_its_code(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    code = "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED"
    atlas.faults.add(Fault(kind=Kind.ERROR, code=code, method="DELETE"))
    ran = await run(environ, "cancel", *RUNNING, *YES)

    assert ran.code == 1
    assert lines(ran.out)[-1]["event"] == "request:refused"
    assert code in ran.err


async def test_fault_that_people_can_mend_is_said_at_once_and_the_next_try_cancels(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    atlas.faults.add(Fault(kind=Kind.ERROR, code="USER_UNAUTHORIZED", method="DELETE", times=4))
    ran = await run(environ, "cancel", *RUNNING, *YES)

    assert (ran.code, ran.err) == (0, "")
    faults = [line["sentence"] for line in lines(ran.out) if "lacks a role" in line["sentence"]]
    assert len(faults) == 1
    assert faults[0].endswith("tries again until the download is over.")


async def test_killed_command_continues_the_same_request_when_called_again(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    atlas.faults.add(Fault(kind=Kind.HANG_AFTER, method="DELETE"))
    killed = await execute(environ | APPROVALS, "cancel", *RUNNING, *ALONE)
    await wait_until(lambda: RUNNING[1] in atlas.world.cancellations)
    killed.kill()
    out, _ = await killed.communicate()
    ran = await run(environ | APPROVALS, "cancel", *RUNNING, *YES)
    await atlas.stop()  # records the call that hangs

    assert (ran.code, ran.err) == (0, "")
    request = json.loads(out.splitlines()[0])["request"]
    assert {line["request"] for line in lines(ran.out)} == {request}
    assert lines(ran.out)[-1]["event"] == "request:cancelled"
    assert len(atlas.deletes(RUNNING[1])) == 1


async def test_interrupted_command_ends_quietly_and_says_that_a_delete_may_be_sent(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    atlas.faults.add(Fault(kind=Kind.HANG_AFTER, method="DELETE"))
    command = await execute(environ, "cancel", *RUNNING, *YES)
    await wait_until(lambda: RUNNING[1] in atlas.world.cancellations)
    os.kill(command.pid, signal.SIGINT)
    _, err = await asyncio.wait_for(command.communicate(), 20)

    assert command.returncode == 130
    assert err.decode().startswith("Interrupted. A DELETE may have been sent.")
    assert "Traceback" not in err.decode()


async def test_command_without_standard_error_cancels(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    words = [sys.executable, "-P", "-m", "bot", "cancel", *RUNNING, *YES]
    command = await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        f"exec {shlex.join(words)} 2>&-",
        env={**surroundings(), **environ},
        cwd=EMPTY_FOLDER,
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(command.communicate(), 20)

    assert (command.returncode, lines(out.decode())[-1]["state"]) == (0, "cancelled")


async def test_command_interrupted_while_it_reads_the_download_says_that_nothing_was_recorded(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    atlas.faults.add(Fault(kind=Kind.HANG))
    command = await execute(environ, "cancel", *RUNNING, *YES)
    await wait_until(lambda: not atlas.faults.active)
    os.kill(command.pid, signal.SIGINT)
    _, err = await asyncio.wait_for(command.communicate(), 20)

    assert command.returncode == 130
    assert err.decode() == "Interrupted. Nothing was recorded, and nothing was sent.\n"


async def test_active_bot_runs_the_request_of_the_command_and_shows_it(
    with_slack: Environ, environ: Environ, atlas: FakeAtlasServer, slack: FakeSlackServer
) -> None:
    with BotProcess(with_slack) as bot:
        await bot.ready()
        ran = await run(environ, "cancel", *RUNNING, *YES)
        assert await bot.status("/readyz") == 200
        await slack.until(lambda: "Cancelled. Atlas confirms it" in shown_about(slack, RUNNING[1]))

    assert (ran.code, ran.err) == (0, "")
    assert lines(ran.out)[-1]["event"] == "request:cancelled"
    assert len(atlas.deletes(RUNNING[1])) == 1


async def test_request_that_the_active_bot_does_not_run_is_told_and_continues_later(
    environ: Environ, atlas: FakeAtlasServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.cli.cancel.BEGIN_WITHIN", 1.0)
    await ensure_current(environ["DATABASE_URL"])
    database = Database(environ["DATABASE_URL"])
    bot = Lease(database, "a bot whose settings name another project", seconds=19.0)
    await bot.take()
    left = await invoke("cancel", *RUNNING, *YES, **environ)
    request = lines(left.out)[0]["request"]
    await RunStore(database, wall_clock, bot).begin(request)  # as a bot that was killed then
    following = asyncio.create_task(invoke("cancel", *RUNNING, *YES, **environ))
    await asyncio.sleep(2)
    await bot.release()
    followed = await following
    await database.close()

    assert (left.code, lines(left.out)[-1]["state"]) == (1, "approved")
    assert "has not begun the request" in left.err
    assert followed.code == 0
    assert {line["request"] for line in lines(followed.out)} == {request}
    assert "check that its settings name this project" in followed.out
    assert len(atlas.deletes(RUNNING[1])) == 1


def shown_about(slack: FakeSlackServer, job: str) -> str:
    """Return the text of the message about a job."""
    payloads = ((m, (m.get("metadata") or {})) for m in slack.state.messages("ops"))
    return next((slack.state.text_of(m) for m, meta in payloads if job in json.dumps(meta)), "")


def reads_of(atlas: FakeAtlasServer) -> list[Call]:
    return [call for call in atlas.calls if call.method == "GET" and RUNNING[1] in call.path]


async def ask_in_slack(environ: Environ, atlas: FakeAtlasServer) -> str:
    """Store a request that waits for two approvals, and return its id."""
    url = environ["DATABASE_URL"]
    await ensure_current(url)
    database = Database(url)
    ref = JobRef(PROJECT_ID, *RUNNING)
    found = atlas.world.job(RUNNING[1])
    snapshot_at = found.snapshot_at.replace(microsecond=0)
    job = restore_job(ref, snapshotId=found.snapshot_id, timestamp=snapshot_at)
    policy = replace(POLICY, channel=environ["BOT_CHANNEL"], approvals=2)
    asked = replace(submission(), ref=ref, job=job)
    waiting = await RequestStore(database, wall_clock, None).submit(RINA, policy, asked)
    await database.close()
    return waiting.request.id


async def test_request_that_waits_in_slack_is_left_waiting_without_the_option(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    await ask_in_slack(environ, atlas)
    ran = await run(environ | APPROVALS, "cancel", *RUNNING, *YES)

    assert (ran.code, "waits for approval" in ran.err) == (2, True)
    assert atlas.deletes() == []


@pytest.mark.parametrize(
    ("policy", "options", "event", "is_beside_bot"),
    [
        ({}, YES, "request:approved", False),
        (APPROVALS, ALONE, "request:acted_alone", False),
        (APPROVALS, ALONE, "request:acted_alone", True),
    ],
    ids=["no approvals today", "without approval", "beside a bot"],
)
async def test_operator_decides_the_request_that_waits_in_slack(
    with_slack: Environ,
    environ: Environ,
    atlas: FakeAtlasServer,
    slack: FakeSlackServer,
    *,
    policy: Environ,
    options: tuple[str, ...],
    event: str,
    is_beside_bot: bool,
) -> None:
    waiting = await ask_in_slack(environ, atlas)
    with BotProcess(with_slack | policy) as bot:
        if is_beside_bot:
            await bot.ready()
        else:
            bot.kill()
        ran = await run(environ | policy, "cancel", *RUNNING, *options)
        if is_beside_bot:
            await slack.until(lambda: "cli:" in shown_about(slack, RUNNING[1]))
    record = lines((await run(environ, "audit")).out)
    (actor,) = {line["actor"] for line in record if line["event"] == event}

    assert (ran.code, ran.err) == (0, "")
    assert {line["request"] for line in lines(ran.out)} == {waiting}
    assert lines(ran.out)[-1]["event"] == "request:cancelled"
    assert actor.startswith("cli:")
    assert len(atlas.deletes(RUNNING[1])) == 1


@pytest.mark.parametrize("is_approved", [True, False], ids=["it runs", "acting alone"])
async def test_call_during_an_outage_goes_on_with_the_open_request(
    environ: Environ, atlas: FakeAtlasServer, *, is_approved: bool
) -> None:
    waiting = await ask_in_slack(environ, atlas)
    database = Database(environ["DATABASE_URL"])
    over = (database, wall_clock, None)
    for approver in (ADA, ALAN) if is_approved else ():
        await RequestStore(*over).approve(waiting, approver, POLICY)
    await database.close()
    atlas.faults.add(Fault(kind=Kind.ERROR, status=503, code="SERVICE_UNAVAILABLE", times=None))
    options = YES if is_approved else ALONE
    following = asyncio.create_task(run(environ | APPROVALS, "cancel", *RUNNING, *options))
    await wait_until(lambda: [call.status for call in reads_of(atlas)].count(503) > 6)
    atlas.faults.clear()
    followed = await following

    assert (followed.code, len(atlas.deletes(RUNNING[1]))) == (0, 1)
    assert {line["request"] for line in lines(followed.out)} == {waiting}
    assert "internal error" in followed.err


def type_on_terminal(environ: Environ, typed: bytes, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal; once it asks for the cluster's name, type it or interrupt.

    A signal that comes just before the read of the terminal does not end that read: it is sent
    again, as a person would do.
    """
    terminal, stdio = pty.openpty()
    command = [sys.executable, "-P", "-m", "bot", *arguments]
    env = {**surroundings(), **environ, "TERM": "dumb"}
    with subprocess.Popen(
        command, env=env, cwd=EMPTY_FOLDER, stdin=stdio, stdout=stdio, stderr=stdio
    ) as process:
        os.close(stdio)
        output, is_prompted = b"", False
        timer = threading.Timer(TERMINAL_TIMEOUT, process.kill)
        timer.start()
        with suppress(OSError):  # the end of a terminal's output
            while True:
                if is_prompted and not select.select([terminal], [], [], 2.0)[0]:
                    if not typed and process.poll() is None:
                        process.send_signal(signal.SIGINT)
                    continue
                part = os.read(terminal, 4096)
                was_prompted, output = is_prompted, output + part
                is_prompted = b"name to cancel" in output
                if is_prompted and not was_prompted and typed:
                    os.write(terminal, typed)
                elif is_prompted and not was_prompted:
                    process.send_signal(signal.SIGINT)
                if not part:
                    break
        timer.cancel()
    os.close(terminal)
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("typed", "code", "says", "deletes"),
    [
        (b"prod-us\n", 2, "That is not prod-eu, so nothing was done.", 0),
        (b"", 130, "Nothing was recorded, and nothing was sent.", 0),
        (b"PROD-EU\n", 0, "Cancelled. Atlas confirms it.", 1),
    ],
    ids=["another name", "Ctrl-C", "the name"],
)
async def test_terminal_asks_for_the_clusters_name(
    environ: Environ, atlas: FakeAtlasServer, typed: bytes, *, code: int, says: str, deletes: int
) -> None:
    ended, text = await asyncio.to_thread(type_on_terminal, environ, typed, "cancel", *RUNNING)

    assert ended == code
    assert says in text
    assert "Traceback" not in text
    assert len(atlas.deletes(RUNNING[1])) == deletes
