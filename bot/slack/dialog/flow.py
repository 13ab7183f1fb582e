"""Opens the dialog at once, finds out what it is to show, and keeps it up to date."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from bot.atlas import AtlasError
from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError, LedgerError, UnknownProject
from bot.slack import mrkdwn
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.opening import open_dialog
from bot.slack.error_messages import sentence_for
from bot.slack.errors import (
    CALL_ERRORS,
    DialogTooLate,
    DirectoryTrouble,
    NotReachable,
    SlackTrouble,
    meaning_of,
)
from bot.slack.placement import NowhereToPost, choose, target
from bot.tasks import cancel_and_wait

if TYPE_CHECKING:
    from bot.cancellation.policy import Policy
    from bot.services.service import JobDetails
    from bot.slack.blockkit import View
    from bot.slack.bolt_app import Dependencies
    from bot.slack.dialog.metadata import JobTarget
    from bot.slack.payloads import Actor
    from bot.slack.placement import Placement
    from bot.slack.private_reply import ReplyTarget

log = structlog.get_logger(__name__)

#: Seconds that Atlas may take: somebody waits in front of the dialog, and can try again in it.
PATIENCE = 12.0

#: Seconds between the tries to update a dialog; the update may be repeated, it changes nothing.
PAUSES = (0.5, 2.0)

#: What a dialog says that has not found out what to show when the process ends.
ENDING = "The bot is just being restarted: try again in a moment."

#: Codes of a trigger that was used: the first delivery of this payload has opened the dialog.
USED = frozenset({"exchanged_trigger_id", "trigger_exchanged"})


class Refusal(Exception):
    """This person cannot go on here; the text is mrkdwn of our own making."""


class Dialogs:
    """The dialog, from the trigger to the details."""

    def __init__(self, deps: Dependencies) -> None:
        self._client = deps.client
        self._service = deps.service
        self._directory = deps.directory
        self._channels = deps.channels
        self._replies = deps.replies
        self._links = deps.links
        self._sleep = deps.sleep

    async def open(
        self, asked: JobTarget, actor: Actor, trigger_id: str, reply_to: ReplyTarget
    ) -> None:
        """Show "Looking up …" with Slack's very next call, then what was found."""
        view = dialog_views.loading(asked)
        opening = asyncio.create_task(self.opened(view, trigger_id, reply_to))
        finding = asyncio.create_task(self.find(asked, actor))
        try:
            if view_id := await opening:
                await self.show(view_id, await finding, reply_to)
        finally:
            await cancel_and_wait(finding)

    async def opened(self, view: View, trigger_id: str, reply_to: ReplyTarget) -> str | None:
        """Open a dialog and return its id; None when that was not to be, and the person told."""
        try:
            view_id = await open_dialog(self._client, trigger_id, view)
        except SlackTrouble as trouble:
            await self._not_opened(trouble, reply_to)
            return None
        log.info("dialog opened", view=view_id)
        return view_id

    async def look_again(
        self, asked: JobTarget, actor: Actor, view_id: str, reply_to: ReplyTarget
    ) -> None:
        """Look the job up anew, in the same dialog."""
        await self.show(view_id, dialog_views.loading(asked), reply_to)
        await self.show(view_id, await self.find(asked, actor), reply_to)

    async def find(self, asked: JobTarget, actor: Actor) -> View:
        """Ask Slack about the person and the channel, and Atlas about the job, all at once."""
        try:
            return await self._found(asked, actor)
        except (Refusal, AtlasError, CancellationError, DirectoryTrouble) as error:
            log.info("dialog says why not", job=asked.ref.job_id, why=type(error).__name__)
            return self._instead(error, asked)
        except asyncio.CancelledError:
            # The process is about to end, and leaves time for a last word; another one goes on.
            return dialog_views.trouble(ENDING, asked)

    async def _found(self, asked: JobTarget, actor: Actor) -> View:
        looking = asyncio.create_task(self._service.look_up(asked.ref, timeout=PATIENCE))
        try:
            policy, standing = await self._admit(asked, actor)
            return self._view(await looking, asked, policy, standing)
        finally:
            await cancel_and_wait(looking)

    async def show(self, view_id: str, view: View, reply_to: ReplyTarget) -> None:
        """Update an open dialog; one that was closed meanwhile needs no update."""
        try:
            await self._update(view_id, view)
        except DialogTooLate:
            log.info("dialog was closed before its update", view=view_id)
        except NotReachable as error:
            await self._replies.send_text(reply_to, sentence_for(error))

    async def _update(self, view_id: str, view: View) -> None:
        for pause in (*PAUSES, None):
            try:
                await self._client.views_update(view_id=view_id, view=view)
            except CALL_ERRORS as error:
                meaning = meaning_of(error)
                if pause is None or not isinstance(meaning, NotReachable):
                    raise meaning from error
                await self._sleep(pause)
            else:
                return

    async def _not_opened(self, trouble: SlackTrouble, reply_to: ReplyTarget) -> None:
        if trouble.code in USED:
            log.info("dialog is open already", code=trouble.code)
            return
        log.warning("dialog could not be opened", error=trouble.sentence)
        await self._replies.send_text(reply_to, sentence_for(trouble))

    def _instead(self, error: Exception, asked: JobTarget) -> View:
        """Draw what is shown in place of the job."""
        if isinstance(error, Refusal):
            return dialog_views.refused(str(error))
        if isinstance(error, AtlasError):
            terms = mrkdwn.answer_of_atlas(error.status, error.code)
            return dialog_views.trouble(str(error), asked, terms)
        if isinstance(error, (LedgerError, DirectoryTrouble)):
            return dialog_views.trouble(str(error), asked)
        return dialog_views.refused(sentence_for(error, self._links))

    async def _admit(self, asked: JobTarget, actor: Actor) -> tuple[Policy, Placement]:
        """Check the person and the place; raises `Refusal`, `NotAllowed` or `DirectoryTrouble`."""
        policy = self._service.policy_of(asked.ref.project_id)
        if policy is None:
            raise UnknownProject
        if refusal := rules.may_use_channel(policy, asked.asked_in):
            raise refusal
        person, standing, members = await asyncio.gather(
            self._directory.person(actor, policy.requesters),
            self._standing(policy, asked, actor),
            self._members(policy),
        )
        if refusal := rules.may_request(policy, person):
            raise refusal
        if isinstance(standing, NowhereToPost):
            raise Refusal(standing.sentence)
        if refusal := rules.check_enough_approvers(policy, actor.id, members):
            raise refusal
        return policy, standing

    async def _standing(
        self, policy: Policy, asked: JobTarget, actor: Actor
    ) -> Placement | NowhereToPost:
        channel = target(policy, asked.asked_in)
        asking = {channel, asked.asked_in}
        places = await asyncio.gather(*(self._channels.place(each) for each in asking))
        found = dict(zip(asking, places, strict=True))
        return choose(policy, asked.asked_in, found[channel], actor.id, found[asked.asked_in])

    async def _members(self, policy: Policy) -> frozenset[str]:
        if policy.approvals == 0:
            return frozenset()
        # One more than needed, for the requester may be among them.
        return await self._directory.able_in(policy.approvers.groups, policy.approvals + 1)

    def _view(
        self, sight: JobDetails, asked: JobTarget, policy: Policy, standing: Placement
    ) -> View:
        log.info(
            "job looked up",
            job=asked.ref.job_id,
            state=sight.job.state.value,
            can_be_cancelled=sight.job.can_be_cancelled,
            **({"taken_by": sight.open_request.id} if sight.open_request else {}),
        )
        if sight.open_request:
            return dialog_views.taken(sight.open_request, asked, self._links)
        if not sight.job.can_be_cancelled:
            return dialog_views.not_cancellable(sight, asked, self._links)
        return dialog_views.details(sight, asked, policy, standing, self._links)
