"""Waiting for something asks again after each change, and ends in time."""

import asyncio

import pytest

from bot.sandbox.slack.news import Item, News


async def test_waiting_ends_with_the_value_once_it_is_true() -> None:
    news, seen = News(lambda: 0.0), list[str]()
    waiting = asyncio.create_task(news.until(lambda: seen, seconds=2))
    await asyncio.sleep(0)

    seen.append("message")
    news.tell("message")

    assert await waiting == ["message"]


async def test_waiting_in_vain_ends_with_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"Not true within 0\.01 s\."):
        await News(lambda: 0.0).until(lambda: False, seconds=0.01)


def test_a_listener_hears_everything_until_it_leaves() -> None:
    news, heard = News(lambda: 7.0), list[Item]()
    leave = news.subscribe(heard.append)

    news.tell("view", user="U1")
    leave()
    news.tell("view", user="U2")

    assert heard == [Item(kind="view", data={"user": "U1"}, at=7.0)]
