"""Killed and stopped processes: the successor settles what is open, and no DELETE is blind."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.sandbox.atlas import Fault, Kind
from tests.support.serving import Serving, buttons, pause, resume, serving
from tests.tools.kills.campaign import run
from tests.tools.kills.chaos import Size

ADA, RINA = "U0ADA00001", "U0RINA0001"
#: Seconds within which the contract has a dead process's request settled, on a busy machine.
SETTLED_WITHIN = 45.0


@pytest.fixture(params=["sqlite", "postgresql"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Serving]:
    """An environment for two processes, on each database."""
    if request.param == "postgresql":
        url = request.getfixturevalue("on_postgres")
    else:
        url = f"sqlite:///{tmp_path}/bot.db"
    async with serving(url, {}) as scene:
        yield scene


async def test_standby_takes_over_what_a_killed_process_had_begun(shared: Serving) -> None:
    first = await shared.start()
    second = shared.begin()
    await shared.role(second, "standby")
    job = shared.download()
    await shared.message(job)
    shared.atlas.faults.add(Fault(kind=Kind.HANG_AFTER, method="DELETE"))
    await shared.asks("rina", job)
    await shared.until(lambda: shared.deletes(job) or job.cancelled)
    first.kill()

    await shared.message(job, "cancelled")

    await shared.role(second, "active")
    assert shared.deletes(job) <= 1  # the successor reads the job before it would send another
    assert (await shared.events(job)).count("atlas:cancel_sent") == 1


async def test_standby_takes_over_within_five_seconds_of_sigterm(shared: Serving) -> None:
    first = await shared.start()
    second = shared.begin()
    await shared.role(second, "standby")
    assert await first.stop(6) == 0

    await shared.role(second, "active")

    job = shared.download()
    await shared.asks("rina", job)
    await shared.message(job, "cancelled")


async def test_stopped_process_that_goes_on_sends_nothing(shared: Serving) -> None:
    first = await shared.start()
    second = shared.begin()
    await shared.role(second, "standby")
    job, other = shared.download(), shared.download("prod-us")
    await shared.message(other)
    dialog = await shared.opens("rina", await shared.message(job))
    await asyncio.sleep(1.5)  # SQLite stays locked where a process is stopped inside a write
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


async def test_process_killed_after_the_submit_finishes_at_its_next_start(bot: Serving) -> None:
    process = await bot.start()
    job = bot.download()
    dialog = await bot.opens("rina", await bot.message(job))
    bot.atlas.faults.add(Fault(kind=Kind.HANG, method="GET", path=job.id))
    assert (await bot.submits("rina", dialog, reason="by mistake")).ok
    process.kill()
    assert not job.cancelled

    await bot.start()
    await bot.message(job, "cancelled")

    assert bot.deletes(job) == 1


async def test_sigterm_with_a_delete_out_records_its_answer(bot: Serving) -> None:
    process = await bot.start()
    job = bot.download()
    await bot.message(job)
    bot.atlas.faults.add(Fault(kind=Kind.DELAY, method="DELETE", seconds=1.5))
    await bot.asks("rina", job)
    await bot.until(lambda: "cancel_sent" in process.log)
    assert await process.stop(6) == 0

    names = await bot.events(job)

    assert "atlas:cancel_answered" in names
    await bot.start()
    await bot.message(job, "cancelled")
    assert bot.deletes(job) == 1


async def test_sigterm_with_everything_hanging_ends_within_five_seconds(bot: Serving) -> None:
    process = await bot.start()
    job = bot.download()
    await bot.message(job)
    bot.atlas.faults.add(Fault(kind=Kind.HANG, times=None, on="any"))
    await bot.slack.people.clicks("rina", await bot.message(job), "cancel_restore_open")

    assert await process.stop(6) == 0


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
    assert await process.stop(6) == 0

    await bot.start(BOT_READ_ONLY="true")
    await bot.message(job, "withdrawn")
    await bot.until(lambda: buttons(bot.find(other) or {"blocks": []}) == [])

    assert bot.deletes(job) == 0


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
