"""Carries out decisions about a request, and handles the buttons of its card."""

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.cancellation import errors
from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import Card, Request, State
from bot.slack import ids
from bot.slack.blockkit import is_in_home
from bot.slack.decisions import Decision, Decisions, decide_when_possible
from bot.slack.dependencies import Dependencies, OnHomeClick
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.calls import Dialog
from bot.tasks import log_errors, run_until_deadline

log = structlog.get_logger(__name__)


def register(app: AsyncApp, deps: Dependencies, on_home_click: OnHomeClick) -> None:
    """`on_home_click` is called after a click in the Home tab, to publish it again."""

    async def decide(decision: Decision, ack: AsyncAck, body: dict[str, Any]) -> None:
        # The ack waits for the commit, so that an acknowledged decision is durable.
        await Click(deps, body, on_home_click).decide(decision)
        await ack()

    async def ask(state: State, dialog: str, ack: AsyncAck, body: dict[str, Any]) -> None:
        """Open the dialog for a reason while the request is in `state`."""
        await ack()
        click = Click(deps, body, on_home_click)
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

    def __init__(
        self, deps: Dependencies, body: dict[str, Any], on_home_click: OnHomeClick
    ) -> None:
        container, action = body.get("container") or {}, body["actions"][0]
        self._deps = deps
        self._in_home, self._publish_home = is_in_home(body), partial(on_home_click, deps, body)
        self._by = deps.interaction(body)
        self._request_id = str(action.get("value") or "")
        #: None in the Home tab and in private messages.
        self._message = None if container.get("is_ephemeral") else container.get("message_ts")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._deps.start(work, "click", self._by)

    async def decide(self, decision: Decision) -> None:
        """Carry out a decision before the ack, and report its result afterwards."""
        work = partial(decision, self._request_id, self._by.actor)
        try:
            await self._deps.before_ack(work())
        except CancellationError as error:
            self.start(self._decide_later(work, error))
        else:
            self.start(self._update_clicked())

    async def _decide_later(
        self, work: Callable[[], Awaitable[Request]], error: CancellationError
    ) -> None:
        """Decide once Slack says who may do it, or report another refusal."""
        try:
            await decide_when_possible(work, self._deps, self._by, error)
        except CancellationError as refusal:
            await self._report_refusal(refusal)
        else:
            await self._update_clicked()

    async def ask_reason(self, state: State, dialog: str) -> None:
        """Open the dialog for the reason, unless the refusal of the decision is known in time."""
        deps = self._deps
        check = Decisions(deps).check(self._request_id, self._by.actor, state)
        try:
            await run_until_deadline(check, deps.background, deps.reason_check_timeout)
        except CancellationError as error:
            refusals = errors.AlreadyHandled | errors.NotAllowed | errors.RightsNotChecked
            if isinstance(error, refusals) and not error.is_temporary:
                await self._report_refusal(error)
                return
            # It is checked again when the dialog is submitted.
            log.info("decision not checked before its dialog", error=str(error))
        view = dialog_views.ask_reason(dialog, self._request_id, in_home=self._in_home)
        await Dialog(deps, self._by).open(view)
        await self._replace_second_card()

    async def _report_refusal(self, error: Exception) -> None:
        log.info("click refused", actor=self._by.actor.id, why=type(error).__name__)
        await self._deps.refuse(self._by, error)
        if isinstance(error, errors.StateConflict):
            await self._update_clicked()
        elif not isinstance(error, errors.StorageError):  # else the request cannot be read now
            await self._replace_second_card()

    async def _update_clicked(self) -> None:
        """Publish the Home tab, or let the outbox replace a card that was posted twice."""
        if self._in_home:
            self._publish_home()
        await self._replace_second_card()

    async def _replace_second_card(self) -> None:
        """Let the outbox replace the clicked message, if it is a card that was posted twice.

        Where Slack does not know `client_msg_id` and an answer was lost, the first post stays as it
        was until it is clicked, also after the end of the request: its place is known from a click
        alone. Finding it would take a scope that reads messages, which the bot does not ask for.
        """
        channel, service = self._by.channel_id, self._deps.service
        if not (self._message and channel):
            return
        with log_errors("second card not replaced"):
            request = await service.requests.get(self._request_id)
            if request.card and request.card.ts != self._message:
                clicked = Card(channel=channel, ts=self._message)
                await service.replace_second_card(request, clicked, self._by.actor.id)
