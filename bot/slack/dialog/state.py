"""The state of a dialog, in its `private_metadata`, and its pickers: what may be submitted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from bot.atlas import JobRef, JobState, RestoreJob, created_at, is_cluster_name, is_object_id
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import JobFingerprint
from bot.services.projects import Project
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.blockkit import Block, decode_metadata, encode_metadata, input_of
from bot.slack.grammar import job_value, parse_job_value

#: The pickers, each after the one that it depends on.
PICKERS = (ids.PROJECT, ids.CLUSTER, ids.JOB)
NO_JOB_SELECTED = "Choose a download first; its details are shown before anything is done."
DETAILS_NOT_SHOWN = (
    "The details of this download are not shown yet. Wait until they are, then submit again."
)


class UnreadableDialog(ValueError):
    def __init__(self) -> None:
        super().__init__(
            "This dialog was opened by another version of the bot; please type the command again."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The details that a dialog shows of a job that may be cancelled, and where the card goes."""

    job: JobFingerprint
    card_channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogState:
    """What a dialog is about, and the channel of the command or the click.

    A job without its project or its cluster is searched. With pickers, project, cluster and job
    are selected in this order.
    """

    asked_in: str
    is_click: bool = False  #: a button or a shortcut opened it: no command was typed
    project_id: str | None = None
    cluster: str | None = None
    job_id: str | None = None
    has_pickers: bool = False
    shown: Shown | None = None
    only_closes: bool = False  #: the submit button submits nothing

    @property
    def ref(self) -> JobRef | None:
        """The job, if its cluster and project are known; raises `InvalidName`."""
        if not (self.project_id and self.cluster and self.job_id):
            return None
        return JobRef(project_id=self.project_id, cluster_name=self.cluster, job_id=self.job_id)

    def about(self, ref: JobRef) -> "DialogState":
        project_id, cluster, job_id = ref.project_id, ref.cluster_name, ref.job_id
        return replace(self, project_id=project_id, cluster=cluster, job_id=job_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstState:
    """The state of a dialog with a job that version 1.0 opened, of which a replica may still run.

    Without these fields a dialog of that version has pickers, and no job.
    """

    ref: JobRef
    asked_in: str
    shown: JobFingerprint | None = None
    card_channel: str | None = None
    picker: bool = False

    def current(self) -> DialogState:
        shown = None
        if self.shown and self.card_channel:
            shown = Shown(job=self.shown, card_channel=self.card_channel)
        state = DialogState(asked_in=self.asked_in, has_pickers=self.picker, shown=shown)
        return state.about(self.ref)


FIRST_PICKERS = "picker"  #: the key of a dialog with pickers of version 1.0, which cannot go on
_STATE, _FIRST_STATE = TypeAdapter(DialogState), TypeAdapter(FirstState)


def encode_state(state: DialogState) -> str:
    kept = _STATE.dump_python(state, mode="json", exclude_defaults=True)
    return encode_metadata(kept)


def read_state(view: Mapping[str, Any]) -> DialogState:
    """Read the state of a view; raises `UnreadableDialog`."""
    text = str(view.get("private_metadata") or "")
    try:
        if "ref" in decode_metadata(view):
            state = _FIRST_STATE.validate_json(text, strict=True).current()
        else:
            state = _STATE.validate_json(text, strict=True)
        is_known = state.ref is not None
    except ValueError as error:
        raise UnreadableDialog from error
    if shown := state.shown:
        times = (shown.job.snapshot_time, shown.job.expires_at)
        if not is_known or any(time and time.tzinfo is None for time in times):
            raise UnreadableDialog
    return state


def selection(view: Mapping[str, Any], last: str = ids.JOB) -> DialogState:
    """Return the state after a selection in the picker `last`, which clears the later ones.

    The pickers on the screen decide: Slack keeps their selections when it updates a view. Raises
    `UnreadableDialog`.
    """
    state = read_state(view)
    if FIRST_PICKERS in decode_metadata(view):
        raise UnreadableDialog
    if not state.has_pickers:
        return state
    project_id = selected_value(view, ids.PROJECT) or state.project_id or ""
    cluster = selected_value(view, ids.CLUSTER) or state.cluster or ""
    is_cluster = last != ids.PROJECT and is_cluster_name(cluster)
    state = replace(
        state,
        project_id=project_id if is_object_id(project_id) else None,
        cluster=cluster if is_cluster else None,
        job_id=None,
    )
    job = parse_job_value(selected_value(view, ids.JOB) or "") if last == ids.JOB else None
    if job and (job.project_id, job.cluster_name) == (state.project_id, state.cluster):
        return replace(state, job_id=job.job_id)
    return state


def selected_value(view: Mapping[str, Any], block_id: str) -> str | None:
    value = (input_of(view, block_id).get("selected_option") or {}).get("value")
    return str(value) if value else None


def submit_problem(view: Mapping[str, Any], state: DialogState) -> tuple[str, str] | None:
    """Return the block and the sentence of what blocks a submission, or None.

    Selecting another job updates the details a moment later. A job may be cancelled only when it
    is both selected and shown with its details.
    """
    if not state.has_pickers:
        return None
    # The job's input, or the one to fill in before it exists.
    existing = {block.get("block_id") for block in view.get("blocks") or ()}
    first = next((each for each in reversed(PICKERS) if each in existing), ids.REASON)
    if selected_value(view, ids.JOB) is None:
        return first, NO_JOB_SELECTED
    if (ref := state.ref) and state.shown:
        shown = (ref.project_id, ref.cluster_name, job_value(ref))
        for picker, of in zip(PICKERS, shown, strict=True):
            if selected_value(view, picker) not in {None, of}:
                # The update that follows removes later pickers: Slack refuses an error there.
                return picker, DETAILS_NOT_SHOWN
        return None
    return first, DETAILS_NOT_SHOWN


GROUP = 100  #: Slack's limit of options in a list, and in each group of a longer one
#: The label of each picker, and its placeholder.
TITLES = {
    ids.PROJECT: ("Project", "Choose one"),
    ids.CLUSTER: ("Cluster", "Type a part of its name"),
    ids.JOB: ("Download", "Choose a download"),
}


def project_picker(projects: Sequence[Project], selected: str | None) -> Block:
    options = [_option(project.name, project.id) for project in projects]
    return _picker(ids.PROJECT, options, selected)


def cluster_picker(names: Iterable[str], selected: str | None = None) -> Block:
    """Build the picker of clusters, which `selected` need not be one of: a deleted one has jobs."""
    known = dict.fromkeys([*([selected] if selected else []), *names])
    options = [_option(name, name) for name in sorted(known, key=str.casefold)]
    return _picker(ids.CLUSTER, options, selected)


def job_picker(jobs: Iterable[tuple[Job, RestoreJob]], now: datetime) -> Block:
    """Build the picker of jobs, each as it is recorded and as it was read."""
    options = [
        _option(job_label(known, job, now), job_value(known.ref), job_age(known, job, now))
        for known, job in jobs
    ]
    return _picker(ids.JOB, options)


def read_pickers(view: Mapping[str, Any], state: DialogState, last: str) -> list[Block]:
    """Return the pickers of a view up to `last`, with the selections of the state."""
    blocks = {block.get("block_id"): block for block in view.get("blocks") or ()}
    job = job_value(state.ref) if state.ref else None
    selected = {ids.PROJECT: state.project_id, ids.CLUSTER: state.cluster, ids.JOB: job}
    existing = [each for each in PICKERS[: PICKERS.index(last) + 1] if each in blocks]
    return [_picker(each, _options(blocks[each]["element"]), selected[each]) for each in existing]


def _options(element: Block) -> list[Block]:
    lists = element.get("option_groups") or [element]
    return [option for each in lists for option in each["options"]]


def _picker(block_id: str, options: list[Block], selected: str | None = None) -> Block:
    name, placeholder = TITLES[block_id]
    element: Block = {"type": "static_select", "options": options}
    if len(options) > GROUP:
        groups = (options[at : at + GROUP] for at in range(0, len(options), GROUP))
        parts = [{"label": blockkit.plain(f"{n}"), "options": g} for n, g in enumerate(groups, 1)]
        element = {"type": "static_select", "option_groups": parts}
    element["placeholder"] = blockkit.plain(placeholder)
    if initial := next((each for each in options if each["value"] == selected), None):
        element["initial_option"] = initial
    # Slack sends each selection immediately.
    return blockkit.input_block(block_id, name, element, dispatch_action=True)


def _option(text: str, value: str, description: str = "") -> Block:
    text = blockkit.cut(mrkdwn.strip_invisible(text), blockkit.OPTION_TEXT) or "-"
    built: Block = {"text": blockkit.plain(text), "value": value}
    if description:
        built["description"] = blockkit.plain(blockkit.cut(description, blockkit.OPTION_TEXT))
    return built


_LINK_STATES = {JobState.LINK_LIVE: "link live", JobState.LINK_USED: "link used"}


def job_label(known: Job, job: RestoreJob, now: datetime) -> str:
    """Describe a job in plain text, which has no date tokens."""
    snapshot = "snapshot of unknown time"
    if taken := job.snapshot_time:
        utc = taken.astimezone(UTC)
        year = "" if taken.year == now.year else f" {taken.year}"
        snapshot = f"snapshot {utc:%-d %b}{year} {utc:%H:%M} UTC, {_span(now - taken)} old"
    state = _LINK_STATES.get(known.state, "no link yet")
    return f"{snapshot} · {state} · …{job.id[-4:]}"


def job_age(known: Job, job: RestoreJob, now: datetime) -> str:
    """Say since when a job's link is or was live, or when it was started; empty if unknown."""
    if known.live_since:
        span = _span(now - known.live_since)
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
