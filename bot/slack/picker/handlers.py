"""Handles the pickers: loads their options, and updates the dialog after a selection."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import structlog
from slack_bolt.async_app import AsyncAck, AsyncApp

from bot.atlas import AtlasError, JobRef, is_cluster_name
from bot.cancellation.errors import CancellationError
from bot.services.projects import Project
from bot.slack import ids
from bot.slack.blockkit import Block
from bot.slack.dependencies import Dependencies
from bot.slack.dialog.metadata import (
    MESSAGE_VALUE,
    PickerState,
    read_picker,
    selected_value,
    with_selection,
)
from bot.slack.errors import DirectoryError, other_version
from bot.slack.payloads import actor_of
from bot.slack.picker import views as picker_views
from bot.slack.picker.flow import Pickers
from bot.slack.private_reply import reply_target_of

Load: TypeAlias = Callable[[Project, PickerState], Awaitable[list[Block]]]

log = structlog.get_logger(__name__)

#: The pickers, each after the one that it depends on.
PICKERS = (ids.PROJECT, ids.CLUSTER, ids.JOB)

#: Seconds for loading options; Slack waits 3.
OPTIONS_TIMEOUT = 2.0

TIMED_OUT = "Atlas has not answered yet: open this list again in a moment"


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def clusters(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(options=await PickerOptions(deps).clusters(body))

    async def jobs(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(options=await PickerOptions(deps).jobs(body))

    async def selected(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _select(deps, body)

    app.options(ids.CLUSTER)(clusters)
    app.options(ids.JOB)(jobs)
    for block_id in PICKERS:
        app.action({"block_id": block_id, "action_id": block_id})(selected)


def _select(deps: Dependencies, body: Mapping[str, Any]) -> None:
    state = read_picker(body.get("view") or {})
    if state is None:
        deps.reply(body, other_version("dialog"))
        return
    action = body["actions"][0]
    option = action.get("selected_option") or {}
    block_id, value = str(action["block_id"]), str(option.get("value") or MESSAGE_VALUE)
    label = str((option.get("text") or {}).get("text") or "")
    state = with_selection(state, block_id, value, label)
    update_picker(deps, state, last_valid_picker(block_id, value), body)


def last_valid_picker(block_id: str, value: str) -> str:
    """Return the last picker whose selection is valid after a selection in `block_id` (pure)."""
    position = PICKERS.index(block_id)
    return PICKERS[max(0, position - 1) if value == MESSAGE_VALUE else position]


def update_picker(
    deps: Dependencies, state: PickerState, last: str, body: Mapping[str, Any]
) -> None:
    """Update the dialog after a selection, in the background."""
    reply_to, actor = reply_target_of(body), actor_of(body, deps.identity)
    log.info("selected in picker", picker=last, cluster=state.cluster, job=state.job_id)
    updating = Pickers(deps).select(state, last, actor, str(body["view"]["id"]), reply_to)
    deps.start(updating, "picker", reply_to)


class PickerOptions:
    """Loads the options of the cluster and the job picker."""

    def __init__(
        self, deps: Dependencies, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._deps = deps
        self._now = now

    async def clusters(self, body: Mapping[str, Any]) -> list[Block]:
        """Return the clusters of the selected project."""

        async def load(project: Project, _state: PickerState) -> list[Block]:
            clusters = await self._deps.service.finder.clusters(project.id, timeout=OPTIONS_TIMEOUT)
            if not clusters:
                return picker_views.message_option("This project has no cluster")
            return picker_views.cluster_options(clusters, _typed(body))

        return await self._options(body, load)

    async def jobs(self, body: Mapping[str, Any]) -> list[Block]:
        """Return the jobs of the selected cluster that can be cancelled."""

        async def load(project: Project, state: PickerState) -> list[Block]:
            cluster = selected_value(body.get("view") or {}, ids.CLUSTER) or state.cluster
            if not cluster or not is_cluster_name(cluster):
                return picker_views.message_option("Choose a cluster first")
            jobs = await self._deps.service.finder.jobs(
                project.id, cluster, timeout=OPTIONS_TIMEOUT
            )
            if not jobs:
                return picker_views.message_option(
                    "No restore job of this cluster can be cancelled now"
                )
            found = [(JobRef(project.id, cluster, job.id), job) for job in jobs]
            return picker_views.job_options(found, _typed(body), self._now())

        return await self._options(body, load)

    async def _options(self, body: Mapping[str, Any], load: Load) -> list[Block]:
        try:
            async with asyncio.timeout(OPTIONS_TIMEOUT):
                return await self._load(body, load)
        except TimeoutError:
            return picker_views.message_option(TIMED_OUT)
        except (AtlasError, CancellationError, DirectoryError) as error:
            return picker_views.message_option(str(error))

    async def _load(self, body: Mapping[str, Any], load: Load) -> list[Block]:
        view: Mapping[str, Any] = body.get("view") or {}
        state = read_picker(view)
        if state is None:
            return picker_views.message_option("This dialog is of another version of the bot")
        selected = selected_value(view, ids.PROJECT) or state.project_id
        project = self._deps.service.projects.find(selected) if selected else None
        if project is None:
            return picker_views.message_option("Choose a project first")
        actor = actor_of(body, self._deps.identity)
        await self._deps.directory.allowed_projects(actor, state.asked_in, [project])
        return await load(project, state)


def _typed(body: Mapping[str, Any]) -> str:
    return str(body.get("value") or "")
