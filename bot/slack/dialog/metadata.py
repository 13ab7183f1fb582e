"""Encodes the `private_metadata` of dialogs: the job, its shown details, the selections."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from bot.atlas import InvalidName, JobRef
from bot.cancellation.lifecycle import JobFingerprint
from bot.slack import ids
from bot.slack.blockkit import OPTION_TEXT, OPTION_VALUE, cut
from bot.slack.command.grammar import job_value, parse_job_value
from bot.slack.payloads import decode_metadata, encode_metadata, input_of

T = TypeVar("T")

#: Longer project names are cut; the ids identify the project.
MAX_NAME_LENGTH = 200
MAX_REASON_LENGTH = 300


class UnreadableDialog(ValueError):
    """This dialog was opened by another version of the bot; please type the command again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTarget:
    """The job to cancel, and the channel of the command."""

    ref: JobRef
    asked_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogState(JobTarget):
    """The state of a dialog that shows a job: enough to submit it.

    `because` is why the card goes to another channel than configured, if it does.
    """

    project_name: str
    shown: JobFingerprint
    card_channel: str
    because: str | None = None


_TARGET = TypeAdapter(JobTarget)
_STATE = TypeAdapter(DialogState)


def encode_target(target: JobTarget) -> str:
    return encode_metadata(_TARGET.dump_python(target, mode="json"))


def encode_state(state: DialogState) -> str:
    name = cut(state.project_name, MAX_NAME_LENGTH)
    because = state.because and cut(state.because, MAX_REASON_LENGTH)
    state = replace(state, project_name=name, because=because)
    return encode_metadata(_STATE.dump_python(state, mode="json"))


def read_target(view: Mapping[str, Any]) -> JobTarget:
    """Read the job of a view; raises `UnreadableDialog`."""
    return _read(_TARGET, view)


def read_state(view: Mapping[str, Any]) -> DialogState:
    """Read the state of a view with a job's details; raises `UnreadableDialog`."""
    state = _read(_STATE, view)
    times = (state.shown.snapshot_time, state.shown.expires_at)
    if any(time and time.tzinfo is None for time in times):
        raise UnreadableDialog
    return state


def _read(adapter: TypeAdapter[T], view: Mapping[str, Any]) -> T:
    try:
        return adapter.validate_json(str(view.get("private_metadata") or ""), strict=True)
    except ValidationError as error:
        raise UnreadableDialog from error


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
    """The selections in a picker dialog, each after the one it needs; `label` is the job's text."""

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
    return encode_metadata({**(details or {}), PICKER_KEY: True, **asdict(state)})


def read_picker(view: Mapping[str, Any]) -> PickerState | None:
    """Read the state of a view; None for a dialog without pickers."""
    values = decode_metadata(view)
    if not values.get(PICKER_KEY):
        return None
    texts = {field.name: _text(values.get(field.name)) for field in fields(PickerState)}
    return PickerState(asked_in=texts.pop("asked_in") or "", **texts)


def selected_value(view: Mapping[str, Any], block_id: str) -> str | None:
    """Return the value that is selected in a select."""
    value = (input_of(view, block_id).get("selected_option") or {}).get("value")
    return str(value) if value and value != MESSAGE_VALUE else None


def with_selection(state: PickerState, block_id: str, value: str, label: str = "") -> PickerState:
    """Return the state after a selection, which clears the later ones."""
    selected = None if value == MESSAGE_VALUE or len(value) > OPTION_VALUE else value
    cleared = replace(state, job_id=None, label=None)
    if block_id == ids.PROJECT:
        return replace(cleared, project_id=selected, cluster=None)
    if block_id == ids.CLUSTER:
        return replace(cleared, cluster=selected)
    if (job := parse_job_value(selected or "")) is None:
        return cleared
    label = cut(label, OPTION_TEXT)
    return replace(
        state, project_id=job.project, cluster=job.cluster, job_id=job.job_id, label=label or None
    )


def submit_problem(view: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the block and the sentence of what blocks a submission, or None.

    Selecting another job updates the details a moment later. A job may be cancelled only when it
    is both selected and shown with its details.
    """
    state = read_picker(view)
    if state is None:
        return None
    if selected_value(view, ids.JOB) is None:
        return _first_input(view), NO_JOB_SELECTED
    ref = state.ref
    if ref is None or "shown" not in decode_metadata(view):
        return _first_input(view), DETAILS_NOT_SHOWN
    shown = {ids.JOB: job_value(ref), ids.CLUSTER: ref.cluster_name, ids.PROJECT: ref.project_id}
    selected = {block_id: selected_value(view, block_id) or shown[block_id] for block_id in shown}
    return None if selected == shown else (_first_input(view), DETAILS_NOT_SHOWN)


def _first_input(view: Mapping[str, Any]) -> str:
    """Return the job's input, or the one to fill in before it exists."""
    existing = {block.get("block_id") for block in view.get("blocks") or ()}
    inputs = (ids.JOB, ids.CLUSTER, ids.PROJECT, ids.REASON)
    return next((each for each in inputs if each in existing), ids.REASON)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= OPTION_VALUE else None
