"""Handles the buttons of a card: Approve, Deny, Withdraw and Try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import ids
from bot.slack.card.decisions import CardActions, read_click
from bot.slack.home.handlers import republish

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.card.decisions import Decision
    from bot.slack.dependencies import Dependencies


def register(app: AsyncApp, deps: Dependencies) -> None:
    actions = CardActions(deps)
    for action_id, decision in {
        ids.APPROVE: actions.approve,
        ids.WITHDRAW: actions.withdraw,
        ids.RETRY: actions.retry,
    }.items():
        _register_decision(app, deps, action_id, decision)

    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        actions.ask_reason(read_click(body, deps.identity))

    app.action(ids.DENY)(deny)


def _register_decision(
    app: AsyncApp, deps: Dependencies, action_id: str, decision: Decision
) -> None:
    async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
        # The ack waits for the commit, so that an acknowledged decision is durable.
        await CardActions(deps).decide(read_click(body, deps.identity), decision)
        await ack()
        if (body.get("view") or {}).get("type") == "home":
            republish(deps, body)

    app.action(action_id)(clicked)
