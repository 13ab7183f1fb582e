"""What was selected so far in a picker dialog, kept in its metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bot.atlas import InvalidName, JobRef
from bot.slack import ids
from bot.slack.blockkit import OPTION_TEXT, OPTION_VALUE, cut
from bot.slack.command.grammar import job_value, parse_job_value
from bot.slack.payloads import decode_metadata, encode_metadata

#: The key that marks the metadata of a picker dialog.
PICKER_KEY = "picker"

#: The value of an option that is only a message, such as "Choose a project first".
MESSAGE_VALUE = "-"

NO_JOB_SELECTED = "Choose a restore job first; its details are shown before anything is done."
DETAILS_NOT_SHOWN = (
    "The details of this restore job are not shown yet. Wait until they are, then submit again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PickerState:
    """What was selected; each selection needs the one before it.

    Attributes:
        project_id: the project, or None until one is selected.
        cluster: the cluster's name.
        job_id: the restore job.
        label: the text of the job's option.
        asked_in: the channel of the command.
    """

    project_id: str | None = None
    cluster: str | None = None
    job_id: str | None = None
    label: str | None = None
    asked_in: str

    @property
    def ref(self) -> JobRef | None:
        """The job, once project, cluster and job are selected."""
        if not (self.project_id and self.cluster and self.job_id):
            return None
        try:
            return JobRef(project_id=self.project_id, cluster_name=self.cluster, job_id=self.job_id)
        except InvalidName:
            return None


def encode_picker(state: PickerState, details: Mapping[str, Any] | None = None) -> str:
    """Encode the metadata; `details` is the metadata of the job's details, if they are shown."""
    return encode_metadata(
        {
            **(details or {}),
            PICKER_KEY: True,
            "project": state.project_id,
            "cluster": state.cluster,
            "job": state.job_id,
            "label": state.label,
            "asked_in": state.asked_in,
        }
    )


def read_picker(view: Mapping[str, Any]) -> PickerState | None:
    """Read the state of a view; None for a dialog without pickers."""
    values = decode_metadata(view)
    if not values.get(PICKER_KEY):
        return None
    return PickerState(
        project_id=_text(values.get("project")),
        cluster=_text(values.get("cluster")),
        job_id=_text(values.get("job")),
        label=_text(values.get("label")),
        asked_in=_text(values.get("asked_in")) or "",
    )


def selected_value(view: Mapping[str, Any], block_id: str) -> str | None:
    """Read the value of a select whose action id is its block id."""
    values = (view.get("state") or {}).get("values") or {}
    element = (values.get(block_id) or {}).get(block_id) or {}
    value = (element.get("selected_option") or {}).get("value")
    return str(value) if value and value != MESSAGE_VALUE else None


def with_selection(state: PickerState, block_id: str, value: str, label: str = "") -> PickerState:
    """Return the state after a selection, which clears the later ones."""
    selected = None if value == MESSAGE_VALUE or len(value) > OPTION_VALUE else value
    if block_id == ids.PROJECT:
        return PickerState(project_id=selected, asked_in=state.asked_in)
    if block_id == ids.CLUSTER:
        return PickerState(project_id=state.project_id, cluster=selected, asked_in=state.asked_in)
    job = parse_job_value(selected or "")
    if job is None:
        return replace(state, job_id=None, label=None)
    return PickerState(
        project_id=job.project,
        cluster=job.cluster,
        job_id=job.job_id,
        label=cut(label, OPTION_TEXT) or None,
        asked_in=state.asked_in,
    )


def submit_problem(view: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the block and the sentence of what blocks a submission, or None.

    Selecting another job updates the details a moment later. A job may be cancelled only when it
    is both selected and shown with its details.
    """
    state = read_picker(view)
    if state is None:
        return None
    selected = selected_value(view, ids.JOB)
    if selected is None:
        return _first_input(view), NO_JOB_SELECTED
    ref = state.ref
    if ref is None or "shown" not in decode_metadata(view) or selected != job_value(ref):
        return _first_input(view), DETAILS_NOT_SHOWN
    same_cluster = selected_value(view, ids.CLUSTER) in {ref.cluster_name, None}
    same_project = selected_value(view, ids.PROJECT) in {ref.project_id, None}
    return None if same_cluster and same_project else (_first_input(view), DETAILS_NOT_SHOWN)


def _first_input(view: Mapping[str, Any]) -> str:
    """Return the job's input, or the one to fill in before it exists."""
    existing = {block.get("block_id") for block in view.get("blocks") or ()}
    inputs = (ids.JOB, ids.CLUSTER, ids.PROJECT, ids.REASON)
    return next((each for each in inputs if each in existing), ids.REASON)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= OPTION_VALUE else None
