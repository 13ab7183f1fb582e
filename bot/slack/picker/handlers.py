"""Opens the dialog with pickers, loads their options, and updates it after each selection."""

import asyncio
import difflib
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.atlas import AtlasError, ClusterNotFound, JobRef, WrongClusterKind, is_cluster_name
from bot.cancellation.errors import CancellationError, RightsNotChecked
from bot.services.projects import Project
from bot.slack import ids, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.dependencies import Dependencies
from bot.slack.deployment import with_example
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.flow import Dialog, JobReader, reload_job, search_again
from bot.slack.dialog.metadata import (
    MESSAGE_VALUE,
    JobTarget,
    PickerState,
    UnreadableDialog,
    read_picker,
    read_search,
    read_target,
    selected_value,
    with_selection,
)
from bot.slack.errors import other_version, sentence_for
from bot.slack.grammar import closest_keyword
from bot.slack.lists import cluster_names
from bot.slack.payloads import actor_of
from bot.slack.picker import views as picker_views
from bot.slack.picker.views import cluster_options, job_options, message_option
from bot.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

#: The pickers, each after the one that it depends on.
PICKERS = (ids.PROJECT, ids.CLUSTER, ids.JOB)

# Seconds
OPTIONS_TIMEOUT = 2.0  # for loading options; Slack waits 3
SUGGESTION_TIMEOUT = 1.5  # for reading clusters for a suggestion, or before a trigger is used
LOADING_DELAY = 0.7  # after which the pickers are shown before Atlas has answered
NOTE_TIMEOUT = 15.0  # for reading the note below the pickers
TIMED_OUT = "Atlas has not answered yet: open this list again in a moment"


@dataclass(frozen=True, slots=True)
class PickerQuery:
    """The initial selection of a picker dialog; `word` is the name of a cluster or a project."""

    project: Project | None = None
    word: str | None = None


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def opened(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(options=await _options(deps, body))

    app.options(ids.CLUSTER)(opened)
    app.options(ids.JOB)(opened)
    app.action(ids.TRY_AGAIN)(partial(_try_again, deps))
    for block_id in PICKERS:
        app.action({"block_id": block_id, "action_id": block_id})(partial(_select, deps))


async def _try_again(deps: Dependencies, ack: AsyncAck, body: dict[str, Any]) -> None:
    await ack()
    view, by = body.get("view") or {}, deps.interaction(body)
    if picker := read_picker(view):
        update_picker(deps, picker, ids.JOB, body)
        return
    if search := read_search(view):
        deps.start(search_again(deps, search, by, view), "search", by)
        return
    try:
        job = read_target(view)
    except UnreadableDialog as error:
        deps.reply(body, str(error))
    else:
        deps.start(reload_job(deps, job, by, view), "reload", by)


async def _select(deps: Dependencies, ack: AsyncAck, body: dict[str, Any]) -> None:
    await ack()
    state = read_picker(body.get("view") or {})
    if state is None:
        deps.reply(body, other_version("dialog"))
        return
    action = body["actions"][0]
    option = action.get("selected_option") or {}
    block_id, value = str(action["block_id"]), str(option.get("value") or MESSAGE_VALUE)
    label = str((option.get("text") or {}).get("text") or "")
    # After a message option, the last valid selection is the one before this picker's.
    last = max(0, PICKERS.index(block_id) - (value == MESSAGE_VALUE))
    update_picker(deps, with_selection(state, block_id, value, label), PICKERS[last], body)


def update_picker(
    deps: Dependencies, state: PickerState, last: str, body: Mapping[str, Any]
) -> None:
    by = deps.interaction(body)
    log.info("selected in picker", picker=last, cluster=state.cluster, job=state.job_id)
    updating = Picker(Dialog.of(deps, by, body["view"])).select(state, last)
    deps.start(updating, "picker", by)


async def _options(deps: Dependencies, body: Mapping[str, Any]) -> list[Block]:
    """Load the options of a picker, or one option that says why there are none."""
    view: Mapping[str, Any] = body.get("view") or {}
    state = read_picker(view)
    if state is None:
        return message_option("This dialog is from another version of the bot")
    selected = selected_value(view, ids.PROJECT) or state.project_id
    project = deps.service.projects.find(selected) if selected else None
    if project is None:
        return message_option("Choose a project first")
    cluster = selected_value(view, ids.CLUSTER) or state.cluster
    typed, actor = str(body.get("value") or ""), actor_of(body, deps.identity)
    try:
        async with asyncio.timeout(OPTIONS_TIMEOUT):
            await deps.directory.allowed_projects(actor, state.asked_in, [project])
            if body["action_id"] == ids.CLUSTER:
                return await _clusters(deps, project, typed)
            return await _jobs(deps, project, cluster, typed)
    except TimeoutError:
        return message_option(TIMED_OUT)
    except (AtlasError, CancellationError) as error:
        return message_option(str(error))


async def _clusters(deps: Dependencies, project: Project, typed: str) -> list[Block]:
    clusters = await deps.service.finder.clusters(project.id, timeout=OPTIONS_TIMEOUT)
    if not clusters:
        return message_option("This project has no cluster")
    return cluster_options(clusters, typed)


async def _jobs(
    deps: Dependencies, project: Project, cluster: str | None, typed: str
) -> list[Block]:
    if not cluster or not is_cluster_name(cluster):
        return message_option("Choose a cluster first")
    jobs = await deps.service.finder.jobs(project.id, cluster, timeout=OPTIONS_TIMEOUT)
    if not jobs:
        return message_option("No download of this cluster can be cancelled now")
    found = [(JobRef(project.id, cluster, job.id), job) for job in jobs]
    return job_options(found, typed, datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class PickerContent:
    """The content of a picker dialog; an empty `note` (trusted mrkdwn) is read from Atlas."""

    state: PickerState
    projects: Sequence[Project]
    note: str = ""


class Picker:
    """The dialog in which a person selects a job, for one interaction."""

    def __init__(self, dialog: Dialog) -> None:
        self._deps = dialog.deps
        self._by = dialog.by
        self._dialog = dialog

    async def open(self, query: PickerQuery) -> None:
        """Open the dialog, then show what this person may select."""
        keyword = closest_keyword(query.word) if query.word else None
        if query.word and keyword and (why := await self._why_no_cluster(query, query.word)):
            answer = with_example(why, keyword)
            await self._deps.replies.send_text(self._by, answer)
            return
        reading = asyncio.create_task(self._initial_content(query))
        project_id, asked_in = query.project.id if query.project else None, self._by.channel
        state = PickerState(project_id=project_id, cluster=query.word, asked_in=asked_in)
        try:
            if await self._dialog.open(picker_views.loading()):
                await self._show(reading, state)
        finally:
            await cancel_and_wait(reading)

    async def select(self, state: PickerState, last: str) -> None:
        """Update the dialog after a selection; a later selection supersedes this update.

        `last` is the last picker whose selection is still valid.
        """
        await self._show(self._content(state), state, last)

    async def _content(self, state: PickerState) -> PickerContent:
        projects = await self._allowed(state.asked_in)
        if state.project_id is None and len(projects) == 1:  # again, after an error
            state = replace(state, project_id=projects[0].id)
        return PickerContent(state, projects)

    async def _show(
        self, reading: Awaitable[PickerContent], state: PickerState, last: str = ""
    ) -> None:
        """Show the content; before it a loading view, if Atlas is slow or after a selection.

        `state` is for trying again after an error.
        """
        try:
            content = await reading
        except RightsNotChecked as error:
            await self._dialog.update(picker_views.error(sentence_for(error), state))
            return
        except CancellationError as error:
            await self._dialog.update(dialog_views.refused(sentence_for(error)))
            return
        if last:
            # This also removes the pickers after `last`, with their selections.
            await self._dialog.update(self._loading_view(content, last))
        building = asyncio.create_task(self._view(content))
        try:
            done, _ = await asyncio.wait({building}, timeout=LOADING_DELAY)
            # A typed cluster is shown as selected only once it is known to exist.
            if not done and not (content.state.ref if last else content.state.cluster):
                await self._dialog.update(self._loading_view(content, ids.JOB))
            await self._dialog.update(await building)
        finally:
            building.cancel()

    async def _allowed(self, asked_in: str, only: Project | None = None) -> list[Project]:
        candidates = [only] if only else self._deps.service.projects.all
        return await self._deps.directory.allowed_projects(self._by.actor, asked_in, candidates)

    async def _initial_content(self, query: PickerQuery) -> PickerContent:
        """Find out whether the typed word names a project or a cluster, and select it."""
        projects = await self._allowed(self._by.channel, query.project)
        only = projects[0] if len(projects) == 1 else None
        state = PickerState(project_id=only.id if only else None, asked_in=self._by.channel)
        if not query.word:
            return PickerContent(state, projects)
        named = self._deps.service.projects.find(query.word)
        is_cluster = only is not None and named != only
        owners = [] if is_cluster else await self._with_cluster(projects, query.word)
        if named is not None and named in projects and not owners:
            return PickerContent(replace(state, project_id=named.id), projects)
        if only or len(owners) == 1:
            project = only or owners[0]
            state = replace(state, project_id=project.id, cluster=query.word)
            return PickerContent(state, projects)
        return PickerContent(state, projects, _ambiguous_cluster(query.word, owners))

    async def _why_no_cluster(self, query: PickerQuery, word: str) -> str:
        """Check, while the trigger is valid, whether a word like a keyword is a cluster's name.

        Returns why the word is not used as one, or an empty string: also if that takes too long.
        """
        try:
            async with asyncio.timeout(self._deps.reason_check_timeout):
                projects = await self._allowed(self._by.channel, query.project)
                known = await self._with_cluster(projects, word)
        except TimeoutError:
            return ""
        except CancellationError as error:
            return sentence_for(error)
        return "" if known else f"There is no cluster {mrkdwn.code(word)}."

    async def _with_cluster(self, projects: Sequence[Project], cluster: str) -> list[Project]:
        """Return the projects that have this cluster and answer within the timeout."""
        # The cluster picker of a project without an answer shows the error.
        read = (cluster_names(self._deps, each, SUGGESTION_TIMEOUT) for each in projects)
        names = await asyncio.gather(*read)
        return [each for each, known in zip(projects, names, strict=True) if cluster in known]

    def _loading_view(self, content: PickerContent, last: str) -> View:
        state = content.state
        what = "the download" if state.ref else "what can be cancelled"
        note = f"{dialog_views.HOURGLASS} Looking up {what} …"
        return picker_views.view(state, content.projects, note, last=last)

    async def _view(self, content: PickerContent) -> View:
        state, projects = content.state, content.projects
        project = next((each for each in projects if each.id == state.project_id), None)
        if project and state.ref:
            job = JobTarget(ref=state.ref, asked_in=state.asked_in)
            details = await JobReader(self._deps, job, self._by.actor).view()
            return picker_views.with_details(details, state, projects)
        if project is None:
            note = " ".join(filter(None, [content.note, "Choose a project first."]))
            return picker_views.view(state, projects, note)
        try:
            note = content.note or await self._note(state, project)
        except (ClusterNotFound, WrongClusterKind) as error:
            note = await self._no_cluster(state.cluster or "", project, error)
            state = replace(state, cluster=None)
        except (AtlasError, CancellationError) as error:
            note = f":warning: {mrkdwn.escape(str(error))}"
            return picker_views.view(state, projects, note, failed=True)
        return picker_views.view(state, projects, note)

    async def _note(self, state: PickerState, project: Project) -> str:
        """Count what can be selected next; reading it fills the cache for the options."""
        finder = self._deps.service.finder
        if state.cluster is None:
            clusters = await finder.clusters(project.id, timeout=NOTE_TIMEOUT)
            note = f"{mrkdwn.one_line(project.name)} has {mrkdwn.count(len(clusters), 'cluster')}."
            return f"{note} Choose one.{_unread(clusters.unread_text('cluster'))}"
        jobs = await finder.jobs(project.id, state.cluster, timeout=NOTE_TIMEOUT)
        count = mrkdwn.count(len(jobs), "download") if jobs else "No download"
        note = f"{count} of {mrkdwn.code(state.cluster)} can be cancelled now."
        return f"{note}{_unread(jobs.unread_text('job'))}"

    async def _no_cluster(self, name: str, project: Project, error: AtlasError) -> str:
        names = await cluster_names(self._deps, project, SUGGESTION_TIMEOUT)
        meant = mrkdwn.did_you_mean(difflib.get_close_matches(name, names))
        return f":warning: {mrkdwn.code(name)}: {mrkdwn.escape(str(error))}{meant}"


def _unread(text: str) -> str:
    return f" :warning: {text}." if text else ""


def _ambiguous_cluster(cluster: str, owners: Sequence[Project]) -> str:
    """Say that no project or several have this cluster (mrkdwn)."""
    if not owners:
        return f":warning: No project has a cluster {mrkdwn.code(cluster)}."
    projects = mrkdwn.join(mrkdwn.one_line(project.name) for project in owners)
    return f"Several projects have a cluster {mrkdwn.code(cluster)}: {projects}."
