"""Encodes the `private_metadata` of dialogs: the job, its shown details, the selections."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from bot.atlas import JobRef
from bot.cancellation.lifecycle import JobFingerprint
from bot.slack import ids
from bot.slack.grammar import job_value, parse_job_value
from bot.slack.payloads import decode_metadata, encode_metadata, input_of

T = TypeVar("T")


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
class SearchTarget:
    """The job to search, in clusters of the typed name if there is one, and the channel."""

    job_id: str
    cluster: str | None = None
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
_SEARCH = TypeAdapter(SearchTarget)
_STATE = TypeAdapter(DialogState)


def encode_target(target: JobTarget | SearchTarget) -> str:
    """Encode the metadata of a dialog with a search, a job, or with its details."""
    return encode_metadata(to_jsonable_python(target))


def read_target(view: Mapping[str, Any]) -> JobTarget:
    """Read the job of a view; raises `UnreadableDialog`."""
    return _read(_TARGET, view)


def read_search(view: Mapping[str, Any]) -> SearchTarget | None:
    """Read the search of a view; None if the view is another dialog."""
    with suppress(UnreadableDialog):
        return _read(_SEARCH, view)
    return None


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
NO_JOB_SELECTED = "Choose a download first; its details are shown before anything is done."
DETAILS_NOT_SHOWN = (
    "The details of this download are not shown yet. Wait until they are, then submit again."
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
        if not (self.project_id and self.cluster and self.job_id):
            return None
        return JobRef(project_id=self.project_id, cluster_name=self.cluster, job_id=self.job_id)


_PICKER = TypeAdapter(PickerState)


def encode_picker(state: PickerState, details: Mapping[str, Any] | None = None) -> str:
    """Encode the metadata; `details` is the metadata of the job's details, if they are shown."""
    return encode_metadata({**(details or {}), PICKER_KEY: True, **asdict(state)})


def read_picker(view: Mapping[str, Any]) -> PickerState | None:
    """Read the state of a picker dialog; None if the view is another dialog."""
    with suppress(UnreadableDialog):
        return _read(_PICKER, view) if PICKER_KEY in decode_metadata(view) else None
    return None


def selected_value(view: Mapping[str, Any], block_id: str) -> str | None:
    value = (input_of(view, block_id).get("selected_option") or {}).get("value")
    return str(value) if value and value != MESSAGE_VALUE else None


def with_selection(state: PickerState, block_id: str, value: str, label: str = "") -> PickerState:
    """Return the state after a selection, which clears the later ones."""
    selected = None if value == MESSAGE_VALUE else value
    cleared = replace(state, job_id=None, label=None)
    if block_id == ids.PROJECT:
        return replace(cleared, project_id=selected, cluster=None)
    if block_id == ids.CLUSTER:
        return replace(cleared, cluster=selected)
    if (job := parse_job_value(value)) is None:
        return cleared
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
    # The job's input, or the one to fill in before it exists.
    existing = {block.get("block_id") for block in view.get("blocks") or ()}
    inputs = (ids.JOB, ids.CLUSTER, ids.PROJECT)
    first = next((each for each in inputs if each in existing), ids.REASON)
    if selected_value(view, ids.JOB) is None:
        return first, NO_JOB_SELECTED
    if (ref := state.ref) and "shown" in decode_metadata(view):
        shown = (job_value(ref), ref.cluster_name, ref.project_id)
        selected = (selected_value(view, each) for each in inputs)
        if all(value in {None, of} for value, of in zip(selected, shown, strict=True)):
            return None
    return first, DETAILS_NOT_SHOWN
