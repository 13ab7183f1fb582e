"""From a click on a card to the ledger, and what the person is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from bot.cancellation import policy as rules
from bot.cancellation.errors import AlreadyHandled, CancellationError, StateConflict, UnknownProject
from bot.cancellation.lifecycle import State
from bot.cancellation.policy import Kind, Person
from bot.slack.card import views as card_views
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.opening import open_dialog
from bot.slack.error_messages import sentence_for
from bot.slack.errors import CALL_ERRORS, DirectoryTrouble, SlackTrouble, meaning_of
from bot.slack.payloads import actor_of
from bot.slack.private_reply import ReplyTarget, reply_target_of
from bot.tasks import run_until_deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import Policy
    from bot.slack.bolt_app import Dependencies
    from bot.slack.identity import Identity
    from bot.slack.payloads import Actor

    Decision = Callable[["Click"], Coroutine[Any, Any, Request]]

log = structlog.get_logger(__name__)

#: Seconds to find out whether a person may deny, before the dialog is opened anyway: its
#: trigger lives 3 seconds, and the rights are checked again when it is submitted.
BEFORE_A_DIALOG = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Click:
    """A click on a card.

    Attributes:
        request_id: the button's value.
        message: the timestamp of the message with the button, if all can see one.
    """

    request_id: str
    actor: Actor
    reply_to: ReplyTarget
    message: str | None
    trigger_id: str


def read_click(body: Mapping[str, Any], identity: Identity) -> Click:
    """Read a block_actions payload with one action."""
    container = body.get("container") or {}
    return Click(
        request_id=str(body["actions"][0].get("value") or ""),
        actor=actor_of(body, identity),
        reply_to=reply_target_of(body),
        message=None if container.get("is_ephemeral") else container.get("message_ts"),
        trigger_id=str(body.get("trigger_id") or ""),
    )


class CardActions:
    """The card's buttons: each click ends in a changed card or in a private sentence."""

    def __init__(self, deps: Dependencies) -> None:
        self._client = deps.client
        self._service = deps.service
        self._directory = deps.directory
        self._replies = deps.replies
        self._links = deps.links
        self._background = deps.background
        self._ack_timeout = deps.ack_timeout

    async def approve(self, click: Click) -> Request:
        policy = self._policy_of(await self._service.request(click.request_id))
        person = await self._directory.acting(click.actor, policy.approvers)
        return await self._service.approve(click.request_id, person)

    async def retry(self, click: Click) -> Request:
        policy = self._policy_of(await self._service.request(click.request_id))
        person = await self._directory.acting(click.actor, policy.requesters)
        return await self._service.retry(click.request_id, person)

    async def withdraw(self, click: Click) -> Request:
        # The requester's id and team decide: Slack need not be asked who that is.
        kind = Kind.OUTSIDER if click.actor.is_outsider else Kind.MEMBER
        person = Person(id=click.actor.id, team=click.actor.team, kind=kind)
        return await self._service.withdraw(click.request_id, person)

    async def decide(self, click: Click, decision: Decision) -> None:
        """Make a decision within the time of an ack; tell what came of it afterwards."""
        try:
            request = await run_until_deadline(decision(click), self._background, self._ack_timeout)
        except (CancellationError, DirectoryTrouble) as error:
            log.info("click refused", actor=click.actor.id, why=type(error).__name__)
            self._later(self._tell_loser(click, error), click)
        else:
            if request.card and click.message != request.card.ts:
                self._later(self._settle_copy(click, request), click)

    def ask_reason(self, click: Click) -> None:
        """Ask in a dialog why it is denied."""
        self._later(self._ask_reason(click), click)

    async def _ask_reason(self, click: Click) -> None:
        if refusal := await self._may_not_deny(click):
            log.info("click refused", actor=click.actor.id, why=type(refusal).__name__)
            await self._tell_loser(click, refusal)
            return
        try:
            await open_dialog(
                self._client, click.trigger_id, dialog_views.deny_reason(click.request_id)
            )
        except SlackTrouble as trouble:
            log.warning("dialog could not be opened", error=trouble.sentence)
            await self._replies.send_text(click.reply_to, sentence_for(trouble))
        else:
            log.info("dialog opened", asks="why it is denied", actor=click.actor.id)

    async def _may_not_deny(self, click: Click) -> Exception | None:
        try:
            return await run_until_deadline(
                self._deny_check(click), self._background, BEFORE_A_DIALOG
            )
        except (CancellationError, DirectoryTrouble) as error:
            log.info("denial not checked before its dialog", error=str(error))
            return error if isinstance(error, DirectoryTrouble) else None

    async def _deny_check(self, click: Click) -> Exception | None:
        request = await self._service.request(click.request_id)
        if request.state is not State.AWAITING:
            return AlreadyHandled(request)
        policy = self._policy_of(request)
        person = await self._directory.acting(click.actor, policy.approvers)
        return rules.may_deny(policy, request.requester, person)

    def _policy_of(self, request: Request) -> Policy:
        policy = self._service.policy_of(request.ref.project_id)
        if policy is None:
            raise UnknownProject
        return policy

    def _later(self, work: Any, click: Click) -> None:  # noqa: ANN401 - any coroutine
        self._background.start(work, "click", self._replies.error_callback(click.reply_to))

    async def _tell_loser(self, click: Click, error: Exception) -> None:
        await self._replies.send_text(click.reply_to, sentence_for(error, self._links))
        if isinstance(error, StateConflict):
            await self._settle_copy(click, error.request)

    async def _settle_copy(self, click: Click, request: Request) -> None:
        """Bring a message up to date that no edit of ours reaches: a second copy of the card."""
        if not click.message or not click.reply_to.channel or not request.card:
            return
        is_the_card = click.message == request.card.ts
        if is_the_card and not request.state.ended:
            return  # the outbox draws it; a drawing of ours could come late
        drawn = (
            self._drawn(request) if is_the_card else card_views.second_copy(request, self._links)
        )
        try:
            await self._client.chat_update(
                channel=click.reply_to.channel, ts=click.message, **drawn
            )
        except CALL_ERRORS as error:
            log.info("copy of a card not settled", error=meaning_of(error).sentence)

    def _drawn(self, request: Request) -> dict[str, Any]:
        policy = self._service.policy_of(request.ref.project_id)
        return card_views.message(request, policy.approvers if policy else None, self._links)
