"""Answers clicks on buttons."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from bot.slack import ids
from bot.slack.card.decisions import read_click
from bot.slack.command.grammar import OpenJob, parse
from bot.slack.dialog.metadata import UnreadableDialog, read_asked
from bot.slack.payloads import actor_of, channel_of
from bot.slack.picker.handlers import pick, view_in
from bot.slack.picker.state import read_choice
from bot.slack.private_reply import reply_target_of
from bot.slack.routing import Route, dispatch, route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.bolt_app import Dependencies
    from bot.slack.card.decisions import Decision

UNKNOWN = "This button is of another version of the bot. Please type `/cancel-restore`."

#: Where a page of a list begins.
PAGE = r"\d{1,6}"

#: Our buttons that only open a page: Slack tells of the click, and nothing is to be done.
ONLY_LINKS = frozenset({ids.ATLAS_LINK, ids.CARD_LINK})


def register(app: AsyncApp, deps: Dependencies) -> None:
    _decides(app, deps, ids.APPROVE, deps.card_actions.approve)
    _decides(app, deps, ids.WITHDRAW, deps.card_actions.withdraw)
    _decides(app, deps, ids.RETRY, deps.card_actions.retry)

    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        deps.card_actions.ask_reason(read_click(body, deps.identity))

    async def open_job(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        dispatch(deps, job_of_button(body, deps), body, "button clicked")

    async def more(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _show_more(deps, body)

    async def refresh(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _draw_home(deps, body)

    async def try_again(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _look_again(deps, body)

    async def unknown(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        if body["actions"][0].get("action_id") not in ONLY_LINKS:
            _tell(deps, body, UNKNOWN)

    app.action(ids.DENY)(deny)
    app.action(ids.OPEN)(open_job)
    app.action(ids.MORE)(more)
    app.action(ids.REFRESH)(refresh)
    app.action(ids.TRY_AGAIN)(try_again)
    app.action(re.compile(".*"))(unknown)


def _decides(app: AsyncApp, deps: Dependencies, action_id: str, decision: Decision) -> None:
    async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
        # What is acknowledged is written down: the ack waits for the ledger, and for no more.
        await deps.card_actions.decide(read_click(body, deps.identity), decision)
        await ack()
        if (body.get("view") or {}).get("type") == "home":
            _draw_home(deps, body)

    app.action(action_id)(clicked)


def job_of_button(body: Mapping[str, Any], deps: Dependencies) -> Route:
    """Read which job an "open" button is about: its value is what a person would type."""
    command = parse(str(body["actions"][0].get("value") or ""))
    if not isinstance(command, OpenJob):
        return UNKNOWN
    channel = channel_of(body) or reply_target_of(body).user
    return route(command, channel, deps.service.projects)


def _show_more(deps: Dependencies, body: Mapping[str, Any]) -> None:
    """Show the next page of a list: the button's value is where it begins, and its cluster."""
    start, _, cluster = str(body["actions"][0].get("value") or "").partition(" ")
    if not re.fullmatch(PAGE, start, re.ASCII):
        _tell(deps, body, UNKNOWN)
        return
    reply_to, actor = reply_target_of(body), actor_of(body, deps.identity)
    showing = deps.listings.show_list(cluster or None, actor, reply_to, int(start))
    deps.background.start(showing, "list", deps.replies.error_callback(reply_to))


def _draw_home(deps: Dependencies, body: Mapping[str, Any]) -> None:
    actor = actor_of(body, deps.identity)
    deps.background.start(deps.home.publish(actor, drawn=True), "home")


def _look_again(deps: Dependencies, body: Mapping[str, Any]) -> None:
    reply_to = reply_target_of(body)
    view = view_in(body)
    if choice := read_choice(view):
        pick(deps, choice, ids.JOB, body)
        return
    try:
        asked = read_asked(str(view.get("private_metadata") or ""))
    except UnreadableDialog as error:
        _tell(deps, body, str(error))
        return
    actor = actor_of(body, deps.identity)
    looking = deps.dialogs.look_again(asked, actor, str(view["id"]), reply_to)
    deps.background.start(looking, "look again", deps.replies.error_callback(reply_to))


def _tell(deps: Dependencies, body: Mapping[str, Any], said: str) -> None:
    deps.background.start(deps.replies.send_text(reply_target_of(body), said), "private answer")
