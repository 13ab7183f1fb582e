"""Answers the pickers: what they offer, and what is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from bot.slack import ids
from bot.slack.payloads import actor_of
from bot.slack.picker.state import NOTHING, read_choice, with_pick
from bot.slack.private_reply import reply_target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.bolt_app import Dependencies
    from bot.slack.picker.state import Choice

log = structlog.get_logger(__name__)

UNKNOWN = "This dialog is of another version of the bot. Please type `/cancel-restore`."

#: The pickers, each after the one that it depends on.
PICKERS = (ids.PROJECT, ids.CLUSTER, ids.JOB)


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def clusters(ack: AsyncAck, body: dict[str, Any]) -> None:
        actor, typed = actor_of(body, deps.identity), str(body.get("value") or "")
        await ack(options=await deps.offers.clusters(view_in(body), typed, actor))

    async def jobs(ack: AsyncAck, body: dict[str, Any]) -> None:
        actor, typed = actor_of(body, deps.identity), str(body.get("value") or "")
        await ack(options=await deps.offers.jobs(view_in(body), typed, actor))

    async def picked(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        action = body["actions"][0]
        option = action.get("selected_option") or {}
        value = str(option.get("value") or NOTHING)
        label = str((option.get("text") or {}).get("text") or "")
        choice = read_choice(view_in(body))
        if choice is None:
            reply_to = reply_target_of(body)
            deps.background.start(deps.replies.send_text(reply_to, UNKNOWN), "private answer")
            return
        block = str(action["block_id"])
        pick(deps, with_pick(choice, block, value, label), holding(block, value), body)

    app.options(ids.CLUSTER)(clusters)
    app.options(ids.JOB)(jobs)
    for block_id in PICKERS:
        app.action({"block_id": block_id, "action_id": block_id})(picked)


def view_in(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a payload's view; an empty one where it is of a message."""
    view: Mapping[str, Any] = body.get("view") or {}
    return view


def holding(block_id: str, value: str) -> str:
    """Return the last picker whose pick still holds after a pick in `block_id` (pure)."""
    place = PICKERS.index(block_id)
    return PICKERS[max(0, place - 1) if value == NOTHING else place]


def pick(deps: Dependencies, choice: Choice, upto: str, body: Mapping[str, Any]) -> None:
    """Show what follows a pick, after the ack."""
    reply_to, actor = reply_target_of(body), actor_of(body, deps.identity)
    log.info("picked", what=upto, cluster=choice.cluster, job=choice.job_id)
    showing = deps.pickers.pick(choice, upto, actor, str(body["view"]["id"]), reply_to)
    deps.background.start(showing, "pick", deps.replies.error_callback(reply_to))
