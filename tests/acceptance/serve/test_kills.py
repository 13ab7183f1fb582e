"""Killed and stopped processes: the successor settles what is open, and no DELETE is blind."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from tests.support.serving import OPEN, Serving, buttons, pause, resume, serving
from tests.tools.kills.campaign import run
from tests.tools.kills.chaos import Size

ADA, ABE, RINA = "U0ADA00001", "U0ABE00001", "U0RINA0001"
#: Seconds from SIGTERM to the end: five in the contract, and one of a busy machine.
ENDED_WITHIN = 6.0
#: Calls of Slack whose answers are open at SIGTERM.
HANGING = ("chat.postMessage", "views.update")


@pytest.fixture(params=["sqlite", "postgresql"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serving]:
    """An environment for two processes, on each database."""
    if request.param == "postgresql":
        url = request.getfixturevalue("on_postgres")
    else:
        url = f"sqlite:///{tmp_path}/bot.db"
    async with serving(url, {}) as scene:
        yield scene


async def test_successor_settles_what_a_killed_process_had_begun(shared: Serving) -> None:
    first = await shared.start()
    sent, accepted = shared.download(), shared.download("prod-us")
    dialog = await shared.opens("ada", await shared.message(accepted))
    hanging = Fault(kind=Kind.HANG, method="GET", path=accepted.id, times=None)
    shared.atlas.faults.add(Fault(kind=Kind.HANG_AFTER, method="DELETE", path=sent.id), hanging)
    assert (await shared.submits("ada", dialog, reason="by mistake")).ok
    await shared.asks("rina", sent)
    await shared.until(lambda: sent.cancelled)
    first.kill()
    shared.atlas.faults.clear()
    assert not accepted.cancelled

    await shared.start()
    await shared.message(sent, "cancelled")
    await shared.message(accepted, "cancelled")

    # The successor reads a job before it would send another DELETE.
    assert (shared.deletes(sent) <= 1, shared.deletes(accepted)) == (True, 1)
    assert (await shared.events(sent)).count("atlas:cancel_sent") == 1


async def test_standby_takes_over_within_five_seconds_of_sigterm(shared: Serving) -> None:
    first = await shared.start()
    second = shared.begin()
    await shared.role(second, "standby")
    assert await first.stop(ENDED_WITHIN) == 0

    await shared.role(second, "active")

    job = shared.download()
    await shared.asks("rina", job)
    await shared.message(job, "cancelled")


@pytest.mark.parametrize("shared", ["postgresql"], indirect=True)
async def test_stopped_process_that_goes_on_sends_nothing(shared: Serving) -> None:
    """SQLite would stay locked where a process is stopped inside a write."""
    first = await shared.start()
    second = shared.begin()
    await shared.role(second, "standby")
    job, other = shared.download(), shared.download("prod-us")
    await shared.message(other)
    dialog = await shared.opens("rina", await shared.message(job))
    pause(first)
    await shared.role(second, "active")
    # Slack sends each second click to the stopped process.
    acks = [await shared.submits("rina", dialog, reason="by mistake")]
    if not acks[0].ok:
        acks.append(await shared.submits("rina", dialog, reason="by mistake"))
    assert acks[-1].ok
    await shared.message(job, "cancelled")
    resume(first)

    await shared.role(first, "standby")

    assert shared.deletes(job) == 1
    await shared.asks("rina", other)
    await shared.message(other, "cancelled")
    assert shared.deletes(other) == 1


async def test_sigterm_with_a_delete_out_records_its_answer(bot: Serving) -> None:
    bot.forks = False
    process = await bot.start()
    job = bot.download()
    await bot.message(job)
    bot.atlas.faults.add(Fault(kind=Kind.DELAY, method="DELETE", seconds=1.5))
    await bot.asks("rina", job)
    await bot.until(lambda: "cancel_sent" in process.log)
    assert await process.stop(ENDED_WITHIN) == 0

    names = await bot.events(job)

    assert "atlas:cancel_answered" in names
    await bot.start()
    await bot.message(job, "cancelled")
    assert bot.deletes(job) == 1


async def test_sigterm_while_atlas_answers_nothing_ends_within_five_seconds(bot: Serving) -> None:
    bot.forks = False
    process = await bot.start()
    job = bot.download()
    await bot.message(job)
    bot.atlas.faults.add(Fault(kind=Kind.HANG, times=None, on="any"))
    await bot.slack.people.clicks("rina", await bot.message(job), OPEN)

    assert await process.stop(ENDED_WITHIN) == 0


@pytest.mark.parametrize("is_half_open", [False, True], ids=["answers hang", "half open socket"])
async def test_sigterm_while_an_answer_of_slack_is_open_ends_all_within_five_seconds(
    bot: Serving, *, is_half_open: bool
) -> None:
    bot.forks = False
    bot.settings["BOT_WATCH_INTERVAL"] = "1"
    process, standby = await bot.start(), bot.begin()
    await bot.role(standby, "standby")
    message = await bot.message(bot.download())
    dialog = await bot.opens("ada", message)
    for method in HANGING:
        bot.slack.faults.add(method, SlackFault(kind="delay", seconds=60.0))
    await bot.slack.people.clicks("rina", message, OPEN)
    assert (await bot.submits("ada", dialog, reason="by mistake")).ok
    await bot.until(lambda: not any(bot.slack.faults._queue[method] for method in HANGING))
    if is_half_open:
        bot.slack.sockets.half_open()

    codes = await asyncio.gather(process.stop(ENDED_WITHIN), standby.stop(ENDED_WITHIN))

    assert set(codes) == {0}


async def test_open_requests_of_a_project_that_is_read_only_now_end_as_withdrawn(
    bot: Serving,
) -> None:
    bot.settings |= {"BOT_APPROVALS": "1", "BOT_APPROVERS": ADA}
    process = await bot.start()
    job = bot.download()
    await bot.asks("rina", job)
    await bot.message(job, "awaiting")
    other = bot.download("prod-us")
    assert buttons(await bot.message(other)) == ["Cancel this download (danger)"]
    assert await process.stop(ENDED_WITHIN) == 0

    await bot.start(BOT_READ_ONLY="true")
    await bot.message(job, "withdrawn")
    await bot.until(lambda: buttons(bot.find(other) or {"blocks": []}) == [])

    assert bot.deletes(job) == 0


async def test_open_request_with_enough_approvals_by_the_settings_of_a_restart_runs(
    bot: Serving,
) -> None:
    bot.settings |= {"BOT_APPROVALS": "2", "BOT_APPROVERS": f"{ADA},{ABE}"}
    process = await bot.start()
    approved, undecided = bot.download(), bot.download("prod-us")
    for job in (approved, undecided):
        await bot.asks("rina", job)
    await bot.approves("ada", approved)
    await bot.reply(approved, "approves (1 of 2)")
    assert await process.stop(ENDED_WITHIN) == 0

    await bot.start(BOT_APPROVALS="1")
    await bot.message(approved, "cancelled")
    await bot.approves("abe", undecided)
    await bot.message(undecided, "cancelled")

    names = await bot.events(approved)
    assert names[:3] == ["request:created", "request:approval_given", "request:approved"]
    assert (await bot.events(undecided))[:2] == ["request:created", "request:approved"]


async def test_short_campaign_of_kills_breaks_no_rule(tmp_path: Path) -> None:
    size = Size(
        requests=12,
        downloads=12,
        storm=(5.0, 6.0),
        calm=(2.0, 3.0),
        hits=(3.0, 5.0),
        cut=1.0,
        linger=(1.0, 3.0),
        ends_all=False,
    )

    report = await run(f"sqlite:///{tmp_path}/bot.db", size, secrets.randbelow(2**31))

    assert report.found == [], (report.seed, report.histories)
    assert report.counts["requests"]
