"""The moments of a request's life at which a bot can die, each as an act that kills it there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack import Fault as SlackFault
from tests.acceptance.durability.house import until

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from bot.sandbox.atlas import Call
    from bot.sandbox.slack.event_bus import ChangeEvent
    from tests.acceptance.durability.house import House

    Json = dict[str, Any]

    #: Lets the bot live until its moment has come, and kills it.
    Moment = Callable[[House, str], Coroutine[Any, Any, None]]

POST, EDIT = "chat.postMessage", "chat.update"


def when_atlas_gets(method: str, kind: Kind) -> Moment:
    """Die while Atlas is at a call that it never answers."""

    async def moment(house: House, job: str) -> None:
        house.atlas.faults.add(Fault(kind=kind, method=method, path=job))
        await until(lambda: not house.atlas.faults.active)
        house.bot.kill()

    return moment


def when_atlas_is_read_again(kind: Kind) -> Moment:
    """Die in the read after the DELETE, with its answer noted."""

    async def moment(house: House, job: str) -> None:
        await _atlas_call(house, job, "DELETE")
        house.atlas.faults.add(Fault(kind=kind, method="GET", path=job))
        await until(lambda: not house.atlas.faults.active)
        house.bot.kill()

    return moment


def when_atlas_answers(method: str, nth: int = 1) -> Moment:
    """Die after a call had its effect, in the moment before its answer is on the wire."""

    async def moment(house: House, job: str) -> None:
        for number in range(1, nth + 1):
            await _atlas_call(house, job, method, house.bot.kill if number == nth else _go_on)

    return moment


async def _atlas_call(
    house: House, job: str, method: str, act: Callable[[], None] = lambda: None
) -> None:
    came = asyncio.Event()

    def heard(call: Call) -> None:
        if call.method == method and job in call.path and not call.challenge and not came.is_set():
            act()
            came.set()

    unsubscribe = house.atlas.recorder.subscribe(heard)
    await asyncio.wait_for(came.wait(), 15)
    unsubscribe()


def after_slack_took(method: str, *, reply: bool = False) -> Moment:
    """Die after Slack has done what was asked, in the moment before it says so."""

    async def moment(house: House, _job: str) -> None:
        await _slack_call(house, method, reply=reply, act=house.bot.kill)

    return moment


def before_slack_takes(method: str, *, reply: bool = False) -> Moment:
    """Die with the connection, before Slack has done anything."""

    async def moment(house: House, _job: str) -> None:
        if reply:  # the card is posted before it, by the same method
            await _slack_call(house, POST, reply=False, act=_go_on)
        house.slack.faults.add(method, SlackFault(kind="reset_before"))
        await _slack_call(house, method, reply=reply, act=house.bot.kill)

    return moment


def once_the_card_stands(then: Moment) -> Moment:
    """Keep Atlas from answering until the card is posted.

    A card that is still unposted when the request ends is posted as it ended, and never edited.
    """

    async def moment(house: House, job: str) -> None:
        busy = Fault(kind=Kind.STATUS, status=503, method="GET", path=job, times=None)
        house.atlas.faults.add(busy)
        await _slack_call(house, POST, reply=False, act=house.atlas.faults.clear)
        await then(house, job)

    return moment


async def _slack_call(house: House, method: str, *, reply: bool, act: Callable[[], None]) -> None:
    came = asyncio.Event()

    def heard(item: ChangeEvent) -> None:
        if not came.is_set() and _is_call(item, method, reply=reply):
            act()
            came.set()

    unsubscribe = house.slack.world.events.subscribe(heard)
    await asyncio.wait_for(came.wait(), 15)
    unsubscribe()


def _is_call(item: ChangeEvent, method: str, *, reply: bool) -> bool:
    data: Mapping[str, Any] = item.data
    if item.kind != "call" or data["method"] != method:
        return False
    return bool(data["args"].get("thread_ts")) is reply


def _go_on() -> None:
    """Let the bot live."""


#: Every step of a request without approvals, in the order of its life.
MOMENTS: Mapping[str, Moment] = {
    "the first read reaches Atlas": when_atlas_gets("GET", Kind.HANG),
    "the first read is answered": when_atlas_answers("GET"),
    "the DELETE reaches Atlas and has no effect yet": when_atlas_gets("DELETE", Kind.HANG),
    "the DELETE has its effect and no answer": when_atlas_gets("DELETE", Kind.HANG_AFTER),
    "the DELETE is answered": when_atlas_answers("DELETE"),
    "the read-back reaches Atlas": when_atlas_is_read_again(Kind.HANG),
    "the read-back is answered": when_atlas_answers("GET", nth=2),
    "the card is lost": before_slack_takes(POST),
    "the card is posted": after_slack_took(POST),
    "the outcome is lost": before_slack_takes(POST, reply=True),
    "the outcome is posted": after_slack_took(POST, reply=True),
    "the card's edit is lost": once_the_card_stands(before_slack_takes(EDIT)),
    "the card is edited": once_the_card_stands(after_slack_took(EDIT)),
}
