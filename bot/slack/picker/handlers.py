"""Answers the pickers: what they offer, and what is picked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

from bot.slack import ids
from bot.slack.actor import actor_of
from bot.slack.picker.state import NOTHING, read_choice, with_pick
from bot.slack.private_reply import reply_target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.handlers import Handlers
    from bot.slack.picker.state import Choice

log = structlog.get_logger(__name__)

UNKNOWN = "This dialog is of another version of the bot. Please type `/cancel-restore`."

#: The pickers, each after the one that it depends on.
PICKERS = (ids.PROJECT, ids.CLUSTER, ids.JOB)


def register(app: AsyncApp, floor: Handlers) -> None:
    async def clusters(ack: AsyncAck, body: dict[str, Any]) -> None:
        who, typed = actor_of(body, floor.identity), str(body.get("value") or "")
        await ack(options=await floor.offers.clusters(view_in(body), typed, who))

    async def jobs(ack: AsyncAck, body: dict[str, Any]) -> None:
        who, typed = actor_of(body, floor.identity), str(body.get("value") or "")
        await ack(options=await floor.offers.jobs(view_in(body), typed, who))

    async def picked(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        action = body["actions"][0]
        option = action.get("selected_option") or {}
        value = str(option.get("value") or NOTHING)
        label = str((option.get("text") or {}).get("text") or "")
        choice = read_choice(view_in(body))
        if choice is None:
            spot = reply_target_of(body)
            floor.background.start(floor.telling.tell(spot, UNKNOWN), "private answer")
            return
        block = str(action["block_id"])
        pick(floor, with_pick(choice, block, value, label), holding(block, value), body)

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


def pick(floor: Handlers, choice: Choice, upto: str, body: Mapping[str, Any]) -> None:
    """Show what follows a pick, after the ack."""
    spot, who = reply_target_of(body), actor_of(body, floor.identity)
    log.info("picked", what=upto, cluster=choice.cluster, job=choice.job_id)
    showing = floor.pickers.pick(choice, upto, who, str(body["view"]["id"]), spot)
    floor.background.start(showing, "pick", floor.telling.apologise(spot))
