"""`cancel-restore cancel` as a process: Slack is down, it is interrupted, it is killed."""

import asyncio
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bot.app import Bot
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer, Fault, Kind
from bot.sandbox.atlas.jobs import PLANTED_SECRET
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack import Fault as SlackFault
from bot.settings import load_settings
from bot.slack.job_lines import LINK_WAS_LIVE
from bot.storage.migrate import ensure_current
from tests.acceptance.actions import APPROVE
from tests.acceptance.environment import (
    LIVE,
    RUNNING,
    BotEnvironment,
    environment,
    is_card,
    open_environment,
    state_of,
)
from tests.support.polling import wait_until
from tests.support.process import EMPTY_FOLDER, CommandResult, execute, run_command, surroundings
from tests.support.timings import SHORT_TIMINGS

Environ = dict[str, str]

OPS = "C0OPS00001"
YES = ("--reason", "started by mistake", "--yes")

#: Seconds after which a command on a terminal is killed.
TERMINAL_TIMEOUT = 60.0

#: The DELETE cancels the job, and its answer never comes.
NO_ANSWER = Fault(kind=Kind.HANG_AFTER, method="DELETE")
#: The DELETE cancels the job, which reads so within the time for which a stop waits.
SLOW_EFFECT = Fault(kind=Kind.STALE_READ, method="DELETE", reads=3)


def settings_of(slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path) -> dict[str, str]:
    return environment(slack, atlas, folder) | {"BOT_WATCH_CHANNEL": OPS}


def without_slack(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("SLACK_")}


@pytest.fixture
async def atlas() -> AsyncIterator[FakeAtlasServer]:
    async with FakeAtlasServer() as atlas:
        yield atlas


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlackServer]:
    async with FakeSlackServer() as slack:
        yield slack


@pytest.fixture
def environ(slack: FakeSlackServer, atlas: FakeAtlasServer, tmp_path: Path) -> Environ:
    """The settings of a command, without those of Slack."""
    return without_slack(settings_of(slack, atlas, tmp_path))


def lines(ran: CommandResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def type_on_terminal(environ: dict[str, str], typed: bytes, *arguments: str) -> tuple[int, str]:
    """Run a command on a terminal; once it asks for the cluster's name, type it or interrupt."""
    terminal, stdio = pty.openpty()
    command = [sys.executable, "-P", "-m", "bot", *arguments]
    env = {**surroundings(), **environ}
    with subprocess.Popen(
        command, env=env, cwd=EMPTY_FOLDER, stdin=stdio, stdout=stdio, stderr=stdio
    ) as process:
        os.close(stdio)
        output, is_prompted = b"", False
        timer = threading.Timer(TERMINAL_TIMEOUT, process.kill)
        timer.start()
        with suppress(OSError):  # the end of a terminal's output
            while part := os.read(terminal, 4096):
                was_prompted, output = is_prompted, output + part
                is_prompted = b"to cancel the download" in output
                if is_prompted and not was_prompted and typed:
                    os.write(terminal, typed)
                elif is_prompted and not was_prompted:
                    process.send_signal(signal.SIGINT)
                    os.write(terminal, b"\n")  # ends a read that began after the signal
        timer.cancel()
    os.close(terminal)
    return process.returncode, output.decode()


async def test_reason_in_another_encoding_is_recorded_with_replacement_characters(
    environ: Environ,
) -> None:
    reason = os.fsdecode("gelöscht".encode("latin-1"))
    ran = await run_command("cancel", *RUNNING, "--reason", reason, "--yes", **environ)
    record = await run_command("audit", "--format", "jsonl", **environ)

    assert (ran.code, ran.err) == (0, "")
    assert "gel\N{REPLACEMENT CHARACTER}scht" in {line.get("reason") for line in lines(record)}


async def test_list_and_show_need_only_atlas_and_create_no_database(
    environ: Environ, tmp_path: Path
) -> None:
    cluster, job = RUNNING
    listed = await run_command("list", cluster, **environ)
    shown = await run_command("show", cluster, job, **environ)
    alone = await run_command("show", job, **environ)
    elsewhere = await run_command("show", "staging-eu", job, **environ)
    unknown = await run_command("show", cluster, "0" * 24, **environ)

    assert (listed.code, shown.code, elsewhere.code, unknown.code) == (0, 0, 1, 1)
    assert f"is not in staging-eu. It is in {cluster} in " in elsewhere.err
    assert lines(alone) == lines(shown)
    assert lines(shown)[0] in lines(listed)
    assert lines(shown)[0]["by_candidates"] == ["dana@shop.example"]
    assert "has no such download" in unknown.err
    assert files_in(tmp_path) == []


async def test_list_and_show_refuse_the_database_of_a_newer_program(environ: Environ) -> None:
    url = environ["DATABASE_URL"]
    await ensure_current(url)
    with sqlite3.connect(url.removeprefix("sqlite:///")) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    for call in (("list",), ("show", *RUNNING)):
        ran = await run_command(*call, **environ)

        assert (ran.code, ran.out) == (1, "")
        assert "a newer program has changed its tables (version 9999)" in ran.err.lower()


async def test_mistyped_setting_is_reported_on_standard_error(environ: Environ) -> None:
    environ |= {"BOT_APPROVLAS": "1"}
    for call in (("list",), ("show", *RUNNING), ("cancel", *RUNNING, *YES)):
        ran = await run_command(*call, **environ)

        assert ran.code == 0
        assert "BOT_APPROVLAS (did you mean BOT_APPROVALS?) is not a setting" in ran.err
        assert "BOT_APPROVLAS" not in ran.out


@pytest.mark.parametrize(
    "call", [("list",), ("show", RUNNING[1]), ("cancel", RUNNING[1], *YES)], ids=" ".join
)
async def test_unknown_cluster_is_named_with_those_of_the_project(
    environ: Environ, call: tuple[str, ...]
) -> None:
    ran = await run_command(call[0], "prod-eo", *call[1:], **environ)

    assert (ran.code, ran.out) == (1, "")
    assert "There is no cluster prod-eo in shop-prod; there are: " in ran.err
    assert " prod-eu, " in ran.err


async def test_project_in_the_place_of_the_cluster_is_called_one(environ: Environ) -> None:
    ran = await run_command("show", "shop-prod", RUNNING[1], **environ)

    assert "shop-prod is a project, not a cluster; there are: " in ran.err


@pytest.mark.parametrize(
    ("policy", "more", "is_needed"),
    [
        ({"BOT_REQUIRE_REASON": "true"}, (), True),
        ({"BOT_APPROVALS": "1"}, ("--without-approval",), True),
        ({}, ("--without-approval",), False),
    ],
)
async def test_reason_that_the_policy_requires_is_asked_for_before_any_call_of_atlas(
    environ: Environ,
    atlas: FakeAtlasServer,
    policy: dict[str, str],
    more: tuple[str, ...],
    *,
    is_needed: bool,
) -> None:
    environ |= policy
    ran = await run_command("cancel", *RUNNING, "--yes", *more, **environ)

    if is_needed:
        assert (ran.code, ran.out, len(atlas.calls)) == (2, "", 0)
        assert "add --reason TEXT" in ran.err
    else:
        assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("policy", "target"),
    [
        ({}, ("no-such", *RUNNING)),
        ({"BOT_READ_ONLY": "true"}, RUNNING),
        ({"BOT_APPROVALS": "2", "BOT_APPROVERS": "U0ADA00001"}, RUNNING),
    ],
    ids=["unknown project", "read-only project", "too few approvers"],
)
async def test_cancel_that_arguments_or_settings_prevent_ends_with_2_and_sends_nothing(
    environ: Environ, atlas: FakeAtlasServer, policy: Environ, target: tuple[str, ...]
) -> None:
    environ |= policy
    ran = await run_command("cancel", *target, *YES, **environ)

    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err
    assert not atlas.deletes(RUNNING[1])


async def test_terminal_asks_for_the_clusters_name(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    cluster, job = RUNNING
    environ |= {"TERM": "dumb"}

    async def ask(typed: bytes, *arguments: str) -> tuple[int, str]:
        return await asyncio.to_thread(type_on_terminal, environ, typed, *arguments)

    wrong = await ask(b"prod-us\n", "cancel", cluster, job)
    sent = len(atlas.deletes(job))
    stopped = await ask(b"", "cancel", cluster, job)
    right = await ask(b"\nPROD-EU\n", "cancel", cluster, job)

    assert (wrong[0], stopped[0], right[0]) == (2, 130, 0)
    assert "That is not prod-eu, so nothing was done." in wrong[1]
    assert "Nothing was recorded, and nothing was sent." in stopped[1]
    assert "Nothing was typed. Ctrl-C ends the command." in right[1]
    assert "Atlas confirms that the download is cancelled." in right[1]
    assert (sent, len(atlas.deletes(job))) == (0, 1)


async def test_clusters_name_is_read_from_a_pipe_until_its_end(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    cancel = (sys.executable, "-P", "-m", "bot", "cancel", *RUNNING)

    async def ask(typed: bytes, redirection: str = "") -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f'exec "$@" {redirection}', "sh", *cancel),
            env={**surroundings(), **environ},
            cwd=EMPTY_FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        _, err = await process.communicate(typed)
        return process.returncode, err.decode()

    ended = [await ask(b""), await ask(b"\n"), await ask(b"", "<&-")]
    wrong = await ask(b"prod-us\xff\n")
    sent = len(atlas.deletes(RUNNING[1]))
    right = await ask(b"PROD-EU\n")

    assert [code for code, _ in ended] == [2, 2, 2]
    for _, err in ended:
        assert err.endswith("No terminal can ask for the cluster's name: add --yes.\n")
    assert (wrong[0], right[0]) == (2, 0)
    assert wrong[1].endswith("That is not prod-eu, so nothing was done.\n")
    assert (sent, len(atlas.deletes(RUNNING[1]))) == (0, 1)


async def test_job_is_cancelled_while_slack_is_down_and_its_card_appears_once(
    environ: Environ, atlas: FakeAtlasServer, slack: FakeSlackServer, tmp_path: Path
) -> None:
    cluster, job = RUNNING
    slack.faults.add("*", SlackFault(kind="status"), times=10_000)
    settings = load_settings(settings_of(slack, atlas, tmp_path), tmp_path)
    bot = Bot(settings, timings=SHORT_TIMINGS)
    starting = asyncio.create_task(bot.start())
    try:
        ran = await run_command("cancel", cluster, job, *YES, **environ)
        slack.faults.clear()
        await starting
        env = BotEnvironment(slack=slack, atlas=atlas, bots=[bot], folder=tmp_path)
        ending = await env.wait_for_outcome(job)
        await asyncio.sleep(1)
    finally:
        starting.cancel()
        await bot.stop()
    cards = [m for m in slack.state.messages("ops") if is_card(m) and job in str(m["blocks"])]

    assert (ran.code, ran.err) == (0, "")
    assert [line["state"] for line in lines(ran)][-1] == ending.state == "cancelled"
    assert len(atlas.deletes(job)) == len(cards) == 1
    assert "cli:" in ending.card
    assert "<@cli:" not in str(cards)


@pytest.mark.parametrize("is_used", [False, True], ids=["live", "used"])
async def test_cancelled_job_whose_link_had_been_live_is_reported_with_that(
    environ: Environ, atlas: FakeAtlasServer, *, is_used: bool
) -> None:
    if is_used:
        atlas.world.job(LIVE[1]).use()
    ran = await run_command("cancel", *LIVE, *YES, **environ)
    repeated = await run_command("cancel", *LIVE, *YES, **environ)

    assert (ran.code, repeated.code) == (0, 0)
    for last in (lines(ran)[-1], lines(repeated)[-1]):
        assert last["sentence"].endswith(LINK_WAS_LIVE)
        assert last["live_since"] == lines(ran)[0]["live_since"] is not None
    assert PLANTED_SECRET not in ran.out


async def test_command_joins_a_request_of_slack_and_says_who_asked(tmp_path: Path) -> None:
    cluster, job = RUNNING
    async with open_environment(tmp_path) as env:
        environ = without_slack(settings_of(env.slack, env.atlas, tmp_path))
        await env.submit_request(RUNNING, Fault(kind=Kind.DELAY, method="DELETE", seconds=7))
        ran = await run_command("cancel", cluster, job, *YES, **environ)

    assert ran.code == 0
    assert "U0RINA0001 asked to cancel this download already" in lines(ran)[0]["sentence"]
    assert "keeps its own reason" not in lines(ran)[0]["sentence"]  # it is the same
    assert len(env.atlas.deletes(job)) == 1


@pytest.mark.parametrize("more", [(), ("--without-approval",)])
async def test_killed_command_continues_the_same_request_when_repeated(
    environ: Environ, atlas: FakeAtlasServer, more: tuple[str, ...]
) -> None:
    cluster, job = RUNNING
    atlas.faults.add(NO_ANSWER)
    killed = await execute(environ, "cancel", cluster, job, *YES, *more)
    assert killed.stdout
    line = await killed.stdout.readline()
    await wait_until(lambda: job in atlas.world.cancellations)
    killed.kill()
    await killed.communicate()
    again = run_command("cancel", cluster, job, *YES, *more, **environ)
    ran = await asyncio.wait_for(again, 45)
    await atlas.stop()  # records the call that hangs

    before = json.loads(line)
    assert (ran.code, ran.err) == (0, "")
    assert {line["request"] for line in lines(ran)} == {before["request"]}
    assert lines(ran)[-1]["state"] == "cancelled"
    assert len(atlas.deletes(job)) == 1


@pytest.mark.parametrize("fault", [NO_ANSWER, SLOW_EFFECT])
async def test_interrupted_command_goes_on_with_its_request_when_called_again(
    environ: Environ, atlas: FakeAtlasServer, fault: Fault
) -> None:
    cluster, job = RUNNING
    atlas.faults.add(fault)
    command = await execute(environ, "cancel", cluster, job, *YES)
    await wait_until(lambda: job in atlas.world.cancellations)
    os.kill(command.pid, signal.SIGINT)
    out, err = await asyncio.wait_for(command.communicate(), 20)
    await run_command("cancel", cluster, job, *YES, **environ)
    repeat = lines(await run_command("cancel", cluster, job, *YES, **environ))

    request = json.loads(out.splitlines()[0])["request"]
    assert command.returncode == 130
    assert err.decode().startswith("Interrupted: a DELETE may have been sent.")
    assert [line["request"] for line in repeat] == [request]
    assert f"cancelled already, by request {request} of cli:" in repeat[0]["sentence"]
    assert "Traceback" not in err.decode()


async def test_cancel_with_approvals_ends_with_3_and_is_approved_in_slack(tmp_path: Path) -> None:
    cluster, job = LIVE
    policy = {"BOT_APPROVALS": "1", "BOT_AUDIT_CHANNEL": OPS}
    async with open_environment(tmp_path, {**policy}) as env:
        environ = without_slack(settings_of(env.slack, env.atlas, tmp_path)) | policy
        waits = await run_command("cancel", cluster, job, *YES, **environ)
        card = await env.slack.until(lambda: env.card(job))
        assert card
        await env.slack.people.clicks("ada", card, APPROVE)
        ending = await env.wait_for_outcome(job)
        again = await run_command("cancel", cluster, job, *YES, **environ)

    assert (waits.code, again.code) == (3, 0)
    assert lines(waits)[-1]["request"] in str(card)
    waiting = f"waits for 1 approval: a running bot posts its card in channel {OPS}."
    assert waiting in lines(waits)[-1]["sentence"]
    assert ending.state == "cancelled"
    assert len(env.atlas.deletes(job)) == 1


async def test_cancel_without_approval_replaces_the_waiting_request(tmp_path: Path) -> None:
    cluster, job = LIVE
    policy = {"BOT_APPROVALS": "1", "BOT_APPROVERS": "U0ADA00001", "BOT_AUDIT_CHANNEL": OPS}
    async with open_environment(tmp_path, {**policy}) as env:
        environ = without_slack(settings_of(env.slack, env.atlas, tmp_path)) | policy
        await env.submit_request(LIVE)
        ran = await run_command("cancel", cluster, job, *YES, "--without-approval", **environ)
        ending = await env.wait_for_outcome(job)
        direct = env.slack.state.dm("ada")
        await env.slack.until(lambda: "acted alone" in str(env.slack.state.messages(direct)))
        ended = await env.slack.until(lambda: [m for m in env.cards(job) if state_of(m) == "over"])

    assert "takes the place of this one" in str(ended)
    assert "waited: this one takes its place" in ran.out
    assert (ran.code, ran.err) == (0, "")
    assert "request:acted_alone" in [line["event"] for line in lines(ran)]
    assert ending.state == "cancelled"
    assert len(env.atlas.deletes(job)) == 1


async def test_without_any_channel_each_approver_gets_the_card_directly(tmp_path: Path) -> None:
    policy = {"BOT_APPROVALS": "1", "BOT_APPROVERS": "S0APPROVE1"}
    async with open_environment(tmp_path, {**policy}) as env:
        environ = without_slack(environment(env.slack, env.atlas, tmp_path)) | policy

        async def card(person: str, job: str, state: str) -> Any:
            direct = env.slack.state.dm(person)
            return await env.slack.until(
                lambda: next((m for m in env.cards(job, direct) if state_of(m) == state), None)
            )

        waits = await run_command("cancel", *LIVE, *YES, **environ)
        await env.slack.people.clicks("abe", await card("abe", LIVE[1], "awaiting"), APPROVE)
        approved = await card("ada", LIVE[1], "cancelled")
        ran = await run_command("cancel", *RUNNING, *YES, "--without-approval", **environ)
        await card("ada", RUNNING[1], "cancelled")
        alone = await card("abe", RUNNING[1], "cancelled")
        await env.slack.people.clicks("abe", alone, "cancel_restore_review")
        direct = env.slack.state.dm("ada")
        await env.slack.until(lambda: "Reviewed by" in str(env.card(RUNNING[1], direct)))

    assert approved
    assert (waits.code, ran.code) == (3, 0)
    assert "a running bot sends its card to each approver directly" in waits.out
    assert "A running bot sends its card to each approver directly, for a review." in ran.out


async def test_list_fails_where_an_organization_cannot_be_read_and_shows_the_other_jobs(
    environ: Environ, atlas: FakeAtlasServer, tmp_path: Path
) -> None:
    keys = "public_key_env = 'PUBLIC'\nprivate_key_env = '{}'\n"
    project = f"[[projects]]\nname = 'shop-prod'\nid = '{PROJECT_ID}'\n{keys.format('PRIVATE')}"
    file = tmp_path / "projects.toml"
    file.write_text(f"{project}[[organizations]]\n{keys.format('WRONG')}")
    del environ["MONGODB_ATLAS_PROJECT_ID"]
    environ |= {"PUBLIC": PUBLIC_KEY, "PRIVATE": PRIVATE_KEY, "WRONG": "0" * 36}
    environ["BOT_PROJECTS_FILE"] = str(file)
    ran = await run_command("list", **environ)
    other = await run_command("list", "--project", "payments", **environ)

    assert ran.code == other.code == 1
    assert "Project 'payments' is not among those that could be read: shop-prod." in other.err
    assert RUNNING[1] in {line["job"] for line in lines(ran)}
    assert "The projects of organization number 1 cannot be listed" in ran.err
    assert ran.err.endswith(f"Atlas's address is {atlas.url} (MONGODB_ATLAS_BASE_URL).\n")


async def test_project_of_the_file_may_be_given_by_its_name_in_atlas(
    environ: Environ, tmp_path: Path
) -> None:
    file = tmp_path / "projects.toml"
    file.write_text(f"[[projects]]\nname = 'billing'\nid = '{PROJECT_ID}'\n")
    del environ["MONGODB_ATLAS_PROJECT_ID"]
    environ["BOT_PROJECTS_FILE"] = str(file)
    shown = await run_command("show", "shop-prod", *RUNNING, **environ)
    listed = await run_command("list", "--project", "Shop-Prod", **environ)

    assert (shown.code, shown.err, listed.code, listed.err) == (0, "", 0, "")
    assert lines(shown)[0] in lines(listed)


async def test_command_fails_where_the_projects_file_selects_no_project(
    environ: Environ, tmp_path: Path
) -> None:
    file = tmp_path / "projects.toml"
    file.write_text("[[organizations]]\ninclude = ['shpo-*']\n")
    del environ["MONGODB_ATLAS_PROJECT_ID"]
    for call in (("list",), ("show", *RUNNING), ("cancel", *RUNNING, *YES)):
        ran = await run_command(*call, **environ, BOT_PROJECTS_FILE=str(file))

        assert ran.code == 1
        assert ran.err.startswith("The projects file selects no project: compare include and")


async def test_terminal_shows_once_which_atlas_is_waited_for_and_the_output_stays_json(
    environ: Environ, atlas: FakeAtlasServer
) -> None:
    terminal, stderr = pty.openpty()
    atlas.faults.add(Fault(kind=Kind.DELAY, path=RUNNING[1], seconds=3))
    process = await execute(environ, "show", *RUNNING, stderr=stderr)
    os.close(stderr)
    out, _ = await asyncio.wait_for(process.communicate(), TERMINAL_TIMEOUT)
    shown = os.read(terminal, 4096).decode()
    os.close(terminal)

    assert process.returncode == 0
    assert shown.split("\r\n") == [f"Still waiting for Atlas at {atlas.url}.", ""]
    assert json.loads(out)["job"] == RUNNING[1]


async def test_repeated_command_says_that_the_open_request_keeps_its_reason(
    environ: Environ,
) -> None:
    environ |= {"BOT_APPROVALS": "1"}
    secret = ("--reason", "started by mistake, password=sesame-1234", "--yes")
    await run_command("cancel", *LIVE, *secret, **environ)
    same = lines(await run_command("cancel", *LIVE, *secret, **environ))
    other = lines(await run_command("cancel", *LIVE, "--reason", "b", "--yes", **environ))
    record = lines(await run_command("audit", "--format", "jsonl", **environ))

    kept = "The open request keeps its own reason; the one given now is not recorded."
    assert "asked to cancel this download already" in same[0]["sentence"]
    assert kept not in same[0]["sentence"]
    assert kept in other[0]["sentence"]
    [reason] = [line["reason"] for line in record if "reason" in line]
    assert reason.startswith("started by mistake, ")
    assert "sesame-1234" not in reason
