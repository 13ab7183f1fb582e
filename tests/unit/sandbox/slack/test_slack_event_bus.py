"""A wait evaluates its condition after each change, and times out."""

import asyncio

import pytest

from bot.sandbox.slack.event_bus import ChangeEvent, EventBus


async def test_met_condition_returns_its_value() -> None:
    events, seen = EventBus(lambda: 0.0), list[str]()
    waiting = asyncio.create_task(events.until(lambda: seen, seconds=2))
    await asyncio.sleep(0)
    seen.append("message")
    events.publish("message")

    assert await waiting == ["message"]


async def test_unmet_condition_raises_a_timeout() -> None:
    with pytest.raises(TimeoutError, match=r"Not true within 0\.01 s\."):
        await EventBus(lambda: 0.0).until(lambda: False, seconds=0.01)


def test_listener_gets_all_events_until_it_unsubscribes() -> None:
    events, received = EventBus(lambda: 7.0), list[ChangeEvent]()
    unsubscribe = events.subscribe(received.append)
    events.publish("view", user="U1")
    unsubscribe()
    events.publish("view", user="U2")

    assert received == [ChangeEvent(kind="view", data={"user": "U1"}, at=7.0)]
