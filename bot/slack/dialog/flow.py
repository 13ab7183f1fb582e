"""Opens the dialog of a job, and updates it with what Atlas and Slack answer."""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import structlog
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.atlas import AtlasError, ClusterNotFound, JobNotFound
from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError, RightsNotChecked, StorageError
from bot.cancellation.lifecycle import State
from bot.cancellation.people import NO_ONE
from bot.cancellation.policy import Policy
from bot.services.projects import Project
from bot.services.search_results import Search
from bot.slack import mrkdwn
from bot.slack.blockkit import View, private
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import JobTarget, SearchTarget
from bot.slack.errors import (
    CALL_ERRORS,
    DialogExpired,
    SlackError,
    SlackUnavailable,
    sentence_for,
    translate_error,
)
from bot.slack.payloads import Actor, Interaction
from bot.slack.placement import ChannelUnknown, NoPlacement, Placement, choose
from bot.slack.plain_text import as_text
from bot.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

# Seconds
ATLAS_TIMEOUT = 12.0  # for reading a job; the dialog then offers to try again
UPDATE_BACKOFF = (0.5, 2.0)  # before each retry of a view's update, which is idempotent
#: Shown by a dialog if the process stops before the job was read.
STOPPING = "The bot is being restarted: try again in a moment."
VIEW_REPLACED = "hash_conflict"  #: Slack's code where the view of the hash is not shown any more
#: Slack's codes for a trigger that was used: an earlier delivery of the payload opened the dialog.
TRIGGER_USED = frozenset({"exchanged_trigger_id", "trigger_exchanged"})


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """A job whose cluster or project is not known; `hints` may be its cluster's name."""

    job_id: str
    cluster: str | None = None
    hints: tuple[str, ...] = ()


@dataclass(slots=True, weakref_slot=True, eq=False)
class Dialog:
    """One dialog on a person's screen, as far as one interaction updates it.

    Each update names the view that it replaces by `hash`: a view that was put there in the
    meantime stays. An open dialog is given with what the payload of the interaction has of its
    view. A later interaction with the same dialog ends the updates of an earlier one.
    """

    deps: Dependencies
    by: Interaction
    view_id: str = ""
    hash: str | None = None
    #: Whether the view on the screen is the last one of this interaction, as far as Slack said.
    is_own: bool = field(default=False, init=False)

    @classmethod
    def of(cls, deps: Dependencies, by: Interaction, view: Mapping[str, Any]) -> Self:
        """Begin an interaction with an open dialog, from its view in the payload."""
        dialog = cls(deps, by, str(view["id"]), view.get("hash"))
        deps.dialogs[dialog.view_id] = dialog
        return dialog

    async def open(self, view: View) -> bool:
        """Open the dialog; return whether it is open, and notify the person if it is not."""
        try:
            await self._open(view)
        except SlackError as error:
            if error.code in TRIGGER_USED:
                log.info("dialog is open already", code=error.code)
            else:
                log.warning("dialog could not be opened", error=error.sentence)
                await self._reply(sentence_for(error), view)
            return False
        log.info("dialog opened", view=self.view_id)
        return True

    async def _open(self, view: View) -> None:
        if not self.by.trigger_id:
            raise DialogExpired  # Slack would report an invalid argument
        client, named = self.deps.client, view | {"external_id": secrets.token_hex()}
        try:
            opened = await client.views_open(trigger_id=self.by.trigger_id, view=named)
        except CALL_ERRORS as error:
            if type(meaning := translate_error(error)) is not SlackUnavailable:
                raise meaning from error
            opened = await self._find(named, meaning)
        self._keep(opened)
        self.deps.dialogs[self.view_id] = self

    async def _find(self, named: View, lost: SlackError) -> AsyncSlackResponse:
        """Find by its external id a dialog that may be open; raise `lost` if it is not."""
        try:
            return await self.deps.client.views_update(external_id=named["external_id"], view=named)
        except CALL_ERRORS as error:
            raise lost from error

    def _keep(self, answer: AsyncSlackResponse) -> None:
        """Keep by which id and hash the next update names the view that Slack shows now."""
        shown = answer["view"]
        self.view_id, self.hash, self.is_own = shown["id"], shown.get("hash"), True

    async def update(self, view: View) -> None:
        """Show another view, unless the dialog was closed."""
        try:
            await self._update(view)
        except DialogExpired as error:
            log.info("dialog was closed or changed before", view=self.view_id, code=error.code)
        except SlackUnavailable as error:
            await self._reply(sentence_for(error), view)
        except SlackError as error:
            log.error("dialog could not be updated", view=self.view_id, error=error.sentence)  # noqa: TRY400 - no bug
            await self._show_refused(view, error)

    async def _update(self, view: View) -> None:
        pauses = iter(UPDATE_BACKOFF)
        while self.deps.dialogs.get(self.view_id) is self:
            try:
                answer = await self._call_update(view)
            except DialogExpired as error:
                if self.is_own or error.code != VIEW_REPLACED:
                    raise
                # By an earlier interaction, or by this update itself, whose answer was lost.
                self.hash = None
            except SlackUnavailable as error:
                if (pause := next(pauses, None)) is None:
                    raise
                self.is_own = False
                await self.deps.sleep(max(pause, error.seconds))
            else:
                self._keep(answer)
                return

    async def _call_update(self, view: View) -> AsyncSlackResponse:
        update = self.deps.client.views_update
        try:
            return await update(view_id=self.view_id, hash=self.hash, view=view)
        except CALL_ERRORS as error:
            raise translate_error(error) from error

    async def _show_refused(self, view: View, error: SlackError) -> None:
        """Show what a refused view says: in a plain dialog and in a private message."""
        plain = dialog_views.plain(view, sentence_for(error))
        if plain is None:
            return  # another update follows
        with suppress(SlackError):
            await self._update(plain)
        await self._reply(as_text(plain["blocks"]), view)

    async def _reply(self, text: str, view: View) -> None:
        """Reply privately, with a button that opens the dialog of the view's job, if it has one."""
        message = private(text)
        message["blocks"] += dialog_views.open_button(view)
        await self.deps.replies.send(self.by, message)


async def open_job(deps: Dependencies, job: JobTarget, by: Interaction) -> None:
    """Open the dialog of a job with the next call to Slack, while the job is being read."""
    dialog = Dialog(deps, by)
    reader = JobReader(deps, job, by.actor)
    reading = asyncio.create_task(reader.view())
    try:
        if await dialog.open(dialog_views.loading(job)):
            view = await reading
            await dialog.update(view)
            if "submit" in view and (later := await reader.later_view()):
                await dialog.update(later)
    finally:
        await cancel_and_wait(reading)


async def reload_job(deps: Dependencies, job: JobTarget, by: Interaction, shown: View) -> None:
    """Read the job again, and update the same dialog."""
    dialog = Dialog.of(deps, by, shown)
    await dialog.update(dialog_views.loading(job))
    await dialog.update(await JobReader(deps, job, by.actor).view())


async def open_search(deps: Dependencies, query: SearchQuery, by: Interaction) -> None:
    """Show that the search starts, then the job, or that it was not found."""
    dialog = Dialog(deps, by)
    target = SearchTarget(job_id=query.job_id, cluster=query.cluster, asked_in=by.channel)
    if await dialog.open(dialog_views.searching(query.job_id, query.cluster)):
        await dialog.update(await _search(dialog, target, query.hints))


async def search_again(
    deps: Dependencies, target: SearchTarget, by: Interaction, shown: View
) -> None:
    """Search the job again, and update the same dialog."""
    dialog = Dialog.of(deps, by, shown)
    await dialog.update(dialog_views.searching(target.job_id, target.cluster))
    await dialog.update(await _search(dialog, target))


async def _search(dialog: Dialog, target: SearchTarget, hints: Sequence[str] = ()) -> View:
    """Return the view of the job, or that it was not found; recorded jobs are asked first."""
    deps, actor = dialog.deps, dialog.by.actor
    jobs, finder = deps.service.jobs, deps.service.finder
    try:
        candidates = deps.service.projects.all
        projects = await deps.directory.allowed_projects(actor, target.asked_in, candidates)
        known = await jobs.recorded_cluster(target.job_id, projects, target.cluster)
    except (RightsNotChecked, StorageError) as error:
        return dialog_views.error(str(error), target)
    except CancellationError as error:
        return dialog_views.refused(sentence_for(error))
    result = (
        Search(found=known)
        if known
        else await finder.search(target.job_id, projects, cluster=target.cluster, hints=hints)
    )
    if (found := result.found) is None:
        return dialog_views.not_found(target, result)
    job = JobTarget(ref=found.job(target.job_id), asked_in=target.asked_in)
    return await JobReader(deps, job, actor).view()


@dataclass(slots=True)
class JobReader:
    """Checks what a person may do with a job, reads the job, and builds its view."""

    deps: Dependencies
    job: JobTarget
    actor: Actor
    feed_is_late: bool = field(default=False, init=False)  # of the last view
    #: Why it is not known whether the person may act alone.
    not_checked: RightsNotChecked | None = field(default=None, init=False)

    async def view(self) -> View:
        """Build the view; Atlas is asked only for people who may request."""
        try:
            return await self._view()
        except (NoPlacement, ChannelUnknown, AtlasError, CancellationError) as error:
            log.info("dialog shows an error", job=self.job.ref.job_id, error=type(error).__name__)
            match error:
                case NoPlacement():
                    return dialog_views.refused(str(error))
                case AtlasError():
                    answer = mrkdwn.atlas_answer(error.status, error.code)
                    return dialog_views.error(str(error), self.job, answer)
                case StorageError() | RightsNotChecked() | ChannelUnknown():
                    return dialog_views.error(str(error), self.job)
            return dialog_views.refused(sentence_for(error, self.deps.links))
        except asyncio.CancelledError:
            # The process is stopping; there is time left for one more update.
            return dialog_views.error(STOPPING, self.job)

    async def later_view(self) -> View | None:
        """Return the view with a starter for which it did not wait, where the feed has one."""
        jobs, later = self.deps.service.jobs, None
        with suppress(CancellationError):
            if self.feed_is_late and await jobs.record_late_starter(self.job.ref):
                later = await self.view()
        return later if later and "submit" in later else None

    async def _view(self) -> View:
        """Build the view; raises what `view` shows as an error."""
        project, ref = await self._allowed_project(), self.job.ref
        policy = project.policies.of(ref.cluster_name)
        why_read_only = project.why_read_only(ref.cluster_name)
        reading = asyncio.create_task(self.deps.service.look_up(ref, timeout=ATLAS_TIMEOUT))
        try:
            placed = None if why_read_only else await self._place(policy)
            details = await reading
        except (JobNotFound, ClusterNotFound):
            if found := await self._find_elsewhere():
                return found
            raise
        finally:
            await cancel_and_wait(reading)
        job, request, links = details.job, details.open_request, self.deps.links
        self.feed_is_late = details.feed_is_late
        log.info(
            "job looked up",
            job=ref.job_id,
            state=job.state.value,
            can_be_cancelled=job.can_be_cancelled,
            **({"taken_by": request.id} if request else {}),
        )
        may_replace = placed is not None and (placed[1] or policy.approvals == 0)
        if request and not (request.state is State.AWAITING and may_replace):
            if request.state is State.AWAITING and self.not_checked:
                raise self.not_checked
            return dialog_views.taken(request, links)
        if not job.can_be_cancelled or placed is None:
            why = str(why_read_only)
            why = why if job.can_be_cancelled else dialog_views.why_not_cancellable(job)
            return dialog_views.not_cancellable(details, self.job, links, why)
        placement, may_act_alone = placed
        return dialog_views.details(
            details, self.job, policy, placement, links, may_act_alone=may_act_alone
        )

    async def _find_elsewhere(self) -> View | None:
        """Search a job that is not in the cluster that was named; None if it is nowhere."""
        ref, asked_in, deps = self.job.ref, self.job.asked_in, self.deps
        candidates = deps.service.projects.all
        projects = await deps.directory.allowed_projects(self.actor, asked_in, candidates)
        found = (await deps.service.finder.search(ref.job_id, projects)).found
        if found is None or found.job(ref.job_id) == ref:
            return None
        target = JobTarget(ref=found.job(ref.job_id), asked_in=asked_in)
        return dialog_views.elsewhere(ref, target, found.project.name)

    async def _allowed_project(self) -> Project:
        project = self.deps.service.projects.get(self.job.ref.project_id)
        policy = project.policies.of(self.job.ref.cluster_name)
        if refusal := rules.may_use_channel(policy, self.job.asked_in):
            raise refusal
        person = await self.deps.directory.person(self.actor, policy.requesters)
        if refusal := rules.may_request(policy, person):
            raise refusal
        return project

    async def _place(self, policy: Policy) -> tuple[Placement, bool]:
        """Choose the card's channel, and find out whether the person may act alone."""
        asked_in = self.job.asked_in
        groups = policy.approvers.groups if policy.approvals else ()
        info, typed, members, may_act_alone = await asyncio.gather(
            self.deps.channels.info(policy.audit_channel or asked_in),
            self.deps.channels.info(asked_in),
            # One more than needed, because the requester may be one of them.
            self.deps.directory.full_members_of(groups, policy.approvals + 1),
            self._may_act_alone(policy),
        )
        placement = choose(policy, asked_in, info, self.actor.id, typed)
        refusal = rules.check_enough_approvers(policy, self.actor.id, members)
        if refusal and not may_act_alone:
            raise refusal
        return placement, may_act_alone

    async def _may_act_alone(self, policy: Policy) -> bool:
        if policy.approvals == 0 or policy.break_glass == NO_ONE:
            return False
        self.not_checked = None
        try:
            person = await self.deps.directory.person(self.actor, policy.break_glass)
        except RightsNotChecked as error:
            self.not_checked = error
            log.info("checkbox left out", error=str(error))
            return False
        return rules.may_act_alone(policy, person) is None
