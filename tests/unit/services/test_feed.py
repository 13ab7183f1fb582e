"""The activity feed: whom a read names as starters, and what it stores."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.atlas.errors import Unavailable
from tests.support.core import CoreEnvironment
from tests.support.domain import AUTO_CANCEL, REF, START, job_ref, person
from tests.support.fake_atlas import EVENTS, restore_event


@pytest.fixture
def env(env: CoreEnvironment) -> CoreEnvironment:
    env.atlas.events = [restore_event("dana@shop.example")]
    return env


async def test_read_stores_the_starters_of_a_download(env: CoreEnvironment) -> None:
    await env.list_new()

    await env.feed().read()

    starters = (await env.download()).starters
    assert (starters.names, starters.read_at) == (("dana@shop.example",), env.clock.now)


@pytest.mark.parametrize("seconds", [121, 7200])
async def test_let_it_run_counts_once_the_feed_is_back_however_long_it_was_away(
    seconds: int, env: CoreEnvironment
) -> None:
    env.policy = replace(AUTO_CANCEL, auto_cancel_after=timedelta(hours=3))
    await env.list_new()
    feed = env.feed()
    env.atlas.faults[EVENTS] = Unavailable(status=503)
    env.clock.advance(seconds)
    await feed.read()
    env.atlas.faults.clear()
    await feed.read()
    ada, is_readable = person("U0ADA", email="ada@shop.example"), feed.is_readable

    decision = await env.requests.let_run(
        REF, None, ada, env.policy, reason="a test", feed_is_readable=is_readable
    )

    assert (is_readable, decision.ends_auto_cancel) == (True, True)
    assert (await env.download()).starters.names == ("dana@shop.example",)


async def test_feed_that_cannot_be_read_changes_no_stored_starters(env: CoreEnvironment) -> None:
    await env.list_new()
    await env.feed().read()
    before = (await env.download()).starters
    env.atlas.faults[EVENTS] = Unavailable(status=503)

    assert await env.feed().read() == []
    assert (await env.download()).starters == before


async def test_event_of_another_download_names_nobody_for_this_one(env: CoreEnvironment) -> None:
    """Eve's event is near enough to both, but the second download has no other one."""
    second = job_ref(START + timedelta(seconds=8), number=2)
    env.atlas.events = [
        restore_event("dana@shop.example", START + timedelta(seconds=1)),
        restore_event("eve@shop.example", START + timedelta(seconds=5)),
    ]
    env.atlas.jobs_now = {REF: {}, second: {}}
    env.clock.advance(10)
    await env.downloads.start_watch(REF.project_id, START - timedelta(minutes=1))
    await env.see(REF, second)
    feed = env.feed()

    near = await feed.starters_near(REF.job_id, START, [second.job_id])
    await feed.read()

    stored = (await env.download(), await env.download(second))
    assert near.names == stored[0].starters.names == ("dana@shop.example",)
    assert stored[1].starters.names == ("eve@shop.example",)


async def test_answer_that_another_reader_got_counts_from_that_read(env: CoreEnvironment) -> None:
    await env.list_new()
    env.clock.advance(30)
    env.atlas.age = timedelta(seconds=7)

    await env.feed().read()

    assert (await env.download()).starters.read_at == START + timedelta(seconds=23)
