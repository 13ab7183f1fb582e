"""Answers clicks on buttons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.slack import names
from bot.slack.choice import read_choice
from bot.slack.clicks import read_click
from bot.slack.command import OpenJob, parse
from bot.slack.leads import Lead, follow, lead_of
from bot.slack.listeners.options import pick, view_in
from bot.slack.metadata import UnreadableDialog, read_asked
from bot.slack.telling import spot_of
from bot.slack.who import channel_of, who_is

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.clicks import Decision
    from bot.slack.floor import Floor

UNKNOWN = "This button is of another version of the bot. Please type `/cancel-restore`."

#: Where a page of a list begins.
PAGE = r"\d{1,6}"

#: Our buttons that only open a page: Slack tells of the click, and nothing is to be done.
ONLY_LINKS = frozenset({names.ATLAS_LINK, names.CARD_LINK})


def register(app: AsyncApp, floor: Floor) -> None:
    _decides(app, floor, names.APPROVE, floor.clicks.approve)
    _decides(app, floor, names.WITHDRAW, floor.clicks.withdraw)
    _decides(app, floor, names.RETRY, floor.clicks.retry)

    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        floor.clicks.ask_reason(read_click(body, floor.identity))

    async def open_job(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        follow(floor, job_of_button(body, floor), body, "button clicked")

    async def more(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _show_more(floor, body)

    async def refresh(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _draw_home(floor, body)

    async def try_again(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _look_again(floor, body)

    async def unknown(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        if body["actions"][0].get("action_id") not in ONLY_LINKS:
            _tell(floor, body, UNKNOWN)

    app.action(names.DENY)(deny)
    app.action(names.OPEN)(open_job)
    app.action(names.MORE)(more)
    app.action(names.REFRESH)(refresh)
    app.action(names.TRY_AGAIN)(try_again)
    app.action(re.compile(".*"))(unknown)


def _decides(app: AsyncApp, floor: Floor, action_id: str, decision: Decision) -> None:
    async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
        # What is acknowledged is written down: the ack waits for the ledger, and for no more.
        await floor.clicks.decide(read_click(body, floor.identity), decision)
        await ack()
        if (body.get("view") or {}).get("type") == "home":
            _draw_home(floor, body)

    app.action(action_id)(clicked)


def job_of_button(body: Mapping[str, Any], floor: Floor) -> Lead:
    """Read which job an "open" button is about: its value is what a person would type."""
    command = parse(str(body["actions"][0].get("value") or ""))
    if not isinstance(command, OpenJob):
        return UNKNOWN
    channel = channel_of(body) or spot_of(body).user
    return lead_of(command, channel, floor.desk.projects)


def _show_more(floor: Floor, body: Mapping[str, Any]) -> None:
    """Show the next page of a list: the button's value is where it begins, and its cluster."""
    start, _, cluster = str(body["actions"][0].get("value") or "").partition(" ")
    if not re.fullmatch(PAGE, start, re.ASCII):
        _tell(floor, body, UNKNOWN)
        return
    spot, who = spot_of(body), who_is(body, floor.identity)
    showing = floor.listings.show_list(cluster or None, who, spot, int(start))
    floor.background.start(showing, "list", floor.telling.apologise(spot))


def _draw_home(floor: Floor, body: Mapping[str, Any]) -> None:
    who = who_is(body, floor.identity)
    floor.background.start(floor.home.publish(who, drawn=True), "home")


def _look_again(floor: Floor, body: Mapping[str, Any]) -> None:
    spot = spot_of(body)
    view = view_in(body)
    if choice := read_choice(view):
        pick(floor, choice, names.JOB, body)
        return
    try:
        asked = read_asked(str(view.get("private_metadata") or ""))
    except UnreadableDialog as error:
        _tell(floor, body, str(error))
        return
    who = who_is(body, floor.identity)
    looking = floor.dialogs.look_again(asked, who, str(view["id"]), spot)
    floor.background.start(looking, "look again", floor.telling.apologise(spot))


def _tell(floor: Floor, body: Mapping[str, Any], said: str) -> None:
    floor.background.start(floor.telling.tell(spot_of(body), said), "private answer")
