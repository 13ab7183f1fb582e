"""Opens the picker dialog, and updates it after each selection."""

import asyncio
import difflib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from bot.atlas import AtlasError, ClusterNotFound, ReadItems, WrongClusterKind
from bot.cancellation.errors import CancellationError
from bot.services.projects import Project
from bot.slack import ids, mrkdwn
from bot.slack.blockkit import View
from bot.slack.command import views as command_views
from bot.slack.command.grammar import closest_keyword
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.flow import Dialogs
from bot.slack.dialog.metadata import JobTarget, PickerState
from bot.slack.errors import DirectoryError, sentence_for
from bot.slack.payloads import Actor
from bot.slack.picker import views as picker_views
from bot.slack.private_reply import ReplyTarget
from bot.tasks import cancel_and_wait

Update = Callable[[View], Awaitable[None]]

#: Seconds for reading clusters for a suggestion, or before a trigger is used.
SUGGESTION_TIMEOUT = 1.5

#: Seconds after which the pickers are shown before Atlas has answered.
LOADING_DELAY = 0.7

#: Seconds for reading the note below the pickers.
NOTE_TIMEOUT = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PickerQuery:
    """The initial selection of a picker dialog.

    Attributes:
        project: the project, if it was typed or the bot knows only one.
        word: the name of a cluster or of a project.
        asked_in: the channel of the command.
    """

    project: Project | None = None
    word: str | None = None
    asked_in: str


@dataclass(frozen=True, slots=True)
class PickerContent:
    """The content of a picker dialog.

    Attributes:
        projects: the projects to select from.
        note: trusted mrkdwn below the pickers; if empty, it is read from Atlas.
    """

    state: PickerState
    projects: Sequence[Project]
    note: str = ""


class Pickers:
    """The dialog in which a person selects a job."""

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._dialogs = Dialogs(deps)
        self._latest_update = deps.picker_updates

    async def open(
        self, query: PickerQuery, actor: Actor, trigger_id: str, reply_to: ReplyTarget
    ) -> None:
        """Open the dialog, then show what this person may select."""
        keyword = closest_keyword(query.word) if query.word else None
        if query.word and keyword and (why := await self._why_no_cluster(query, actor)):
            answer = command_views.with_example(why, keyword)
            await self._deps.replies.send_text(reply_to, answer)
            return
        loading = self._dialogs.open_view(picker_views.loading(), trigger_id, reply_to)
        opening = asyncio.create_task(loading)
        reading = asyncio.create_task(self._initial_content(query, actor))
        if view_id := await opening:
            await self._show_initial(reading, actor, view_id, reply_to)
        else:
            await cancel_and_wait(reading)

    async def select(
        self, state: PickerState, last: str, actor: Actor, view_id: str, reply_to: ReplyTarget
    ) -> None:
        """Update the dialog after a selection; a later selection supersedes this update.

        `last` is the last picker whose selection is still valid.
        """
        with self._superseding(view_id, reply_to) as update:
            try:
                projects = await self._allowed(state, actor)
            except (CancellationError, DirectoryError) as error:
                await update(dialog_views.refused(sentence_for(error)))
                return
            # This also removes the pickers after `last`, with their selections.
            content = PickerContent(state, projects)
            await update(self._loading_view(content, last))
            await self._show(content, actor, update, show_loading=state.ref is None)

    @contextmanager
    def _superseding(self, view_id: str, reply_to: ReplyTarget) -> Iterator[Update]:
        """Supersede earlier updates of a dialog: their views are dropped."""
        token = self._latest_update[view_id] = object()

        async def update(view: View) -> None:
            if self._latest_update.get(view_id) is token:
                await self._dialogs.update(view_id, view, reply_to)

        try:
            yield update
        finally:
            if self._latest_update.get(view_id) is token:
                del self._latest_update[view_id]

    async def _show_initial(
        self,
        reading: asyncio.Task[PickerContent],
        actor: Actor,
        view_id: str,
        reply_to: ReplyTarget,
    ) -> None:
        with self._superseding(view_id, reply_to) as update:
            try:
                content = await reading
            except (CancellationError, DirectoryError) as error:
                await update(dialog_views.refused(sentence_for(error)))
            else:
                # A typed cluster is shown as selected only once it is known to exist.
                unselected = content.state.cluster is None
                await self._show(content, actor, update, show_loading=unselected)

    async def _show(
        self, content: PickerContent, actor: Actor, update: Update, *, show_loading: bool
    ) -> None:
        """Show the content; before it a loading view, if Atlas is slow and `show_loading`."""
        building = asyncio.create_task(self._view(content, actor))
        try:
            done, _ = await asyncio.wait({building}, timeout=LOADING_DELAY)
            if show_loading and not done:
                await update(self._loading_view(content, ids.JOB))
            await update(await building)
        finally:
            building.cancel()

    async def _initial_content(self, query: PickerQuery, actor: Actor) -> PickerContent:
        return await self._resolve_word(query, await self._candidates(query, actor))

    async def _candidates(self, query: PickerQuery, actor: Actor) -> Sequence[Project]:
        candidates = [query.project] if query.project else self._deps.service.projects.all
        return await self._deps.directory.allowed_projects(actor, query.asked_in, candidates)

    async def _resolve_word(self, query: PickerQuery, projects: Sequence[Project]) -> PickerContent:
        """Find out whether the typed word names a project or a cluster, and select it."""
        only = projects[0] if len(projects) == 1 else None
        state = PickerState(project_id=only.id if only else None, asked_in=query.asked_in)
        if not query.word:
            return PickerContent(state, projects)
        named = self._deps.service.projects.find(query.word)
        is_cluster = only is not None and named is not only
        owners = [] if is_cluster else await self._with_cluster(projects, query.word)
        if named in projects and named and not owners:
            return PickerContent(replace(state, project_id=named.id), projects)
        if only or len(owners) == 1:
            project = only or owners[0]
            state = replace(state, project_id=project.id, cluster=query.word)
            return PickerContent(state, projects)
        return PickerContent(state, projects, _ambiguous_cluster(query.word, owners))

    async def _why_no_cluster(self, query: PickerQuery, actor: Actor) -> str:
        """Check, while the trigger is valid, whether a word like a keyword is a cluster's name.

        Returns why the word is not used as one, or an empty string.
        """
        word = query.word or ""
        try:
            projects = await self._candidates(query, actor)
        except (CancellationError, DirectoryError) as error:
            return sentence_for(error)
        known = await self._with_cluster(projects, word)
        return "" if known else f"There is no cluster {mrkdwn.code(word)}."

    async def _with_cluster(self, projects: Sequence[Project], cluster: str) -> list[Project]:
        """Return the projects that have this cluster and answer within the timeout."""
        results = await asyncio.gather(*(self._has_cluster(each, cluster) for each in projects))
        return [project for project, found in zip(projects, results, strict=True) if found]

    async def _has_cluster(self, project: Project, cluster: str) -> bool:
        try:
            return cluster in await self._clusters(project, SUGGESTION_TIMEOUT)
        except (AtlasError, CancellationError):
            return False  # the cluster picker of this project shows the error

    async def _clusters(self, project: Project, timeout: float) -> ReadItems[str]:
        return await self._deps.service.finder.clusters(project.id, timeout=timeout)

    def _loading_view(self, content: PickerContent, last: str) -> View:
        state = content.state
        what = "the restore job" if state.ref else "what can be cancelled"
        note = f"{dialog_views.HOURGLASS} Looking up {what} …"
        policy = self._deps.service.policy_of(state.project_id or "")
        return picker_views.view(state, content.projects, policy, note, last=last)

    async def _allowed(self, state: PickerState, actor: Actor) -> list[Project]:
        return await self._deps.directory.allowed_projects(
            actor, state.asked_in, self._deps.service.projects.all
        )

    async def _view(self, content: PickerContent, actor: Actor) -> View:
        state, projects = content.state, content.projects
        project = next((each for each in projects if each.id == state.project_id), None)
        policy = project.policy if project else None
        if project and state.ref:
            job = JobTarget(ref=state.ref, asked_in=state.asked_in)
            details = await self._dialogs.job_view(job, actor)
            return picker_views.with_details(details, state, projects, policy)
        if project is None:
            note = " ".join(filter(None, [content.note, "Choose a project first."]))
            return picker_views.view(state, projects, policy, note)
        try:
            note = content.note or await self._note(state, project)
        except (ClusterNotFound, WrongClusterKind) as error:
            note = await self._no_cluster(state, project, error)
            state = replace(state, cluster=None)
        except (AtlasError, CancellationError) as error:
            note = f":warning: {mrkdwn.escape(str(error))}"
        return picker_views.view(state, projects, policy, note)

    async def _note(self, state: PickerState, project: Project) -> str:
        """Count what can be selected next; reading it fills the cache for the options."""
        if state.cluster is None:
            clusters = await self._clusters(project, NOTE_TIMEOUT)
            count = f"{len(clusters)} clusters" if len(clusters) != 1 else "1 cluster"
            note = f"{mrkdwn.one_line(project.name)} has {count}. Choose one."
            return f"{note}{_unread(clusters.unread_text('cluster'))}"
        jobs = await self._deps.service.finder.jobs(project.id, state.cluster, timeout=NOTE_TIMEOUT)
        counts = {0: "No restore job", 1: "1 restore job"}
        count = counts.get(len(jobs), f"{len(jobs)} restore jobs")
        note = f"{count} of {mrkdwn.code(state.cluster)} can be cancelled now."
        return f"{note}{_unread(jobs.unread_text('job'))}"

    async def _no_cluster(self, state: PickerState, project: Project, error: AtlasError) -> str:
        name = state.cluster or ""
        problem = f":warning: {mrkdwn.code(name)}: {mrkdwn.escape(str(error))}"
        try:
            clusters = await self._clusters(project, SUGGESTION_TIMEOUT)
        except (AtlasError, CancellationError):
            return problem
        similar = [mrkdwn.code(each) for each in difflib.get_close_matches(name, clusters)]
        return f"{problem} Did you mean {mrkdwn.join(similar)}?" if similar else problem


def _unread(text: str) -> str:
    return f" :warning: {text}." if text else ""


def _ambiguous_cluster(cluster: str, owners: Sequence[Project]) -> str:
    """Say that no project or several have this cluster (mrkdwn)."""
    if not owners:
        return f":warning: No project has a cluster {mrkdwn.code(cluster)}."
    projects = mrkdwn.join(mrkdwn.one_line(project.name) for project in owners)
    return f"Several projects have a cluster {mrkdwn.code(cluster)}: {projects}."
