"""Drives the dialog with pickers: what can be picked, and what follows a pick."""

from __future__ import annotations

import asyncio
import difflib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.atlas import AtlasError, ClusterNotFound, WrongClusterKind
from bot.cancellation.errors import CancellationError
from bot.slack import ids, mrkdwn
from bot.slack.access import allowed_projects
from bot.slack.command import views as helping
from bot.slack.command.grammar import nearest
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import JobTarget
from bot.slack.error_messages import sentence_for
from bot.slack.errors import DirectoryTrouble
from bot.slack.picker import views as picker_views
from bot.slack.picker.state import Choice
from bot.tasks import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from bot.cancellation.projects import Project
    from bot.slack.blockkit import View
    from bot.slack.bolt_app import Dependencies
    from bot.slack.payloads import Actor
    from bot.slack.private_reply import ReplyTarget

    Show = Callable[[View, ReplyTarget], Awaitable[None]]

#: Seconds for what is only a suggestion, or must be known while a trigger lives.
FOR_A_HINT = 1.5

#: Seconds after which the pickers are shown while Atlas is still asked.
SOON = 0.7

#: Seconds that Atlas may take for what the dialog says below the selects.
FOR_A_NOTE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PickerQuery:
    """With what a dialog with pickers begins.

    Attributes:
        project: the project, where it was named or there is one only.
        word: a cluster's name, or a project's.
        asked_in: the channel of the command.
    """

    project: Project | None = None
    word: str | None = None
    asked_in: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a dialog with pickers is to show.

    Attributes:
        choice: what was picked.
        projects: what can be picked.
        note: what to say (mrkdwn of our own making), where that is known already.
    """

    choice: Choice
    projects: Sequence[Project]
    note: str


class Pickers:
    """The dialog in which a job is picked."""

    def __init__(self, deps: Dependencies) -> None:
        self._service = deps.service
        self._replies = deps.replies
        self._directory = deps.directory
        self._dialogs = deps.dialogs
        self._latest: dict[str, object] = {}

    async def open(
        self, start: PickerQuery, actor: Actor, trigger_id: str, reply_to: ReplyTarget
    ) -> None:
        """Open the dialog at once, then offer what this person may pick."""
        meant = nearest(start.word) if start.word else None
        if start.word and meant and not await self._is_cluster(start):
            said = f"There is no cluster {mrkdwn.code(start.word)}."
            await self._replies.send_text(reply_to, helping.type_instead(said, meant))
            return
        opening = asyncio.create_task(
            self._dialogs.opened(picker_views.loading(), trigger_id, reply_to)
        )
        beginning = asyncio.create_task(self._begun(start, actor))
        if view_id := await opening:
            await self._begin(beginning, actor, view_id, reply_to)
        else:
            await cancel_and_wait(beginning)

    async def pick(
        self, choice: Choice, upto: str, actor: Actor, view_id: str, reply_to: ReplyTarget
    ) -> None:
        """Show what follows a pick; a later pick in the same dialog wins.

        Args:
            choice: with the pick.
            upto: the last picker whose pick still holds.
            actor: who picked.
            view_id: in which dialog.
            reply_to: where the person is.
        """
        with self._turn(view_id) as show:
            try:
                projects = await self._projects(choice, actor)
            except (CancellationError, DirectoryTrouble) as error:
                await show(dialog_views.refused(sentence_for(error)), reply_to)
                return
            # What was picked for another cluster before is dropped with its picker.
            await show(self._waiting(choice, projects, upto), reply_to)
            early = choice.ref is None
            await self._follow(Drawing(choice, projects, ""), actor, show, reply_to, early=early)

    @contextmanager
    def _turn(self, view_id: str) -> Iterator[Show]:
        """Take the dialog over from an earlier turn, which shows nothing any more."""
        turn = self._latest[view_id] = object()

        async def show(view: View, reply_to: ReplyTarget) -> None:
            if self._latest.get(view_id) is turn:
                await self._dialogs.show(view_id, view, reply_to)

        try:
            yield show
        finally:
            if self._latest.get(view_id) is turn:
                del self._latest[view_id]

    async def _begin(
        self, beginning: asyncio.Task[Drawing], actor: Actor, view_id: str, reply_to: ReplyTarget
    ) -> None:
        with self._turn(view_id) as show:
            try:
                drawing = await beginning
            except (CancellationError, DirectoryTrouble) as error:
                await show(dialog_views.refused(sentence_for(error)), reply_to)
            else:
                # A cluster that was typed is shown as picked only when it is known to be one.
                early = drawing.choice.cluster is None
                await self._follow(drawing, actor, show, reply_to, early=early)

    async def _follow(
        self, drawing: Drawing, actor: Actor, show: Show, reply_to: ReplyTarget, *, early: bool
    ) -> None:
        """Show the pickers with what there is to say; `early` ones without, where that lasts."""
        drawn = asyncio.create_task(self._drawn(drawing, actor))
        try:
            done, _ = await asyncio.wait({drawn}, timeout=SOON)
            if early and not done:
                await show(self._waiting(drawing.choice, drawing.projects, ids.JOB), reply_to)
            await show(await drawn, reply_to)
        finally:
            drawn.cancel()

    async def _begun(self, start: PickerQuery, actor: Actor) -> Drawing:
        among = [start.project] if start.project else self._service.projects.all
        projects = await allowed_projects(self._directory, actor, start.asked_in, among)
        return await self._placed(start, projects)

    async def _placed(self, start: PickerQuery, projects: Sequence[Project]) -> Drawing:
        """Find out what the word is that the dialog begins with, and what to say about it."""
        only = projects[0] if len(projects) == 1 else None
        choice = Choice(project_id=only.id if only else None, asked_in=start.asked_in)
        if not start.word:
            return Drawing(choice, projects, "")
        named = self._service.projects.find(start.word)
        known = only is not None and named is not only
        having = [] if known else await self._having(projects, start.word)
        if named in projects and named and not having:
            return Drawing(replace(choice, project_id=named.id), projects, "")
        if only or len(having) == 1:
            place = only or having[0]
            placed = replace(choice, project_id=place.id, cluster=start.word)
            return Drawing(placed, projects, "")
        return Drawing(choice, projects, _which(start.word, having))

    async def _is_cluster(self, start: PickerQuery) -> bool:
        """Find out, while the trigger lives, whether what looks like a slip is a name after all."""
        projects = [start.project] if start.project else self._service.projects.all
        return bool(await self._having(projects, start.word or ""))

    async def _having(self, projects: Sequence[Project], cluster: str) -> list[Project]:
        """Return the projects that have a cluster of this name, as far as can be told soon."""
        having = await asyncio.gather(*(self._has(each, cluster) for each in projects))
        return [project for project, has in zip(projects, having, strict=True) if has]

    async def _has(self, project: Project, cluster: str) -> bool:
        try:
            return cluster in await self._service.finder.clusters(project.id, patience=FOR_A_HINT)
        except (AtlasError, CancellationError):
            return False  # the project's own picker says why

    def _waiting(self, choice: Choice, projects: Sequence[Project], upto: str) -> View:
        """Show the pickers while it is looked up what there is to say."""
        what = "the restore job" if choice.ref else "what can be cancelled"
        note = f":hourglass_flowing_sand: Looking up {what} …"
        policy = self._service.policy_of(choice.project_id or "")
        return picker_views.view(choice, projects, policy, note, upto=upto)

    async def _projects(self, choice: Choice, actor: Actor) -> list[Project]:
        return await allowed_projects(
            self._directory, actor, choice.asked_in, self._service.projects.all
        )

    async def _drawn(self, drawing: Drawing, actor: Actor) -> View:
        choice, projects, note = drawing.choice, drawing.projects, drawing.note
        project = self._service.projects.find(choice.project_id or "")
        policy = project.policy if project else None
        if project and choice.ref:
            asked = JobTarget(ref=choice.ref, project_name=project.name, asked_in=choice.asked_in)
            return picker_views.around(
                await self._dialogs.find(asked, actor), choice, projects, policy
            )
        if project is None:
            said = " ".join(filter(None, [note, "Choose a project first."]))
            return picker_views.view(choice, projects, policy, said)
        try:
            said = note or await self._note(choice, project)
        except (ClusterNotFound, WrongClusterKind) as error:
            said = await self._no_cluster(choice, project, error)
            choice = replace(choice, cluster=None)
        except (AtlasError, CancellationError) as error:
            said = f":warning: {mrkdwn.escape(str(error))}"
        return picker_views.view(choice, projects, policy, said)

    async def _note(self, choice: Choice, project: Project) -> str:
        """Say what there is to pick next; asking for it warms what the select will offer."""
        if choice.cluster is None:
            clusters = await self._service.finder.clusters(project.id, patience=FOR_A_NOTE)
            count = f"{len(clusters)} clusters" if len(clusters) != 1 else "1 cluster"
            return f"{mrkdwn.line(project.name)} has {count}. Choose one."
        jobs = await self._service.finder.jobs(project.id, choice.cluster, patience=FOR_A_NOTE)
        count = {0: "No restore job", 1: "1 restore job"}.get(
            len(jobs), f"{len(jobs)} restore jobs"
        )
        return f"{count} of {mrkdwn.code(choice.cluster)} can be cancelled now."

    async def _no_cluster(self, choice: Choice, project: Project, error: AtlasError) -> str:
        said = f":warning: {mrkdwn.code(choice.cluster or '')}: {mrkdwn.escape(str(error))}"
        try:
            clusters = await self._service.finder.clusters(project.id, patience=FOR_A_HINT)
        except (AtlasError, CancellationError):
            return said
        near = [
            mrkdwn.code(name) for name in difflib.get_close_matches(choice.cluster or "", clusters)
        ]
        return f"{said} Did you mean {mrkdwn.listed(near)}?" if near else said


def _which(word: str, having: Sequence[Project]) -> str:
    """Say in which projects a cluster is, where that is not one (mrkdwn)."""
    if not having:
        return f":warning: No project has a cluster {mrkdwn.code(word)}."
    projects = mrkdwn.listed(mrkdwn.line(project.name) for project in having)
    return f"Several projects have a cluster {mrkdwn.code(word)}: {projects}."
