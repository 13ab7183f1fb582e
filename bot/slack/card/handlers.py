"""Carries out decisions about a request, and handles the buttons of its card."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.cancellation import errors
from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import Request, State
from bot.slack import ids
from bot.slack.card import views as card_views
from bot.slack.decisions import Decision, Decisions
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.flow import Dialog
from bot.slack.errors import CALL_ERRORS, sentence_for, translate_error
from bot.tasks import run_until_deadline

log = structlog.get_logger(__name__)

OnHomeClick = Callable[[Dependencies, dict[str, Any]], None]


def register(app: AsyncApp, deps: Dependencies, on_home_click: OnHomeClick) -> None:
    """`on_home_click` is called after a decision in the Home tab, to publish it again."""

    async def decide(decision: Decision, ack: AsyncAck, body: dict[str, Any]) -> None:
        # The ack waits for the commit, so that an acknowledged decision is durable.
        await Click(deps, body).decide(decision)
        await ack()
        if (body.get("view") or {}).get("type") == "home":
            on_home_click(deps, body)

    async def ask(state: State, dialog: str, ack: AsyncAck, body: dict[str, Any]) -> None:
        """Open the dialog for a reason while the request is in `state`."""
        await ack()
        click = Click(deps, body)
        click.start(click.ask_reason(state, dialog))

    decisions = Decisions(deps)
    app.action(ids.APPROVE)(partial(decide, decisions.approve))
    app.action(ids.WITHDRAW)(partial(decide, decisions.withdraw))
    app.action(ids.RETRY)(partial(decide, decisions.retry))
    app.action(ids.REVIEW)(partial(decide, decisions.review))
    app.action(ids.DENY)(partial(ask, State.AWAITING, ids.DENY_DIALOG))
    app.action(ids.KEEP)(partial(ask, State.QUARANTINED, ids.KEEP_DIALOG))


class Click:
    """A click on a card's button; it ends in an updated card or in a private reply."""

    def __init__(self, deps: Dependencies, body: dict[str, Any]) -> None:
        container = body.get("container") or {}
        self._deps = deps
        self._by = deps.interaction(body)
        self._request_id = str(body["actions"][0].get("value") or "")
        #: None in the Home tab and in private messages.
        self._message = None if container.get("is_ephemeral") else container.get("message_ts")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._deps.start(work, "click", self._by)

    async def decide(self, decision: Decision) -> None:
        """Carry out a decision before the ack, and report its result afterwards."""
        try:
            request = await self._deps.before_ack(decision(self._request_id, self._by.actor))
        except CancellationError as error:
            self.start(self._report_refusal(error))
        else:
            self.start(self._update_clicked(request))

    async def ask_reason(self, state: State, dialog: str) -> None:
        """Open the dialog for the reason, unless the refusal of the decision is known in time."""
        deps = self._deps
        check = Decisions(deps).check(self._request_id, self._by.actor, state)
        try:
            await run_until_deadline(check, deps.background, deps.reason_check_timeout)
        except (errors.AlreadyHandled, errors.NotAllowed, errors.RightsNotChecked) as refusal:
            await self._report_refusal(refusal)
            return
        except CancellationError as error:
            log.info("decision not checked before its dialog", error=str(error))
        view = dialog_views.ask_reason(dialog, self._request_id)
        await Dialog(deps, self._by).open(view)

    async def _report_refusal(self, error: Exception) -> None:
        log.info("click refused", actor=self._by.actor.id, why=type(error).__name__)
        await self._deps.replies.send_text(self._by, sentence_for(error, self._deps.links))
        if isinstance(error, errors.StateConflict):
            await self._update_clicked(error.request)

    async def _update_clicked(self, request: Request) -> None:
        """Update a card that was posted twice; the outbox updates the card and its copies."""
        card, channel = request.card, self._by.channel_id
        if not (self._message and card) or self._message == card.ts or channel != card.channel:
            return
        message = card_views.second_copy(request, self._deps.links)
        try:
            await self._deps.client.chat_update(channel=card.channel, ts=self._message, **message)
        except CALL_ERRORS as error:
            log.info("clicked message not updated", error=translate_error(error).sentence)
