"""Handles the buttons of a card, such as Approve, Deny, Keep it and Reviewed."""

from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.cancellation import policy as rules
from bot.cancellation.errors import (
    AlreadyHandled,
    CancellationError,
    RightsNotChecked,
    StateConflict,
)
from bot.cancellation.lifecycle import Request, State
from bot.slack import ids
from bot.slack.blockkit import View
from bot.slack.card import views as card_views
from bot.slack.card.decisions import Decisions
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.flow import Dialog
from bot.slack.errors import CALL_ERRORS, sentence_for, translate_error
from bot.slack.home import republish
from bot.slack.payloads import Actor
from bot.tasks import run_until_deadline

log = structlog.get_logger(__name__)

Listener = Callable[[AsyncAck, dict[str, Any]], Coroutine[Any, Any, None]]

#: A decision about a request by its id.
Decision = Callable[[str, Actor], Coroutine[Any, Any, Request]]

#: Builds the dialog that asks for the reason of a decision, for a request's id.
ReasonView = Callable[[str], View]

#: Seconds for checking rights before the dialog for the reason opens; its trigger lives 3 seconds.
#: The rights are checked again at the submission.
REASON_CHECK_TIMEOUT = 1.0


def register(app: AsyncApp, deps: Dependencies) -> None:
    def deciding(decision: Decision) -> Listener:
        async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
            # The ack waits for the commit, so that an acknowledged decision is durable.
            await Click(deps, body).decide(decision)
            await ack()
            if (body.get("view") or {}).get("type") == "home":
                republish(deps, body)

        return clicked

    def asking(state: State, view: ReasonView) -> Listener:
        """Open the dialog for a reason while the request is in `state`."""

        async def clicked(ack: AsyncAck, body: dict[str, Any]) -> None:
            await ack()
            click = Click(deps, body)
            click.start(click.ask_reason(state, view))

        return clicked

    decisions = Decisions(deps)
    app.action(ids.APPROVE)(deciding(decisions.approve))
    app.action(ids.WITHDRAW)(deciding(decisions.withdraw))
    app.action(ids.RETRY)(deciding(decisions.retry))
    app.action(ids.REVIEW)(deciding(decisions.review))
    app.action(ids.DENY)(asking(State.AWAITING, dialog_views.deny_reason))
    app.action(ids.KEEP)(asking(State.QUARANTINED, dialog_views.keep_reason))


class Click:
    """A click on a card's button; it ends in an updated card or in a private reply."""

    def __init__(self, deps: Dependencies, body: dict[str, Any]) -> None:
        by, container = deps.interaction(body), body.get("container") or {}
        self._deps = deps
        self._by = by
        self._actor = by.actor
        self._reply_to = by.reply_to
        self._request_id = str(body["actions"][0].get("value") or "")
        #: None in the Home tab and in private messages.
        self._message = None if container.get("is_ephemeral") else container.get("message_ts")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Continue in the background."""
        self._deps.start(work, "click", self._reply_to)

    async def decide(self, decision: Decision) -> None:
        """Carry out a decision before the ack, and report its result afterwards."""
        try:
            request = await self._deps.before_ack(decision(self._request_id, self._actor))
        except CancellationError as error:
            self.start(self._report_refusal(error))
        else:
            self.start(self._update_clicked(request))

    async def ask_reason(self, state: State, view: ReasonView) -> None:
        """Open the dialog for the reason of a decision."""
        if refusal := await self._early_refusal(state):
            await self._report_refusal(refusal)
            return
        await Dialog(self._deps, self._by).open(view(self._request_id))

    async def _early_refusal(self, state: State) -> Exception | None:
        """Return why this person may not decide, if that is known in time."""
        try:
            return await run_until_deadline(
                self._check(state), self._deps.background, REASON_CHECK_TIMEOUT
            )
        except CancellationError as error:
            log.info("decision not checked before its dialog", error=str(error))
            return error if isinstance(error, RightsNotChecked) else None

    async def _check(self, state: State) -> Exception | None:
        request = await self._deps.service.requests.get(self._request_id)
        if request.state is not state:
            return AlreadyHandled(request)
        policy = self._deps.service.projects.get(request.ref.project_id).policy
        person = await self._deps.directory.acting_person(self._actor, policy.approvers)
        return rules.may_decide(policy, request.requester, person)

    async def _report_refusal(self, error: Exception) -> None:
        log.info("click refused", actor=self._actor.id, why=type(error).__name__)
        await self._deps.replies.send_text(self._reply_to, sentence_for(error, self._deps.links))
        if isinstance(error, StateConflict):
            await self._update_clicked(error.request)

    async def _update_clicked(self, request: Request) -> None:
        """Update a card that was posted twice; the outbox updates the card and its copies."""
        card = request.card
        if not self._message or not card or self._message == card.ts:
            return
        if self._reply_to.channel != card.channel:
            return
        message = card_views.second_copy(request, self._deps.links)
        try:
            await self._deps.client.chat_update(channel=card.channel, ts=self._message, **message)
        except CALL_ERRORS as error:
            log.info("clicked message not updated", error=translate_error(error).sentence)
