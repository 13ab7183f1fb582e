"""Encodes the `private_metadata` of dialogs: the job, its shown details, the selections."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bot.atlas import InvalidName, JobRef
from bot.cancellation.lifecycle import JobFingerprint
from bot.slack import ids
from bot.slack.blockkit import OPTION_TEXT, OPTION_VALUE, cut
from bot.slack.command.grammar import job_value, parse_job_value
from bot.slack.payloads import decode_metadata, encode_metadata, input_of

#: Rises when the meaning of a field changes: dialogs opened by an earlier version are refused.
VERSION = 1

#: Longer project names are cut; the ids identify the project.
MAX_NAME_LENGTH = 200
MAX_REASON_LENGTH = 300


class UnreadableDialog(ValueError):
    """This dialog was opened by another version of the bot; please type the command again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTarget:
    """The job to cancel, and the channel in which it was requested.

    Attributes:
        project_name: empty until the rights of the person are checked.
    """

    ref: JobRef
    asked_in: str
    project_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogState:
    """The state of a dialog that shows a job: enough to submit it.

    Attributes:
        shown: the job's fingerprint.
        card_channel: the channel for the card.
        because: why the card goes to another channel than configured, if it does.
    """

    target: JobTarget
    shown: JobFingerprint
    card_channel: str
    because: str | None = None


class _Strict(BaseModel):
    # All texts together must fit into METADATA when they are encoded again.
    model_config = ConfigDict(strict=True, str_max_length=400)


class _Target(_Strict):
    version: Literal[1]
    project: str
    cluster: str
    job: str
    name: str
    asked_in: str

    def to_target(self) -> JobTarget:
        ref = JobRef(project_id=self.project, cluster_name=self.cluster, job_id=self.job)
        return JobTarget(ref=ref, project_name=self.name, asked_in=self.asked_in)


class _Shown(_Strict):
    """The fields of `JobFingerprint`."""

    delivery_type: str
    snapshot_id: str
    snapshot_time: AwareDatetime | None
    cancellable: bool
    target: str | None
    link_is_live: bool
    expires_at: AwareDatetime | None


class _State(_Target):
    shown: _Shown
    card: str
    because: str | None


def encode_target(target: JobTarget) -> str:
    return encode_metadata(_target_values(target))


def encode_state(state: DialogState) -> str:
    shown = _Shown.model_construct(**asdict(state.shown)).model_dump(mode="json")
    because = cut(state.because, MAX_REASON_LENGTH) if state.because else None
    values = {"shown": shown, "card": state.card_channel, "because": because}
    return encode_metadata(_target_values(state.target) | values)


def read_target(view: Mapping[str, Any]) -> JobTarget:
    """Read the job of a view; raises `UnreadableDialog`."""
    try:
        return _Target.model_validate_json(_metadata(view)).to_target()
    except (ValidationError, InvalidName) as error:
        raise UnreadableDialog from error


def read_state(view: Mapping[str, Any]) -> DialogState:
    """Read the state of a view with a job's details; raises `UnreadableDialog`."""
    try:
        values = _State.model_validate_json(_metadata(view))
        target = values.to_target()
    except (ValidationError, InvalidName) as error:
        raise UnreadableDialog from error
    return DialogState(
        target=target,
        shown=JobFingerprint(**dict(values.shown)),
        card_channel=values.card,
        because=values.because,
    )


def _metadata(view: Mapping[str, Any]) -> str:
    return str(view.get("private_metadata") or "")


def _target_values(target: JobTarget) -> dict[str, Any]:
    return {
        "version": VERSION,
        "project": target.ref.project_id,
        "cluster": target.ref.cluster_name,
        "job": target.ref.job_id,
        "name": cut(target.project_name, MAX_NAME_LENGTH),
        "asked_in": target.asked_in,
    }


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
    """The selections in a picker dialog; each needs the one before it.

    Attributes:
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
    """Return the value that is selected in a select."""
    value = (input_of(view, block_id).get("selected_option") or {}).get("value")
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
