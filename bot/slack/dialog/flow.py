"""Opens the dialog, and updates it: loading, then a search, a choice, a job or an error."""

import asyncio
import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import structlog

from bot.atlas import AtlasError, ClusterNotFound, JobRef, ReadItems, RestoreJob, WrongClusterKind
from bot.cancellation.errors import CancellationError
from bot.services.job_search import NOT_FOUND_ERRORS, Search
from bot.services.projects import Project
from bot.slack import job_lines, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.channels import ChannelUnknown, NoPlacement
from bot.slack.client import Links
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.deployment import with_example
from bot.slack.dialog import views
from bot.slack.dialog.calls import Dialog
from bot.slack.dialog.job_details import JobReader
from bot.slack.dialog.state import DialogState, cluster_picker, job_picker, project_picker
from bot.slack.dialog.views import Content
from bot.slack.errors import TRANSIENT, sentence_for
from bot.slack.grammar import closest_keyword
from bot.slack.lists import cluster_names, how_many, known_jobs
from bot.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

CHOICE_TIMEOUT = 15.0  #: seconds for reading what can be selected next
#: Shown by a dialog if the process stops before what it is about was read.
STOPPING = "The bot is being restarted: try again in a moment."
IN_ATLAS = "If this lasts, cancel the download in Atlas, on the cluster's Backup page."
#: What a dialog shows as an error.
FAILURES = (NoPlacement, ChannelUnknown, AtlasError, CancellationError)


async def open_dialog(deps: Dependencies, state: DialogState, by: Interaction) -> None:
    """Open the dialog with the next call to Slack, while what it is about is being read."""
    flow = Flow(Dialog(deps, by), state)
    word = state.cluster if state.has_pickers else None
    keyword = closest_keyword(word) if word else None
    if word and keyword and (why := await flow.why_no_cluster(word)):
        await deps.replies.send_text(by, with_example(why, keyword))
    else:
        await flow.run()


async def update_dialog(
    deps: Dependencies,
    state: DialogState,
    by: Interaction,
    view: Mapping[str, Any],
    kept: list[Block],
) -> None:
    """Read again what an open dialog is about; it keeps these pickers."""
    await Flow(Dialog.of(deps, by, view), state, kept).run()


@dataclass(slots=True)
class Flow:
    """Shows that something is being read, reads it, and shows it."""

    dialog: Dialog
    state: DialogState
    pickers: list[Block] = field(default_factory=list)  #: of which each has a selection
    projects: Sequence[Project] = field(init=False)  #: that the person may use
    reader: JobReader | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        known = self.dialog.deps.service.projects.all  # until rights are known
        self.projects = [each for each in known if self.state.project_id in {None, each.id}]

    async def run(self) -> None:
        dialog = self.dialog
        reading = asyncio.create_task(self._read())
        try:
            if await self._show(views.loading(self.state)):
                await self._show(await reading)
                with suppress(asyncio.CancelledError):  # the details stay
                    await self._show_late_starter()
        except asyncio.CancelledError:
            # The process is stopping; there is time left for one more update.
            if not dialog.view_id:
                raise
            await self._show(views.error(self.state, STOPPING))
        finally:
            await cancel_and_wait(reading)

    async def _show(self, content: Content) -> bool:
        selected = [each for each in self.projects if each.id == self.state.project_id]
        view = views.view(self.state, content, self.pickers, selected or self.projects)
        return await self.dialog.show(view)

    async def _show_late_starter(self) -> None:
        """Show the starter for which the details did not wait, where the feed has one."""
        jobs, reader = self.dialog.deps.service.jobs, self.reader
        with suppress(*FAILURES):
            if reader and reader.feed_is_late and await jobs.record_late_starter(reader.ref):
                content = await reader.content()
                if content.shown:
                    await self._show(content)

    async def _read(self) -> Content:
        """Read what the dialog is about; return what it shows below its pickers."""
        try:
            if ref := self.state.ref:
                return await self._job(ref)
            return await (self._choice() if self.state.has_pickers else self._search())
        except FAILURES as error:
            log.info("dialog shows an error", error=type(error).__name__)
            return failure(self.state, error, self.dialog.deps.links, await self._link(error))

    async def _link(self, error: Exception) -> str:
        """Say how long is left for a job that Atlas does not show now, if it is on record."""
        ref = None if isinstance(error, NOT_FOUND_ERRORS) else self.state.ref
        known = await self.dialog.deps.job_of(ref) if ref else None
        return job_lines.link_line(known) if known and known.id else ""

    async def _job(self, ref: JobRef) -> Content:
        dialog = self.dialog
        self.reader = JobReader(dialog.deps, ref, self.state, dialog.by.actor)
        return await self.reader.content()

    async def _search(self) -> Content:
        """Search the job; recorded jobs are asked first."""
        state, deps = self.state, self.dialog.deps
        job_id = state.job_id or ""
        projects = await self._allowed()
        known = await deps.service.jobs.recorded_cluster(job_id, projects, state.cluster)
        result = Search(found=known)
        if known is None:
            result = await deps.finder.search(job_id, projects, cluster=state.cluster)
        if result.found is None:
            return views.not_found(state, result, _why_left_out(projects, state.cluster))
        ref = result.found.job(job_id)
        self.state = state.about(ref)
        return await self._job(ref)

    async def _allowed(self) -> list[Project]:
        """Return those of the projects that the person may use; raises the refusal without one."""
        deps, actor = self.dialog.deps, self.dialog.by.actor
        asked_in, is_click = self.state.asked_in, self.state.is_click
        self.projects = await deps.allowed_projects(
            actor, asked_in, self.projects, is_click=is_click
        )
        return [*self.projects]

    async def _choice(self) -> Content:
        """Add the next picker, and count its options."""
        projects, note = await self._allowed(), ""
        if not self.pickers:
            note = await self._choose_project(projects)
        project = next((each for each in projects if each.id == self.state.project_id), None)
        if project is None:
            return views.note(" ".join(filter(None, [note, "Choose a project first."])))
        if self.state.cluster is None:
            return await self._choose_cluster(project)
        return await self._choose_job(project, self.state.cluster)

    async def _choose_project(self, projects: Sequence[Project]) -> str:
        """Select the only project, or that with the typed cluster; return why not (mrkdwn)."""
        project, cluster = projects[0] if len(projects) == 1 else None, self.state.cluster
        owners: Sequence[Project] = []
        if cluster and project is None:
            owners = await self._with_cluster(projects, cluster)
            project = owners[0] if len(owners) == 1 else None
        self.state = replace(
            self.state,
            project_id=project.id if project else None,
            cluster=cluster if project else None,
        )
        if len(projects) > 1:
            self._add(project_picker(projects, self.state.project_id))
        return _ambiguous_cluster(cluster, owners) if cluster and project is None else ""

    async def _choose_cluster(self, project: Project) -> Content:
        finder = self.dialog.deps.finder
        clusters = await finder.clusters(project, timeout=CHOICE_TIMEOUT)
        name, unread = mrkdwn.one_line(project.name), _unread(clusters.unread_text("cluster"))
        if not clusters:
            return views.note(f"{name} has no cluster.{unread}", again=True)
        self._add(cluster_picker(clusters))
        return views.note(
            f"{name} has {mrkdwn.count(len(clusters), 'cluster')}. Choose one.{unread}"
        )

    async def _choose_job(self, project: Project, cluster: str) -> Content:
        names, jobs = await asyncio.gather(
            cluster_names(self.dialog.deps, project), self._jobs(project, cluster)
        )
        name = mrkdwn.code(cluster)
        if isinstance(jobs, AtlasError):
            self.state = replace(self.state, cluster=None)
            if names:
                self._add(cluster_picker(names))
            meant = mrkdwn.did_you_mean(difflib.get_close_matches(cluster, names))
            why = f"{name}: {mrkdwn.escape(str(jobs))}"
            if isinstance(jobs, ClusterNotFound) and names:
                project_name = mrkdwn.one_line(project.name)
                why = f"{project_name} has no cluster {name}: choose one of its clusters."
            why = f":warning: {why}{meant}"
            return views.note(why, again=not self.pickers)
        self._add(cluster_picker(names, cluster))
        if jobs:
            read = [(JobRef(project.id, cluster, job.id), job) for job in jobs]
            known = await known_jobs(self.dialog.deps, read)
            self._add(job_picker([(known[ref], job) for ref, job in read], datetime.now(UTC)))
        is_read_only = project.why_read_only(cluster) is not None
        found = how_many(len(jobs), f" of {name}", is_read_only=is_read_only)
        return views.note(f"{found}.{_unread(jobs.unread_text('job'))}", again=not jobs)

    async def _jobs(self, project: Project, cluster: str) -> ReadItems[RestoreJob] | AtlasError:
        """Read the jobs of a cluster, or the answer of Atlas that it has no such cluster."""
        finder = self.dialog.deps.finder
        try:
            return await finder.jobs(project, cluster, timeout=CHOICE_TIMEOUT)
        except (ClusterNotFound, WrongClusterKind) as error:
            return error

    def _add(self, picker: Block) -> None:
        if all(each["block_id"] != picker["block_id"] for each in self.pickers):
            self.pickers.append(picker)

    async def _with_cluster(self, projects: Sequence[Project], cluster: str) -> list[Project]:
        """Return the projects that have this cluster and answer within the timeout."""
        read = (cluster_names(self.dialog.deps, each) for each in projects)
        names = await asyncio.gather(*read)
        return [each for each, known in zip(projects, names, strict=True) if cluster in known]

    async def why_no_cluster(self, word: str) -> str:
        """Check, while the trigger is valid, whether a word like a keyword is a cluster's name.

        Returns why the word is not used as one, or an empty string: also if that takes too long.
        """
        try:
            async with asyncio.timeout(self.dialog.deps.reason_check_timeout):
                known = await self._with_cluster(await self._allowed(), word)
        except TimeoutError:
            return ""
        except CancellationError as error:
            return sentence_for(error)
        return "" if known else f"There is no cluster {mrkdwn.code(word)}."


def _why_left_out(projects: Sequence[Project], cluster: str | None) -> str:
    """Say who may ask in clusters that the search left out, with the rights of the person."""
    found = ([each.refusal(cluster)] if cluster else each.refusals.values() for each in projects)
    refusal = next(filter(None, chain.from_iterable(found)), None)
    return sentence_for(refusal) if refusal else ""


def failure(state: DialogState, error: Exception, links: Links, link: str = "") -> Content:
    """Show an error: one that may pass with a button to try again."""
    match error:
        case AtlasError():
            answer = mrkdwn.atlas_answer(error.status, error.code)
            advice = "" if isinstance(error, NOT_FOUND_ERRORS) else IN_ATLAS
            return views.error(state, str(error), answer, link, advice)
        case NoPlacement():
            return views.refused(str(error))
    if isinstance(error, (*TRANSIENT, ChannelUnknown)):
        return views.error(state, str(error), "", link, IN_ATLAS)
    return views.refused(sentence_for(error, links))


def _unread(text: str) -> str:
    return f" :warning: {text}." if text else ""


def _ambiguous_cluster(cluster: str, owners: Sequence[Project]) -> str:
    if not owners:
        return f":warning: No project has a cluster {mrkdwn.code(cluster)}."
    projects = mrkdwn.join(mrkdwn.one_line(project.name) for project in owners)
    return f"Several projects have a cluster {mrkdwn.code(cluster)}: {projects}."
