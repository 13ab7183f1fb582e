"""Handles the pickers: loads their options, and updates the dialog after a selection."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

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
from bot.slack.errors import other_version
from bot.slack.payloads import actor_of
from bot.slack.picker.flow import Picker
from bot.slack.picker.views import cluster_options, job_options, message_option

log = structlog.get_logger(__name__)

#: The pickers, each after the one that it depends on.
PICKERS = (ids.PROJECT, ids.CLUSTER, ids.JOB)

#: Seconds for loading options; Slack waits 3.
OPTIONS_TIMEOUT = 2.0

TIMED_OUT = "Atlas has not answered yet: open this list again in a moment"


def register(app: AsyncApp, deps: Dependencies) -> None:
    async def opened(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack(options=await _options(deps, body))

    async def selected(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        _select(deps, body)

    app.options(ids.CLUSTER)(opened)
    app.options(ids.JOB)(opened)
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
    # After a message option, the last valid selection is the one before this picker's.
    last = max(0, PICKERS.index(block_id) - (value == MESSAGE_VALUE))
    update_picker(deps, with_selection(state, block_id, value, label), PICKERS[last], body)


def update_picker(
    deps: Dependencies, state: PickerState, last: str, body: Mapping[str, Any]
) -> None:
    """Update the dialog after a selection, in the background."""
    by = deps.interaction(body)
    log.info("selected in picker", picker=last, cluster=state.cluster, job=state.job_id)
    updating = Picker(deps, by, str(body["view"]["id"])).select(state, last)
    deps.start(updating, "picker", by.reply_to)


async def _options(deps: Dependencies, body: Mapping[str, Any]) -> list[Block]:
    """Load the options of a picker, or one option that says why there are none."""
    view: Mapping[str, Any] = body.get("view") or {}
    state = read_picker(view)
    if state is None:
        return message_option("This dialog is of another version of the bot")
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
        return message_option("No restore job of this cluster can be cancelled now")
    found = [(JobRef(project.id, cluster, job.id), job) for job in jobs]
    return job_options(found, typed, datetime.now(UTC))
