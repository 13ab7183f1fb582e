"""Reads of the activity feed: the queries, and the parsed answers."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import httpx

from bot.atlas.activity import RESTORE_REQUESTED, parse_event
from bot.atlas.reader import MAX_EVENT_PAGES
from tests.unit.atlas.strict_server import PROJECT, ScriptedTransport, client

SINCE = datetime(2026, 11, 26, 10, 0, tzinfo=UTC)


def an_event(number: int = 0, **changes: object) -> dict[str, object]:
    return {
        "id": f"{number:024x}",
        "created": "2026-11-26T10:00:05Z",
        "eventTypeName": RESTORE_REQUESTED,
        "username": "dana@shop.example",
        "links": [],
    } | changes


def page(*events: object) -> httpx.Response:
    return httpx.Response(200, json={"links": [], "results": list(events)})


def full_page(number: int) -> httpx.Response:
    return page(*map(an_event, range(number * 500, number * 500 + 500)))


async def test_events_are_filtered_by_their_type_and_a_time() -> None:
    script = ScriptedTransport(page(an_event(username="ada@x.example")))
    async with client(script) as atlas:
        (event,) = await atlas.events(PROJECT, SINCE)
    sent = script.requests[-1].url
    assert sent.path == f"/api/atlas/v2/groups/{PROJECT}/events"
    assert sent.params.get_list("eventType") == [RESTORE_REQUESTED]
    assert sent.params["minDate"] == "2026-11-26T10:00:00Z"
    assert sent.params["includeCount"] == "false"
    assert script.requests[-1].headers["accept"] == "application/vnd.atlas.2023-01-01+json"
    assert (event.username, event.created) == ("ada@x.example", SINCE + timedelta(seconds=5))


async def test_full_page_without_a_link_is_followed_by_the_next() -> None:
    script = ScriptedTransport(full_page(0), page(an_event(499), an_event(500)))
    async with client(script) as atlas:
        events = await atlas.events(PROJECT, SINCE)
    assert len(events) == 501
    assert script.requests[-1].url.params["pageNum"] == "2"


async def test_page_that_repeats_the_last_one_ends_the_feed() -> None:
    script = ScriptedTransport(full_page(0))
    async with client(script) as atlas:
        events = await atlas.events(PROJECT, SINCE)
    assert (len(events), len(script.requests)) == (500, 2)


async def test_feed_without_an_end_is_read_up_to_a_limit() -> None:
    script = ScriptedTransport(*map(full_page, range(MAX_EVENT_PAGES + 1)))
    async with client(script) as atlas:
        await atlas.events(PROJECT, SINCE)
    assert len(script.requests) == MAX_EVENT_PAGES


async def test_event_of_another_type_is_left_out_and_an_unreadable_one_is_counted() -> None:
    odd: tuple[object, ...] = (
        "text",
        {},
        an_event(1, created="yesterday"),
        an_event(2, eventTypeName="OTHER"),
    )
    script = ScriptedTransport(page(*odd, an_event(3, username=["a"], delegatePrincipal="x")))
    async with client(script) as atlas:
        events = await atlas.events(PROJECT, SINCE)
    assert [(e.username, e.delegate_principal) for e in events] == [("", None)]
    assert events.unread == ("", "", "")


def test_thousands_of_events_take_little_memory() -> None:
    payloads = [an_event(number, username=f"{number}@shop.example") for number in range(500)]
    tracemalloc.start()
    events = [parse_event(payload) for payload in payloads]
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert None not in events
    assert taken < 600 * len(events)
