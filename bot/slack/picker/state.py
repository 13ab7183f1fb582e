"""What was picked so far in a dialog with pickers, kept in its metadata."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bot.atlas import InvalidName, JobRef
from bot.cancellation.request_context import current_request_id
from bot.slack import ids
from bot.slack.blockkit import cut
from bot.slack.command.grammar import OpenJob, parse
from bot.slack.payloads import with_request

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Marks the metadata of a dialog with pickers; with a job's details it is that of any other.
MARK = "picker"

#: The value of an option that only says something.
NOTHING = "-"

#: Slack's limits of an option's value and of its text, in characters: nothing of ours is longer.
VALUE, LABEL = 150, 75

UNCHOSEN = "Choose a restore job first; its details are shown before anything is done."
OUTDATED = "Its details are not on show yet. Wait a moment, look at them, then submit again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What was picked: each needs the one before it.

    Attributes:
        project_id: the project, or None while it is not chosen.
        cluster: the cluster's name.
        job_id: the restore job.
        label: how the job was called where it was picked.
        asked_in: the channel of the command.
    """

    project_id: str | None = None
    cluster: str | None = None
    job_id: str | None = None
    label: str | None = None
    asked_in: str

    @property
    def ref(self) -> JobRef | None:
        """The job, once everything is chosen."""
        if not (self.project_id and self.cluster and self.job_id):
            return None
        try:
            return JobRef(project_id=self.project_id, cluster_name=self.cluster, job_id=self.job_id)
        except InvalidName:
            return None


def write_choice(choice: Choice, seen: str = "") -> str:
    """Write the metadata; `seen` is that of the job's details, when they are on show."""
    values = {
        MARK: True,
        "project": choice.project_id,
        "cluster": choice.cluster,
        "job": choice.job_id,
        "label": choice.label,
        "asked_in": choice.asked_in,
    }
    known = json.loads(seen) if seen else {}
    values = with_request(known | values, current_request_id())
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def read_choice(view: Mapping[str, Any]) -> Choice | None:
    """Read a view's choice; None for a dialog without pickers."""
    values = _values(view)
    if not values.get(MARK):
        return None
    return Choice(
        project_id=_text(values.get("project")),
        cluster=_text(values.get("cluster")),
        job_id=_text(values.get("job")),
        label=_text(values.get("label")),
        asked_in=_text(values.get("asked_in")) or "",
    )


def chosen_in(view: Mapping[str, Any], block_id: str) -> str | None:
    """Read the value that is chosen in a select whose action id is its block id."""
    values = (view.get("state") or {}).get("values") or {}
    element = (values.get(block_id) or {}).get(block_id) or {}
    value = (element.get("selected_option") or {}).get("value")
    return str(value) if value and value != NOTHING else None


def job_value(ref: JobRef) -> str:
    """Write the value of a job's option: what a person would type."""
    return f"{ref.project_id} {ref.cluster_name} {ref.job_id}"


def with_pick(choice: Choice, block_id: str, value: str, label: str = "") -> Choice:
    """Note a pick; what hung on an earlier one is forgotten."""
    picked = None if value == NOTHING or len(value) > VALUE else value
    if block_id == ids.PROJECT:
        return Choice(project_id=picked, asked_in=choice.asked_in)
    if block_id == ids.CLUSTER:
        return Choice(project_id=choice.project_id, cluster=picked, asked_in=choice.asked_in)
    job = parse(picked or "")
    if not isinstance(job, OpenJob):
        return replace(choice, job_id=None, label=None)
    return Choice(
        project_id=job.project,
        cluster=job.cluster,
        job_id=job.job_id,
        label=cut(label, LABEL) or None,
        asked_in=choice.asked_in,
    )


def not_ready(view: Mapping[str, Any]) -> tuple[str, str] | None:
    """Say why a submitted view may not act yet, and at which input; None when it may.

    The person may have picked another job a moment ago: only what is both picked and on show,
    with its details, may be cancelled.
    """
    choice = read_choice(view)
    if choice is None:
        return None
    picked = chosen_in(view, ids.JOB)
    if picked is None:
        return _first_input(view), UNCHOSEN
    ref = choice.ref
    if ref is None or "shown" not in _values(view) or picked != job_value(ref):
        return _first_input(view), OUTDATED
    same_cluster = chosen_in(view, ids.CLUSTER) in {ref.cluster_name, None}
    same_project = chosen_in(view, ids.PROJECT) in {ref.project_id, None}
    return None if same_cluster and same_project else (_first_input(view), OUTDATED)


def _first_input(view: Mapping[str, Any]) -> str:
    """Return the job's input, or the one that must be filled before there is one."""
    there = {block.get("block_id") for block in view.get("blocks") or ()}
    asked = (ids.JOB, ids.CLUSTER, ids.PROJECT, ids.REASON)
    return next((each for each in asked if each in there), ids.REASON)


def _values(view: Mapping[str, Any]) -> dict[str, Any]:
    try:
        values = json.loads(str(view.get("private_metadata") or ""))
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) <= VALUE else None
