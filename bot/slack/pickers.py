"""Drives the dialog with pickers: what can be picked, and what follows a pick."""

from __future__ import annotations

import asyncio
import difflib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bot.atlas import AtlasError, ClusterNotFound, WrongClusterKind
from bot.cancellation.errors import CancellationError
from bot.slack.blocks import dialog, picker, text
from bot.slack.blocks import help as helping
from bot.slack.choice import Choice
from bot.slack.command import nearest
from bot.slack.errors import DirectoryTrouble
from bot.slack.metadata import Asked
from bot.slack.sentences import sentence_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.cancellation.projects import Project
    from bot.slack.admission import Admission
    from bot.slack.blocks.kit import View
    from bot.slack.dialogs import Dialogs
    from bot.slack.shared import Shared
    from bot.slack.telling import Spot
    from bot.slack.who import Who

#: Seconds for what is only a suggestion, or must be known while a trigger lives.
FOR_A_HINT = 1.5

#: Seconds that Atlas may take for what the dialog says below the selects.
FOR_A_NOTE = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """With what a dialog with pickers begins.

    Attributes:
        project: the project, where it was named or there is one only.
        word: a cluster's name, or a project's.
        asked_in: the channel of the command.
    """

    project: Project | None = None
    word: str | None = None
    asked_in: str


class Pickers:
    """The dialog in which a job is picked."""

    def __init__(self, shared: Shared, admission: Admission, dialogs: Dialogs) -> None:
        self._desk = shared.desk
        self._telling = shared.telling
        self._admission = admission
        self._dialogs = dialogs
        self._latest: dict[str, object] = {}

    async def open(self, start: Start, who: Who, trigger_id: str, spot: Spot) -> None:
        """Open the dialog at once, then offer what this person may pick."""
        meant = nearest(start.word) if start.word else None
        if start.word and meant and not await self._is_cluster(start):
            said = f"There is no cluster {text.code(start.word)}."
            await self._telling.tell(spot, helping.type_instead(said, meant))
            return
        opening = asyncio.create_task(self._dialogs.opened(picker.loading(), trigger_id, spot))
        beginning = asyncio.create_task(self._begun(start, who))
        view_id = await opening
        view = await beginning
        if view_id:
            await self._dialogs.show(view_id, view, spot)

    async def pick(self, choice: Choice, upto: str, who: Who, view_id: str, spot: Spot) -> None:
        """Show what follows a pick; a later pick in the same dialog wins.

        Args:
            choice: with the pick.
            upto: the last picker whose pick still holds.
            who: who picked.
            view_id: in which dialog.
            spot: where the person is.
        """
        turn = self._latest[view_id] = object()
        try:
            waiting = await self._waiting(choice, upto, who)
            if self._latest.get(view_id) is turn:
                await self._dialogs.show(view_id, waiting, spot)
            view = await self._after(choice, who)
            if self._latest.get(view_id) is turn:
                await self._dialogs.show(view_id, view, spot)
        finally:
            if self._latest.get(view_id) is turn:
                del self._latest[view_id]

    async def _begun(self, start: Start, who: Who) -> View:
        try:
            among = [start.project] if start.project else self._desk.projects.all
            projects = await self._admission.admit(who, start.asked_in, among)
        except (CancellationError, DirectoryTrouble) as error:
            return dialog.refused(sentence_for(error))
        choice, note = await self._placed(start, projects)
        return await self._drawn(choice, projects, who, note)

    async def _placed(self, start: Start, projects: Sequence[Project]) -> tuple[Choice, str]:
        """Find out what the word is that the dialog begins with, and what to say about it."""
        only = projects[0] if len(projects) == 1 else None
        choice = Choice(project_id=only.id if only else None, asked_in=start.asked_in)
        if not start.word:
            return choice, ""
        having = [project for project in projects if await self._has(project, start.word)]
        named = self._desk.projects.find(start.word)
        if named in projects and named and not having:
            return replace(choice, project_id=named.id), ""
        if only or len(having) == 1:
            place = only or having[0]
            return replace(choice, project_id=place.id, cluster=start.word), ""
        return choice, _which(start.word, having)

    async def _is_cluster(self, start: Start) -> bool:
        """Find out, while the trigger lives, whether what looks like a slip is a name after all."""
        projects = [start.project] if start.project else self._desk.projects.all
        having = await asyncio.gather(*(self._has(each, start.word or "") for each in projects))
        return any(having)

    async def _has(self, project: Project, cluster: str) -> bool:
        try:
            return cluster in await self._desk.finder.clusters(project.id, patience=FOR_A_HINT)
        except (AtlasError, CancellationError):
            return False  # the project's own picker says why

    async def _waiting(self, choice: Choice, upto: str, who: Who) -> View:
        """Show that the pick has arrived; what was picked for another one before is dropped."""
        try:
            projects = await self._projects(choice, who)
        except (CancellationError, DirectoryTrouble) as error:
            return dialog.refused(sentence_for(error))
        what = "the restore job" if choice.ref else "what can be cancelled"
        note = f":hourglass_flowing_sand: Looking up {what} …"
        policy = self._desk.policy_of(choice.project_id or "")
        return picker.view(choice, projects, policy, note, upto=upto)

    async def _after(self, choice: Choice, who: Who) -> View:
        try:
            projects = await self._projects(choice, who)
        except (CancellationError, DirectoryTrouble) as error:
            return dialog.refused(sentence_for(error))
        return await self._drawn(choice, projects, who, "")

    async def _projects(self, choice: Choice, who: Who) -> list[Project]:
        return await self._admission.admit(who, choice.asked_in, self._desk.projects.all)

    async def _drawn(
        self, choice: Choice, projects: Sequence[Project], who: Who, note: str
    ) -> View:
        project = self._desk.projects.find(choice.project_id or "")
        policy = project.policy if project else None
        if project and choice.ref:
            asked = Asked(ref=choice.ref, project_name=project.name, asked_in=choice.asked_in)
            return picker.around(await self._dialogs.find(asked, who), choice, projects, policy)
        if project is None:
            said = " ".join(filter(None, [note, "Choose a project first."]))
            return picker.view(choice, projects, policy, said)
        try:
            said = note or await self._note(choice, project)
        except (ClusterNotFound, WrongClusterKind) as error:
            said = await self._no_cluster(choice, project, error)
            choice = replace(choice, cluster=None)
        except (AtlasError, CancellationError) as error:
            said = f":warning: {text.escape(str(error))}"
        return picker.view(choice, projects, policy, said)

    async def _note(self, choice: Choice, project: Project) -> str:
        """Say what there is to pick next; asking for it warms what the select will offer."""
        if choice.cluster is None:
            clusters = await self._desk.finder.clusters(project.id, patience=FOR_A_NOTE)
            count = f"{len(clusters)} clusters" if len(clusters) != 1 else "1 cluster"
            return f"{text.line(project.name)} has {count}. Choose one."
        jobs = await self._desk.finder.jobs(project.id, choice.cluster, patience=FOR_A_NOTE)
        count = {0: "No restore job", 1: "1 restore job"}.get(
            len(jobs), f"{len(jobs)} restore jobs"
        )
        return f"{count} of {text.code(choice.cluster)} can be cancelled now."

    async def _no_cluster(self, choice: Choice, project: Project, error: AtlasError) -> str:
        said = f":warning: {text.code(choice.cluster or '')}: {text.escape(str(error))}"
        try:
            clusters = await self._desk.finder.clusters(project.id, patience=FOR_A_HINT)
        except (AtlasError, CancellationError):
            return said
        near = [
            text.code(name) for name in difflib.get_close_matches(choice.cluster or "", clusters)
        ]
        return f"{said} Did you mean {text.listed(near)}?" if near else said


def _which(word: str, having: Sequence[Project]) -> str:
    """Say in which projects a cluster is, where that is not one (mrkdwn)."""
    if not having:
        return f":warning: No project has a cluster {text.code(word)}."
    projects = text.listed(text.line(project.name) for project in having)
    return f"Several projects have a cluster {text.code(word)}: {projects}."
