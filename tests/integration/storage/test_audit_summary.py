"""`cancel-restore audit summary` as people run it, over a week of watched downloads."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.cancellation.lifecycle import State
from bot.cancellation.policy import Mode
from bot.storage.database import Database
from tests.integration.storage.quarantine_environment import (
    ENFORCED,
    GRACE,
    QuarantineEnv,
    pass_seconds,
)
from tests.support.clock import NOON
from tests.support.domain import ADA, allow
from tests.support.process import CommandResult, invoke
from tests.support.timings import DATABASE_TIMEOUT

WEEK = timedelta(days=7)
ON_SQLITE = pytest.mark.databases("sqlite")


@pytest.fixture
async def url(database_url: str) -> str:
    """A database with a download kept a week ago, and one of today that would be cancelled."""
    database = Database(database_url, timeout=DATABASE_TIMEOUT)
    quarantine = QuarantineEnv(database, replace(ENFORCED, quarantine=Mode.OBSERVE))
    quarantine.clock.now = NOON - WEEK
    await quarantine.start()
    quarantine.clock.advance(1)
    kept = quarantine.begin(1)
    for event, name in enumerate(("eve@shop.example", "abe@shop.example")):  # it is one of them
        quarantine.show_starter(f"{kept[:-1]}{event}", name)
    await quarantine.read_jobs()
    await quarantine.second()
    request = await quarantine.request(kept)
    await quarantine.requests.decide(request.id, State.KEPT, ADA, allow, reason="audit")
    quarantine.clock.jump(WEEK.total_seconds())
    quarantine.show_starter(quarantine.begin(2), "dana@shop.example")
    await quarantine.read_jobs()
    await quarantine.find_starters()
    await pass_seconds(quarantine, GRACE + 5)
    await database.close()
    return database_url


async def summary(url: str, *arguments: str) -> CommandResult:
    return await invoke("audit", "summary", *arguments, DATABASE_URL=url, COLUMNS="200")


async def test_summary_counts_the_downloads_of_a_project_all_or_since_a_day(url: str) -> None:
    ran = await summary(url, "--format", "json")

    assert (ran.code, ran.err) == (0, "")
    figures = json.loads(ran.out)
    assert figures["project"] == "shop-prod"
    assert figures["downloads"] == 2
    assert figures["by"] == {"dana@shop.example": 1, "not known": 1}
    assert (figures["kept"], figures["would_have_been_cancelled"]) == (1, 1)
    assert figures["seconds_to_announcement_worst"] is not None

    ran = await summary(url, "--since", f"{NOON - timedelta(days=1):%Y-%m-%d}", "--format", "json")

    assert (ran.code, ran.err) == (0, "")
    figures = json.loads(ran.out)
    assert (figures["downloads"], figures["by"]) == (1, {"dana@shop.example": 1})
    assert (figures["kept"], figures["would_have_been_cancelled"]) == (0, 1)


@ON_SQLITE
async def test_summary_is_a_table_with_a_row_for_each_project(url: str) -> None:
    ran = await summary(url, "--format", "table")

    assert ran.code == 0
    assert "Would have been cancelled" in ran.out
    assert "not known 1, dana@shop.example 1" in ran.out


@ON_SQLITE
async def test_summary_without_downloads_in_that_time_says_so(url: str) -> None:
    shown = await summary(url, "--since", "2100-01-01", "--format", "table")
    piped = await summary(url, "--since", "2100-01-01")
    others = await summary(url)

    sentence = "The watch saw no downloads in that time.\n"
    assert (shown.code, shown.out, shown.err) == (0, sentence, "")
    assert (piped.code, piped.err) == (0, sentence)
    figures = json.loads(piped.out)
    assert list(figures) == list(json.loads(others.out))
    assert (figures["project"], figures["by"]) == (None, {})
    assert figures["downloads"] == figures["kept"] == figures["cancelled_before_link"] == 0
    assert figures["seconds_to_announcement_worst"] is None


@ON_SQLITE
async def test_summary_since_an_invalid_time_is_wrong_usage(url: str) -> None:
    ran = await summary(url, "--since", "last week")

    assert (ran.code, ran.out) == (2, "")
    assert "'last week' is not a time" in ran.err
