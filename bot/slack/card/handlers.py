"""Handles the buttons of a card: Approve, Deny, Withdraw and Try again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import ids
from bot.slack.card.decisions import read_click
from bot.slack.home.handlers import republish

if TYPE_CHECKING:
    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.slack.bolt_app import Dependencies
    from bot.slack.card.decisions import Decision


def register(app: AsyncApp, deps: Dependencies) -> None:
    _register_decision(app, deps, ids.APPROVE, deps.card_actions.approve)
    _register_decision(app, deps, ids.WITHDRAW, deps.card_actions.withdraw)
    _register_decision(app, deps, ids.RETRY, deps.card_actions.retry)

    async def deny(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        deps.card_actions.ask_reason(read_click(body, deps.identity))

    app.action(ids.DENY)(deny)


def _register_decision(
    app: AsyncApp, deps: Dependencies, action_id: str, decision: Decision
) -> None:
    async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
        # The ack waits for the commit, so that an acknowledged decision is durable.
        await deps.card_actions.decide(read_click(body, deps.identity), decision)
        await ack()
        if (body.get("view") or {}).get("type") == "home":
            republish(deps, body)

    app.action(action_id)(clicked)
