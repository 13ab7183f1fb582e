"""Builds the pickers for project, cluster and job, and reads them in a view (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

from bot.atlas import JobRef, JobState, RestoreJob, created_at
from bot.services.projects import Project
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.dialog.state import PICKERS, DialogState, UnreadableDialog
from bot.slack.grammar import job_value

GROUP = 100  #: Slack's limit of options in a list, and in each group of a longer one
#: The label of each picker, and its placeholder.
TITLES = {
    ids.PROJECT: ("Project", "Choose one"),
    ids.CLUSTER: ("Cluster", "Type a part of its name"),
    ids.JOB: ("Download", "Choose a download"),
}


class _Text(TypedDict):
    text: str


class _Option(TypedDict):
    text: _Text
    value: Annotated[str, Field(min_length=1, max_length=150)]  # Slack's limit
    description: NotRequired[_Text | None]


class _List(TypedDict, total=False):
    options: list[_Option] | None


class _Element(_List, total=False):
    option_groups: list[_List] | None


_ELEMENT = TypeAdapter(_Element)


def project_picker(projects: Sequence[Project], selected: str | None) -> Block:
    options = [_option(project.name, project.id) for project in projects]
    return _picker(ids.PROJECT, options, selected)


def cluster_picker(names: Iterable[str], selected: str | None = None) -> Block:
    """Build the picker of clusters, which `selected` need not be one of: a deleted one has jobs."""
    known = dict.fromkeys([*([selected] if selected else []), *names])
    options = [_option(name, name) for name in sorted(known, key=str.casefold)]
    return _picker(ids.CLUSTER, options, selected)


def job_picker(jobs: Iterable[tuple[JobRef, RestoreJob]], now: datetime) -> Block:
    options = [_option(label(job, now), job_value(ref), age(job, now)) for ref, job in jobs]
    return _picker(ids.JOB, options)


def read_pickers(view: Mapping[str, Any], state: DialogState, last: str) -> list[Block]:
    """Build the pickers of a view up to `last` again, with the selections of the state.

    Of the view they have the options only. Raises `UnreadableDialog`.
    """
    blocks = {block.get("block_id"): block for block in view.get("blocks") or ()}
    existing = [each for each in PICKERS[: PICKERS.index(last) + 1] if each in blocks]
    job = job_value(state.ref) if state.ref else None
    selected = {ids.PROJECT: state.project_id, ids.CLUSTER: state.cluster, ids.JOB: job}
    return [_picker(each, _read_options(blocks[each]), selected[each]) for each in existing]


def _read_options(block: Block) -> list[Block]:
    try:
        element = _ELEMENT.validate_python(block.get("element"), strict=True)
    except ValueError as error:
        raise UnreadableDialog from error
    lists = (element, *(element.get("option_groups") or ()))
    options = {each["value"]: each for one in lists for each in one.get("options") or ()}
    if not options:
        raise UnreadableDialog
    return [
        _option(each["text"]["text"], value, (each.get("description") or {"text": ""})["text"])
        for value, each in options.items()
    ]


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


def label(job: RestoreJob, now: datetime) -> str:
    """Describe a job in plain text, which has no date tokens."""
    snapshot = "snapshot of unknown time"
    if taken := job.snapshot_time:
        utc = taken.astimezone(UTC)
        year = "" if taken.year == now.year else f" {taken.year}"
        snapshot = f"snapshot {utc:%-d %b}{year} {utc:%H:%M} UTC, {_span(now - taken)} old"
    state = _LINK_STATES.get(job.state, "no link yet")
    return f"{snapshot} · {state} · …{job.id[-4:]}"


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
