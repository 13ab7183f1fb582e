"""Opens the dialog of a job, and updates it with what Atlas and Slack answer."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import AtlasError, JobRef
from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError, LedgerError
from bot.cancellation.people import NO_ONE
from bot.cancellation.policy import Policy
from bot.services.projects import Project
from bot.services.search_results import ClusterRef, Search
from bot.services.service import JobDetails
from bot.slack import mrkdwn
from bot.slack.blockkit import View
from bot.slack.command.views import private
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import JobTarget
from bot.slack.directory import require_policy
from bot.slack.errors import (
    CALL_ERRORS,
    DialogExpired,
    DirectoryError,
    SlackError,
    SlackUnavailable,
    sentence_for,
    translate_error,
)
from bot.slack.payloads import Actor
from bot.slack.placement import NoPlacement, Placement, choose, target_channel
from bot.slack.plain_text import as_text
from bot.slack.private_reply import ReplyTarget
from bot.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

#: Seconds for reading a job; the dialog then offers to try again.
ATLAS_TIMEOUT = 12.0

#: Seconds before each retry of a view's update, which is idempotent.
UPDATE_BACKOFF = (0.5, 2.0)

#: Shown by a dialog if the process stops before the job was read.
STOPPING = "The bot is being restarted: try again in a moment."

#: Slack's codes for a trigger that was used: an earlier delivery of the payload opened the dialog.
TRIGGER_USED = frozenset({"exchanged_trigger_id", "trigger_exchanged"})


class Refusal(Exception):
    """This person cannot continue; the text is trusted mrkdwn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """A job whose cluster or project is not known.

    Attributes:
        projects: the projects to search.
        asked_in: the channel of the command.
        hints: words that may be its cluster's name.
    """

    job_id: str
    projects: tuple[Project, ...]
    asked_in: str
    cluster: str | None = None
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a person may do with a job, and the channel of the card."""

    policy: Policy
    placement: Placement
    may_act_alone: bool


async def open_dialog(client: AsyncWebClient, trigger_id: str, view: View) -> str:
    """Open a dialog and return its id; raises `SlackError`."""
    if not trigger_id:
        raise DialogExpired  # Slack would report an invalid argument
    try:
        response = await client.views_open(trigger_id=trigger_id, view=view)
    except CALL_ERRORS as error:
        raise translate_error(error) from error
    return str((response.get("view") or {})["id"])


class Dialogs:
    """The dialog, from the trigger to a job's details."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    async def open(
        self, job: JobTarget, actor: Actor, trigger_id: str, reply_to: ReplyTarget
    ) -> None:
        """Open the dialog with the next call to Slack, while the job is being read."""
        loading = dialog_views.loading(job)
        opening = asyncio.create_task(self.open_view(loading, trigger_id, reply_to))
        reading = asyncio.create_task(self.job_view(job, actor))
        try:
            if view_id := await opening:
                view = await reading
                await self.update(view_id, view, reply_to)
                await self._add_starter(view, view_id, job, actor, reply_to)
        finally:
            await cancel_and_wait(reading)

    async def _add_starter(
        self, view: View, view_id: str, job: JobTarget, actor: Actor, reply_to: ReplyTarget
    ) -> None:
        """Update the dialog once more where the activity feed answers later than the job."""
        if "submit" not in view:
            return
        try:
            has_more = await self._deps.service.facts.waits_for_starter(job.ref)
        except CancellationError:
            return
        if has_more and "submit" in (later := await self.job_view(job, actor)):
            await self.update(view_id, later, reply_to)

    async def open_view(self, view: View, trigger_id: str, reply_to: ReplyTarget) -> str | None:
        """Open a view and return its id; None if it could not be opened, which is reported."""
        try:
            view_id = await open_dialog(self._deps.client, trigger_id, view)
        except SlackError as error:
            await self._report_not_opened(error, reply_to)
            return None
        log.info("dialog opened", view=view_id)
        return view_id

    async def reload(
        self, job: JobTarget, actor: Actor, view_id: str, reply_to: ReplyTarget
    ) -> None:
        """Read the job again, and update the same dialog."""
        await self.update(view_id, dialog_views.loading(job), reply_to)
        await self.update(view_id, await self.job_view(job, actor), reply_to)

    async def job_view(self, job: JobTarget, actor: Actor) -> View:
        """Build the view of a job; Atlas is asked only for people who may request."""
        try:
            return await self._job_view(job, actor)
        except (Refusal, AtlasError, CancellationError, DirectoryError) as error:
            log.info("dialog shows an error", job=job.ref.job_id, error=type(error).__name__)
            return self._error_view(error, job)
        except asyncio.CancelledError:
            # The process is stopping; there is time left for one more update.
            return dialog_views.error(STOPPING, job)

    async def _job_view(self, job: JobTarget, actor: Actor) -> View:
        policy = await self._allowed_policy(job, actor)
        reading = asyncio.create_task(self._deps.service.look_up(job.ref, timeout=ATLAS_TIMEOUT))
        try:
            access = await self._check_approvable(policy, job, actor)
            return self._details_view(await reading, job, access)
        finally:
            await cancel_and_wait(reading)

    async def update(self, view_id: str, view: View, reply_to: ReplyTarget) -> None:
        """Update an open dialog, unless it was closed."""
        try:
            await self._update(view_id, view)
        except DialogExpired:
            log.info("dialog was closed before its update", view=view_id)
        except SlackUnavailable as error:
            await self._deps.replies.send_text(reply_to, sentence_for(error))
        except SlackError as error:
            log.error("dialog could not be updated", view=view_id, error=error.sentence)  # noqa: TRY400 - no bug
            await self._show_refused(view_id, view, error, reply_to)

    async def _show_refused(
        self, view_id: str, view: View, error: SlackError, reply_to: ReplyTarget
    ) -> None:
        """Show what a refused view says: in a plain dialog and in a private message."""
        plain = dialog_views.plain(view, sentence_for(error))
        if plain is None:
            return  # another update follows
        with suppress(SlackError):
            await self._update(view_id, plain)
        buttons = dialog_views.open_button(view)
        message = private(as_text(plain["blocks"]))
        await self._deps.replies.send(reply_to, message | {"blocks": message["blocks"] + buttons})

    async def _update(self, view_id: str, view: View) -> None:
        for pause in (*UPDATE_BACKOFF, None):
            try:
                await self._deps.client.views_update(view_id=view_id, view=view)
            except CALL_ERRORS as error:
                meaning = translate_error(error)
                if pause is None or not isinstance(meaning, SlackUnavailable):
                    raise meaning from error
                await self._deps.sleep(pause)
            else:
                return

    async def _report_not_opened(self, error: SlackError, reply_to: ReplyTarget) -> None:
        if error.code in TRIGGER_USED:
            log.info("dialog is open already", code=error.code)
            return
        log.warning("dialog could not be opened", error=error.sentence)
        await self._deps.replies.send_text(reply_to, sentence_for(error))

    def _error_view(self, error: Exception, job: JobTarget) -> View:
        if isinstance(error, Refusal):
            return dialog_views.refused(str(error))
        if isinstance(error, AtlasError):
            answer = mrkdwn.atlas_answer(error.status, error.code)
            return dialog_views.error(str(error), job, answer)
        if isinstance(error, (LedgerError, DirectoryError)):
            return dialog_views.error(str(error), job)
        return dialog_views.refused(sentence_for(error, self._deps.links))

    async def _allowed_policy(self, job: JobTarget, actor: Actor) -> Policy:
        """Check person and channel; raises `CancellationError` or `DirectoryError`."""
        policy = require_policy(self._deps.service, job.ref.project_id)
        if refusal := rules.may_use_channel(policy, job.asked_in):
            raise refusal
        if refusal := rules.may_request(
            policy, await self._deps.directory.person(actor, policy.requesters)
        ):
            raise refusal
        return policy

    async def _check_approvable(self, policy: Policy, job: JobTarget, actor: Actor) -> Access:
        """Check the card's channel and the approvers.

        Raises `Refusal`, `CancellationError` or `DirectoryError`.
        """
        placement, members, may_act_alone = await asyncio.gather(
            self._placement(policy, job, actor),
            self._approvers(policy),
            self._may_act_alone(policy, actor),
        )
        if isinstance(placement, NoPlacement):
            raise Refusal(placement.sentence)
        refusal = rules.check_enough_approvers(policy, actor.id, members)
        if refusal and not may_act_alone:
            raise refusal
        return Access(policy=policy, placement=placement, may_act_alone=may_act_alone)

    async def _may_act_alone(self, policy: Policy, actor: Actor) -> bool:
        if policy.approvals == 0 or policy.break_glass == NO_ONE:
            return False
        try:
            person = await self._deps.directory.person(actor, policy.break_glass)
        except DirectoryError as error:
            log.info("checkbox left out", error=str(error))
            return False
        return rules.may_act_alone(policy, person) is None

    async def _placement(
        self, policy: Policy, job: JobTarget, actor: Actor
    ) -> Placement | NoPlacement:
        channel = target_channel(policy, job.asked_in)
        ids = {channel, job.asked_in}
        found = await asyncio.gather(*(self._deps.channels.info(each) for each in ids))
        channels = dict(zip(ids, found, strict=True))
        return choose(policy, job.asked_in, channels[channel], actor.id, channels[job.asked_in])

    async def _approvers(self, policy: Policy) -> frozenset[str]:
        if policy.approvals == 0:
            return frozenset()
        # One more than needed, because the requester may be one of them.
        return await self._deps.directory.full_members_of(
            policy.approvers.groups, policy.approvals + 1
        )

    def _details_view(self, details: JobDetails, job: JobTarget, access: Access) -> View:
        job = replace(job, project_name=details.project_name)
        taken_by = {"taken_by": details.open_request.id} if details.open_request else {}
        log.info(
            "job looked up",
            job=job.ref.job_id,
            state=details.job.state.value,
            can_be_cancelled=details.job.can_be_cancelled,
            **taken_by,
        )
        if details.open_request:
            return dialog_views.taken(details.open_request, job, self._deps.links)
        if not details.job.can_be_cancelled:
            return dialog_views.not_cancellable(details, job, self._deps.links)
        return dialog_views.details(
            details,
            job,
            access.policy,
            access.placement,
            self._deps.links,
            may_act_alone=access.may_act_alone,
        )


class Searches:
    """The dialog of a job whose cluster must be found first."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._dialogs = Dialogs(deps)

    async def open(
        self, query: SearchQuery, actor: Actor, trigger_id: str, reply_to: ReplyTarget
    ) -> None:
        """Show that the search starts, then the job, or that it was not found."""
        view = dialog_views.searching(query.job_id, query.cluster)
        if view_id := await self._dialogs.open_view(view, trigger_id, reply_to):
            result = await self._result_view(query, actor, view_id, reply_to)
            await self._dialogs.update(view_id, result, reply_to)

    async def _result_view(
        self, query: SearchQuery, actor: Actor, view_id: str, reply_to: ReplyTarget
    ) -> View:
        try:
            projects = await self._deps.directory.allowed_projects(
                actor, query.asked_in, query.projects
            )
        except (CancellationError, DirectoryError) as error:
            return dialog_views.refused(sentence_for(error))
        result, searched = await self._search(query, projects, view_id, reply_to)
        if result.found is None:
            return dialog_views.not_found(query.job_id, searched, result, query.cluster)
        return await self._dialogs.job_view(_job_target(query, result.found), actor)

    async def _search(
        self,
        query: SearchQuery,
        projects: Sequence[Project],
        view_id: str,
        reply_to: ReplyTarget,
    ) -> tuple[Search, Sequence[ClusterRef]]:
        """Search, and show in the dialog how many clusters are searched."""
        updates: list[asyncio.Task[None]] = []
        searched: list[ClusterRef] = []

        async def show_scope(clusters: Sequence[ClusterRef]) -> None:
            searched.extend(clusters)
            view = dialog_views.search_scope(query.job_id, clusters)
            update = self._dialogs.update(view_id, view, reply_to)
            updates.append(self._deps.background.start(update, "search"))

        result = await self._deps.service.finder.search(
            query.job_id, projects, cluster=query.cluster, hints=query.hints, on_start=show_scope
        )
        # The next update must come last.
        await asyncio.gather(*updates, return_exceptions=True)
        return result, searched


def _job_target(query: SearchQuery, found: ClusterRef) -> JobTarget:
    ref = JobRef(project_id=found.project.id, cluster_name=found.cluster, job_id=query.job_id)
    return JobTarget(ref=ref, asked_in=query.asked_in)
