"""What a dialog carries in `private_metadata`, written and read strictly."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.atlas import InvalidName, JobRef
from bot.cancellation.lifecycle import JobFingerprint
from bot.cancellation.request_context import current_request_id
from bot.slack.blockkit import METADATA, cut
from bot.slack.payloads import with_request

#: Rises when the meaning of a field changes: dialogs that are open during an update are told.
VERSION = 1

#: Longer names are cut; the ids say which project it is.
LONGEST_NAME = 200
LONGEST_REASON = 300

#: Characters of any text in it: all of them together must fit in again.
LONGEST_TEXT = 400


class UnreadableDialog(ValueError):
    """This dialog was opened by another version of the bot; please type the command again."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobTarget:
    """Which job was asked for, and where.

    Attributes:
        ref: the job.
        project_name: what people call its project.
        asked_in: the channel of the command.
    """

    ref: JobRef
    project_name: str
    asked_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogState:
    """What the dialog showed: enough to submit it.

    Attributes:
        asked: which job.
        shown: its fingerprint.
        card_channel: where the card is to stand.
        because: why that is not where it should be, if it is not.
    """

    asked: JobTarget
    shown: JobFingerprint
    card_channel: str
    because: str | None = None


def write_asked(asked: JobTarget) -> str:
    return _write(_asked_values(asked))


def write_seen(seen: DialogState) -> str:
    values = {
        "shown": _shown_values(seen.shown),
        "card": seen.card_channel,
        "because": cut(seen.because, LONGEST_REASON) if seen.because else None,
    }
    return _write(_asked_values(seen.asked) | values)


def read_asked(text: str) -> JobTarget:
    """Read either kind; raises `UnreadableDialog`."""
    return _asked(_read(text))


def read_seen(text: str) -> DialogState:
    """Read what `write_seen` wrote; raises `UnreadableDialog`."""
    values = _read(text)
    try:
        return DialogState(
            asked=_asked(values),
            shown=_shown(values["shown"]),
            card_channel=_text(values["card"]),
            because=_maybe(values["because"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableDialog from error


def _write(values: dict[str, Any]) -> str:
    values = with_request(values, current_request_id())
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    if len(text) > METADATA:
        raise ValueError(f"{len(text)} characters do not fit into private_metadata")
    return text


def _read(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableDialog from error
    if not isinstance(values, dict) or values.get("version") != VERSION:
        raise UnreadableDialog
    return values


def _asked_values(asked: JobTarget) -> dict[str, Any]:
    return {
        "version": VERSION,
        "project": asked.ref.project_id,
        "cluster": asked.ref.cluster_name,
        "job": asked.ref.job_id,
        "name": cut(asked.project_name, LONGEST_NAME),
        "asked_in": asked.asked_in,
    }


def _asked(values: dict[str, Any]) -> JobTarget:
    try:
        ref = JobRef(
            project_id=_text(values["project"]),
            cluster_name=_text(values["cluster"]),
            job_id=_text(values["job"]),
        )
        name, asked_in = _text(values["name"]), _text(values["asked_in"])
    except (KeyError, TypeError, ValueError, InvalidName) as error:
        raise UnreadableDialog from error
    return JobTarget(ref=ref, project_name=name, asked_in=asked_in)


def _shown_values(shown: JobFingerprint) -> dict[str, Any]:
    return {
        "type": shown.delivery_type,
        "snapshot": shown.snapshot_id,
        "taken": shown.snapshot_time.isoformat() if shown.snapshot_time else None,
        "cancellable": shown.cancellable,
        "target": shown.target,
        "live": shown.link_is_live,
        "expires": shown.expires_at.isoformat() if shown.expires_at else None,
    }


def _shown(values: dict[str, Any]) -> JobFingerprint:
    return JobFingerprint(
        delivery_type=_text(values["type"]),
        snapshot_id=_text(values["snapshot"]),
        snapshot_time=_moment(values["taken"]),
        cancellable=_flag(values["cancellable"]),
        target=_maybe(values["target"]),
        link_is_live=_flag(values["live"]),
        expires_at=_moment(values["expires"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    if len(value) > LONGEST_TEXT:
        raise ValueError("longer than any text of ours")
    return value


def _maybe(value: object) -> str | None:
    return None if value is None else _text(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not yes or no")
    return value


def _moment(value: object) -> datetime | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(_text(value))
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
