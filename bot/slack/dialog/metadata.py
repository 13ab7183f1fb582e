"""What a dialog keeps in `private_metadata`: the job, and what was shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from bot.atlas import InvalidName, JobRef
from bot.cancellation.lifecycle import JobFingerprint
from bot.slack.blockkit import cut
from bot.slack.payloads import encode_metadata

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
    """The job to cancel, and where it was requested.

    Attributes:
        ref: the job.
        project_name: the display name of its project.
        asked_in: the channel of the command.
    """

    ref: JobRef
    project_name: str
    asked_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogState:
    """What the dialog showed: enough to submit it.

    Attributes:
        target: the job.
        shown: its fingerprint.
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
