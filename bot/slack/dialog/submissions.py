"""From a submitted dialog to the ledger, and what the dialog answers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from bot.cancellation import policy as rules
from bot.cancellation.errors import (
    CancellationError,
    DenialReasonMissing,
    LedgerError,
    NameNotTyped,
    ReasonMissing,
    UnknownProject,
)
from bot.cancellation.request_context import current_request_id
from bot.services.service import Submission
from bot.slack import ids, mrkdwn
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import UnreadableDialog, read_seen
from bot.slack.error_messages import sentence_for
from bot.slack.errors import CALL_ERRORS, DirectoryTrouble, meaning_of
from bot.slack.picker.state import not_ready
from bot.slack.placement import is_direct
from bot.tasks import run_until_deadline

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from bot.cancellation.lifecycle import Request
    from bot.slack.bolt_app import Dependencies
    from bot.slack.dialog.metadata import DialogState
    from bot.slack.links import Links
    from bot.slack.payloads import Actor

    #: Keyword arguments of Bolt's `ack`.
    Answer = dict[str, Any]

log = structlog.get_logger(__name__)

#: Closes every view of ours.
CLOSED: Answer = {"response_action": "clear"}

#: Seconds between looks for a card that is to be linked, and how many looks.
LOOKS = (0.3, 0.7, 1.0, 2.0, 4.0)


class Submissions:
    """Turns submitted views into requests and decisions, within the time of an ack."""

    def __init__(self, deps: Dependencies) -> None:
        self._client = deps.client
        self._service = deps.service
        self._directory = deps.directory
        self._links = deps.links
        self._background = deps.background
        self._ack_timeout = deps.ack_timeout
        self._sleep = deps.sleep

    async def submit(self, view: Mapping[str, Any], actor: Actor) -> Answer:
        """Write the request down, and answer the dialog."""
        if problem := not_ready(view):
            log.info("submission refused", actor=actor.id, why="not ready")
            return {"response_action": "errors", "errors": dict([problem])}
        try:
            seen = read_seen(str(view.get("private_metadata") or ""))
            request = await self._in_time(self._submit(view, seen, actor))
        except UnreadableDialog as error:
            log.info("submission refused", actor=actor.id, why=type(error).__name__)
            return updated(dialog_views.refused(mrkdwn.escape(str(error))))
        except (CancellationError, DirectoryTrouble) as error:
            log.info("submission refused", actor=actor.id, why=type(error).__name__)
            return refusal(error, self._links)
        return self._written(request, seen, str(view["id"]))

    async def deny(self, view: Mapping[str, Any], actor: Actor) -> Answer:
        """End the request by this person's no, and answer the dialog."""
        request_id = str(view.get("private_metadata") or "")
        reason = typed_in(view, ids.REASON)
        try:
            await self._in_time(self._deny(request_id, actor, reason))
        except (CancellationError, DirectoryTrouble) as error:
            log.info("denial refused", actor=actor.id, why=type(error).__name__)
            return refusal(error, self._links)
        return CLOSED

    async def _in_time(self, work: Coroutine[Any, Any, Request]) -> Request:
        return await run_until_deadline(work, self._background, self._ack_timeout)

    async def _submit(self, view: Mapping[str, Any], seen: DialogState, actor: Actor) -> Request:
        policy = self._service.policy_of(seen.asked.ref.project_id)
        if policy is None:
            raise UnknownProject
        if barred := rules.may_use_channel(policy, seen.asked.asked_in):
            raise barred
        groups = policy.approvers.groups if policy.approvals else ()
        person, members = await asyncio.gather(
            self._directory.acting(actor, policy.requesters), self._directory.members_of(groups)
        )
        submission = Submission(
            key=str(view["id"]),
            person=person,
            ref=seen.asked.ref,
            project_name=seen.asked.project_name,
            asked_in=seen.asked.asked_in,
            channel=seen.card_channel,
            shown=seen.shown,
            reason=typed_in(view, ids.REASON),
            typed=typed_in(view, ids.TYPED),
            moved_because=seen.because,
            approver_members=members,
            request_id=current_request_id(),
        )
        return await self._service.submit(submission)

    async def _deny(self, request_id: str, actor: Actor, reason: str) -> Request:
        request = await self._service.request(request_id)
        policy = self._service.policy_of(request.ref.project_id)
        if policy is None:
            raise UnknownProject
        person = await self._directory.acting(actor, policy.approvers)
        return await self._service.deny(request_id, person, reason)

    def _written(self, request: Request, seen: DialogState, view_id: str) -> Answer:
        if request.channel == seen.asked.asked_in:
            return CLOSED
        self._background.start(self._link_card(request, view_id), "link to the card")
        return updated(dialog_views.posted_elsewhere(where(request)))

    async def _link_card(self, request: Request, view_id: str) -> None:
        """Put the card's own address into the dialog as soon as the card is posted."""
        for pause in LOOKS:
            await self._sleep(pause)
            now = await self._service.request(request.id)
            if link := self._links.card_of(now):
                said = f"{where(now)} {mrkdwn.link(link, 'Go to the card')}."
                await self._show(view_id, dialog_views.posted_elsewhere(said))
                return

    async def _show(self, view_id: str, view: dict[str, Any]) -> None:
        try:
            await self._client.views_update(view_id=view_id, view=view)
        except CALL_ERRORS as error:
            # The person has closed it, or Slack is away: the sentence before said where it is.
            log.info("card could not be linked", error=meaning_of(error).sentence)


def where(request: Request) -> str:
    """Say where the card stands, for somebody who asked elsewhere."""
    if is_direct(request.channel):
        return "Its card is in your direct messages with the bot."
    return f"Its card is in {mrkdwn.channel(request.channel)}."


def refusal(error: Exception, links: Links) -> Answer:
    """Answer a dialog: beside an input where that helps, so that nothing typed is lost."""
    if isinstance(error, NameNotTyped):
        return at_input(ids.TYPED, error)
    if isinstance(error, (ReasonMissing, DenialReasonMissing, LedgerError, DirectoryTrouble)):
        return at_input(ids.REASON, error)
    return updated(dialog_views.refused(sentence_for(error, links)))


def at_input(block_id: str, error: Exception) -> Answer:
    """Keep the dialog open with a sentence under an input; Slack shows it as plain text."""
    return {"response_action": "errors", "errors": {block_id: str(error)}}


def updated(view: dict[str, Any]) -> Answer:
    return {"response_action": "update", "view": view}


def typed_in(view: Mapping[str, Any], block_id: str) -> str:
    """Read what was typed into an input whose action id is its block id.

    Without NUL, which people see nothing of, and which PostgreSQL keeps in no text.
    """
    values = (view.get("state") or {}).get("values") or {}
    element = (values.get(block_id) or {}).get(block_id) or {}
    return str(element.get("value") or "").replace("\0", "")
