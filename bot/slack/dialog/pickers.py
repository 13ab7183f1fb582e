"""Builds the pickers for project, cluster and job, with their options (pure)."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from bot.atlas import JobRef, JobState, RestoreJob, created_at
from bot.services.projects import Project
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.grammar import job_value

GROUP = 100  #: Slack's limit of options in a list, and in each group of a longer one


def project_picker(projects: Sequence[Project], selected: str | None) -> Block:
    options = [_option(project.name, project.id) for project in projects]
    return _picker(ids.PROJECT, "Project", "Choose one", options, selected)


def cluster_picker(names: Iterable[str], selected: str | None = None) -> Block:
    """Build the picker of clusters, which `selected` need not be one of: a deleted one has jobs."""
    known = dict.fromkeys([*([selected] if selected else []), *names])
    options = [_option(name, name) for name in sorted(known, key=str.casefold)]
    return _picker(ids.CLUSTER, "Cluster", "Type a part of its name", options, selected)


def job_picker(jobs: Iterable[tuple[JobRef, RestoreJob]], now: datetime) -> Block:
    options = [_option(label(job, now), job_value(ref), age(job, now)) for ref, job in jobs]
    return _picker(ids.JOB, "Download", "Choose a download", options)


def _picker(
    block_id: str, name: str, placeholder: str, options: list[Block], selected: str | None = None
) -> Block:
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
