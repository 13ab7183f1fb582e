"""Answers clicks on buttons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.slack import ids
from bot.slack.actor import actor_of, channel_of
from bot.slack.card.decisions import read_click
from bot.slack.command.grammar import OpenJob, parse
from bot.slack.dialog.metadata import UnreadableDialog, read_asked
from bot.slack.picker.handlers import pick, view_in
from bot.slack.picker.state import read_choice
from bot.slack.private_reply import reply_target_of
from bot.slack.routing import Route, dispatch, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.card.decisions import Decision
    from bot.slack.handlers import Handlers

UNKNOWN = "This button is of another version of the bot. Please type `/cancel-restore`."

#: Where a page of a list begins.
PAGE = r"\d{1,6}"

#: Our buttons that only open a page: Slack tells of the click, and nothing is to be done.
ONLY_LINKS = frozenset({ids.ATLAS_LINK, ids.CARD_LINK})


def register(app: AsyncApp, floor: Handlers) -> None:
    _decides(app, floor, ids.APPROVE, floor.clicks.approve)
    _decides(app, floor, ids.WITHDRAW, floor.clicks.withdraw)
    _decides(app, floor, ids.RETRY, floor.clicks.retry)

    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        floor.clicks.ask_reason(read_click(body, floor.identity))

    async def open_job(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        dispatch(floor, job_of_button(body, floor), body, "button clicked")

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

    app.action(ids.DENY)(deny)
    app.action(ids.OPEN)(open_job)
    app.action(ids.MORE)(more)
    app.action(ids.REFRESH)(refresh)
    app.action(ids.TRY_AGAIN)(try_again)
    app.action(re.compile(".*"))(unknown)


def _decides(app: AsyncApp, floor: Handlers, action_id: str, decision: Decision) -> None:
    async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
        # What is acknowledged is written down: the ack waits for the ledger, and for no more.
        await floor.clicks.decide(read_click(body, floor.identity), decision)
        await ack()
        if (body.get("view") or {}).get("type") == "home":
            _draw_home(floor, body)

    app.action(action_id)(clicked)


def job_of_button(body: Mapping[str, Any], floor: Handlers) -> Route:
    """Read which job an "open" button is about: its value is what a person would type."""
    command = parse(str(body["actions"][0].get("value") or ""))
    if not isinstance(command, OpenJob):
        return UNKNOWN
    channel = channel_of(body) or reply_target_of(body).user
    return route(command, channel, floor.desk.projects)


def _show_more(floor: Handlers, body: Mapping[str, Any]) -> None:
    """Show the next page of a list: the button's value is where it begins, and its cluster."""
    start, _, cluster = str(body["actions"][0].get("value") or "").partition(" ")
    if not re.fullmatch(PAGE, start, re.ASCII):
        _tell(floor, body, UNKNOWN)
        return
    spot, who = reply_target_of(body), actor_of(body, floor.identity)
    showing = floor.listings.show_list(cluster or None, who, spot, int(start))
    floor.background.start(showing, "list", floor.telling.apologise(spot))


def _draw_home(floor: Handlers, body: Mapping[str, Any]) -> None:
    who = actor_of(body, floor.identity)
    floor.background.start(floor.home.publish(who, drawn=True), "home")


def _look_again(floor: Handlers, body: Mapping[str, Any]) -> None:
    spot = reply_target_of(body)
    view = view_in(body)
    if choice := read_choice(view):
        pick(floor, choice, ids.JOB, body)
        return
    try:
        asked = read_asked(str(view.get("private_metadata") or ""))
    except UnreadableDialog as error:
        _tell(floor, body, str(error))
        return
    who = actor_of(body, floor.identity)
    looking = floor.dialogs.look_again(asked, who, str(view["id"]), spot)
    floor.background.start(looking, "look again", floor.telling.apologise(spot))


def _tell(floor: Handlers, body: Mapping[str, Any], said: str) -> None:
    floor.background.start(floor.telling.tell(reply_target_of(body), said), "private answer")
