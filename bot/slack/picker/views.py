"""Builds the picker dialog, and the options of its pickers."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from bot.atlas import JobRef, JobState, RestoreJob, created_at
from bot.services.projects import Project
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.dialog.metadata import MESSAGE_VALUE, PickerState, encode_picker
from bot.slack.dialog.views import (
    BACK,
    DONE,
    HOURGLASS,
    modal,
    read_button,
    reason_input,
    submit_label,
)
from bot.slack.grammar import job_value
from bot.slack.payloads import decode_metadata

#: Slack's limit of options in a list.
MAX_OPTIONS = 100


def view(
    state: PickerState,
    projects: Sequence[Project],
    note: str,
    *,
    last: str = ids.JOB,
    failed: bool = False,
) -> View:
    """Build the dialog without a job's details.

    `note` is trusted mrkdwn. The selections of the pickers after `last` are lost. `failed` adds a
    button that reads again.
    """
    blocks = [*_pickers(state, projects, last), blockkit.section(note, block_id=ids.DETAILS)]
    if failed:
        blocks.append(read_button("Try again"))
    return _with_submit(blocks, state, projects)


def error(note: str, state: PickerState) -> View:
    """Show why rights could not be read (mrkdwn), with a button to try again."""
    blocks = [blockkit.section(f":warning: {note}"), read_button("Try again")]
    return modal(blocks, private_metadata=encode_picker(state))


def with_details(details: View, state: PickerState, projects: Sequence[Project]) -> View:
    """Add the pickers to a job's dialog, so that another job can be selected."""
    blocks = _pickers(state, projects)
    for block in details["blocks"]:
        # The job picker has the block id of the details.
        renamed = {"block_id": ids.DETAILS} if block.get("block_id") == ids.JOB else {}
        blocks.append(block | renamed)
    shown = decode_metadata(details) if "submit" in details else None
    return _with_submit(blocks, state, projects, shown)


def _with_submit(
    blocks: list[Block],
    state: PickerState,
    projects: Sequence[Project],
    details: Mapping[str, Any] | None = None,
) -> View:
    """Build the dialog; a submission is accepted only with the metadata of a job's `details`.

    There is nothing to submit if the bot cancels neither in the selected project nor, without one,
    in any. Slack requires the button for inputs.
    """
    selected = [each for each in projects if each.id == state.project_id]
    if projects and all(each.why_read_only(state.cluster) for each in selected or projects):
        return modal(blocks, close=BACK, submit=DONE, private_metadata=encode_picker(state))
    possible = (each.policies.possible(state.cluster) for each in selected or projects)
    policies = [*chain.from_iterable(possible)]
    if not any(block.get("block_id") == ids.REASON for block in blocks):
        policy = policies[0] if len(policies) == 1 else None
        blocks = [*blocks, reason_input(policy)]  # keeps the text that was typed
    metadata = encode_picker(state, details)
    return modal(blocks, close=BACK, submit=submit_label(policies), private_metadata=metadata)


def loading() -> View:
    return modal([blockkit.section(f"{HOURGLASS} Looking up what can be cancelled …")], close=BACK)


def _pickers(state: PickerState, projects: Sequence[Project], last: str = ids.JOB) -> list[Block]:
    selects = [_project(state, projects)] if len(projects) > 1 else []
    external = {"type": "external_select", "min_query_length": 0}
    if state.project_id and last != ids.PROJECT:
        selected = option(state.cluster, state.cluster) if state.cluster else None
        hint = "Type a part of its name"
        selects.append(_input(ids.CLUSTER, "Cluster", hint, external, selected))
    if state.project_id and state.cluster and last == ids.JOB:
        ref = state.ref
        selected = option(state.label or _short_id(ref.job_id), job_value(ref)) if ref else None
        hint = "Choose a download"
        selects.append(_input(ids.JOB, "Download", hint, external, selected))
    return selects


def _project(state: PickerState, projects: Sequence[Project]) -> Block:
    options = [option(project.name, project.id) for project in projects]
    element: Block = {"type": "static_select", "options": options}
    if len(options) > MAX_OPTIONS:
        groups = (options[at : at + MAX_OPTIONS] for at in range(0, len(options), MAX_OPTIONS))
        parts = [{"label": blockkit.plain(f"{n}"), "options": g} for n, g in enumerate(groups, 1)]
        element = {"type": "static_select", "option_groups": parts}
    selected = next((each for each in options if each["value"] == state.project_id), None)
    return _input(ids.PROJECT, "Project", "Choose one", element, selected)


def _input(
    block_id: str, label: str, placeholder: str, element: Block, selected: Block | None
) -> Block:
    initial = {"initial_option": selected} if selected else {}
    element = element | {"placeholder": blockkit.plain(placeholder)} | initial
    # Slack sends each selection immediately.
    return blockkit.input_block(block_id, label, element, dispatch_action=True)


def option(label: str, value: str, description: str = "") -> Block:
    label = blockkit.cut(mrkdwn.strip_invisible(label), blockkit.OPTION_TEXT) or "-"
    built: Block = {"text": blockkit.plain(label), "value": value}
    if description:
        built["description"] = blockkit.plain(blockkit.cut(description, blockkit.OPTION_TEXT))
    return built


def message_option(text: str) -> list[Block]:
    """Build an option that is only a message; selecting it clears the picker."""
    return [option(text, MESSAGE_VALUE)]


def job_options(
    jobs: Iterable[tuple[JobRef, RestoreJob]], typed: str, now: datetime
) -> list[Block]:
    """Return the jobs whose label, description or id match what was typed, in the given order."""
    shown = [(label(job, now), ref, age(job, now)) for ref, job in jobs]
    matching = [each for each in shown if _matches(f"{each[0]} {each[2]} {each[1].job_id}", typed)]
    return _limited([option(text, job_value(ref), more) for text, ref, more in matching])


def cluster_options(clusters: Iterable[str], typed: str) -> list[Block]:
    """Return the clusters that match what was typed, those that start with it first."""
    names = [name for name in clusters if _matches(name, typed)]
    first = next(iter(_words(typed)), "")
    names.sort(key=lambda name: not name.casefold().startswith(first))
    return _limited([option(name, name) for name in names])


def _matches(text: str, typed: str) -> bool:
    return all(word in " ".join(_words(text)) for word in _words(typed))


def _words(text: str) -> list[str]:
    return mrkdwn.strip_invisible(unicodedata.normalize("NFKC", text)).casefold().split()


def _limited(options: list[Block]) -> list[Block]:
    if len(options) <= MAX_OPTIONS:
        return options
    kept = options[: MAX_OPTIONS - 1]
    more = len(options) - len(kept)
    return [*kept, *message_option(f"… and {more} more: type a part of the name")]


_LINK_STATES = {JobState.LINK_LIVE: "link live", JobState.LINK_USED: "link used"}


def label(job: RestoreJob, now: datetime) -> str:
    """Describe a job in plain text, which has no date tokens."""
    snapshot = "snapshot of unknown time"
    if taken := job.snapshot_time:
        utc = taken.astimezone(UTC)
        year = "" if taken.year == now.year else f" {taken.year}"
        snapshot = f"snapshot {utc:%-d %b}{year} {utc:%H:%M} UTC, {_span(now - taken)} old"
    state = _LINK_STATES.get(job.state, "no link yet")
    return f"{snapshot} · {state} · {_short_id(job.id)}"


def age(job: RestoreJob, now: datetime) -> str:
    """Say since when a job's link is or was live, or when it was started; empty if unknown."""
    if job.live_since and not job.is_over:
        span = _span(now - job.live_since)
        return f"link live for {span}" if job.link_is_live else f"link went live {span} ago"
    # Atlas does not document the time in an id: an implausible one is not shown.
    earliest, began = job.snapshot_time or now - timedelta(days=30), created_at(job.id)
    return f"started {_span(now - began)} ago" if earliest <= began <= now else ""


def _span(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"  # noqa: PLR2004 - two days


def _short_id(job_id: str) -> str:
    return f"…{job_id[-4:]}"
