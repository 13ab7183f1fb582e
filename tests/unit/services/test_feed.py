"""The activity feed: what a read about one download returns and stores."""

import pytest

from bot.atlas import Unavailable
from tests.support.core import CoreEnvironment
from tests.support.fake_atlas import EVENTS, restore_event


@pytest.fixture
def env(env: CoreEnvironment) -> CoreEnvironment:
    env.atlas.events = [restore_event("dana@shop.example")]
    return env


async def test_read_about_one_download_returns_and_stores_its_starters(
    env: CoreEnvironment,
) -> None:
    download = await env.list_new()

    starters = await env.feed().read_starters(download)

    assert starters is not None
    assert (starters.names, starters.read_at) == (("dana@shop.example",), env.clock.now)
    assert (await env.download()).starters == starters


async def test_feed_that_cannot_be_read_now_gives_none_also_where_it_was_read_before(
    env: CoreEnvironment,
) -> None:
    await env.feed().read_starters(await env.list_new())
    env.atlas.faults[EVENTS] = Unavailable(status=503)

    assert await env.feed().read_starters(await env.download()) is None
