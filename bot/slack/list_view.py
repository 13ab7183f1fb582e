"""The private list of the downloads that run, and the help (pure)."""

from datetime import datetime
from typing import Any

from bot.atlas import DeliveryType
from bot.cancellation.facts import Button, Facts, facts_of
from bot.services.lookup import JobDetails, Running
from bot.services.projects import Project
from bot.slack import blockkit, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.dialog_view import KINDS
from bot.slack.message import facts_line, where_line
from bot.slack.values import OPEN, button_value

MOST_SHOWN = 15  #: downloads in one answer: each has up to two blocks, of Slack's 50
MOST_UNREAD = 10


def downloads(
    running: Running, projects: list[Project], cluster: str | None, command: str, now: datetime
) -> dict[str, Any]:
    """Return text and blocks of the list, newest download first."""
    blocks = [block for item in running.downloads[:MOST_SHOWN] for block in _entry(item, now)]
    title = _title(running, projects, cluster)
    more = len(running.downloads) - MOST_SHOWN
    if more > 0:
        hint = f"{more} more: `{command} CLUSTER` lists those of one cluster."
        blocks.append(blockkit.context(hint))
    if others := [_other(item) for item in running.others[:MOST_SHOWN]]:
        head = "Other restores, which Atlas cannot cancel:"
        blocks.append(blockkit.context("\n".join([head, *others])))
    if running.unread:
        blocks.append(blockkit.section(_unread(running)))
    return {"text": title, "blocks": [blockkit.section(title), *blocks]}


def _title(running: Running, projects: list[Project], cluster: str | None) -> str:
    names = mrkdwn.join(mrkdwn.escape(project.name) for project in projects)
    where = f"{mrkdwn.code(cluster)} in {names}" if cluster else names
    if running.downloads:
        count = len(running.downloads)
        noun = "download is" if count == 1 else "downloads are"
        return f"{count} {noun} running in {where}."
    if cluster and not running.unread and not _has_cluster(running, cluster):
        known = mrkdwn.join(map(mrkdwn.code, running.clusters[:MOST_SHOWN])) or "none"
        return f"There is no cluster {mrkdwn.code(cluster)} in {names}. Clusters: {known}."
    if running.unread:
        return f"No download was found in {where}, but not everything could be read."
    return f"No download is running in {where}."


def _has_cluster(running: Running, cluster: str) -> bool:
    return cluster.casefold() in {name.casefold() for name in running.clusters}


def _entry(item: JobDetails, now: datetime) -> list[Block]:
    facts = facts_of(item.download, item.requests, item.policy)
    where = mrkdwn.render(where_line(facts, item.project.name))
    lines = [f"*{where}*", mrkdwn.render(facts_line(facts, now))]
    if item.policy.note:
        lines.append(f"_{mrkdwn.escape(item.policy.note, 400)}_")
    section = blockkit.section("\n".join([*lines, f"job `{item.ref.job_id}`{_state(facts)}"]))
    if not _is_offered(facts):
        return [section]
    value = button_value(item.ref)
    label = "Cancel this download"
    section["accessory"] = blockkit.button(label, OPEN, value, is_danger=True)
    return [section]


def _is_offered(facts: Facts) -> bool:
    return Button.CANCEL in facts.buttons or Button.APPROVE in facts.buttons


def _state(facts: Facts) -> str:
    if facts.policy.read_only:
        return " · this bot only watches here"
    request = facts.request
    return f" · {request.state}" if request and request.is_open else ""


def _other(item: JobDetails) -> str:
    kind = item.job.delivery_type
    label = KINDS[DeliveryType(kind)] if kind in set(DeliveryType) else "restore"
    cluster, project = mrkdwn.code(item.ref.cluster_name), mrkdwn.escape(item.project.name)
    return f"{cluster} in {project}: {label}, job `{item.ref.job_id}`"


def _unread(running: Running) -> str:
    parts = [
        f"{mrkdwn.code(part.cluster)} in {mrkdwn.escape(part.project)}"
        if part.cluster
        else mrkdwn.escape(part.project)
        for part in running.unread[:MOST_UNREAD]
    ]
    more = len(running.unread) - MOST_UNREAD
    rest = [f"{more} more"] if more > 0 else []
    why = mrkdwn.escape(running.unread[0].why)
    return f"Could not be read: {mrkdwn.join([*parts, *rest])} ({why})"


def help_text(command: str) -> dict[str, Any]:
    """Return the help: five lines with examples."""
    job = "5b622f7087d9d6039fafe03f"
    lines = [
        f"`{command}` lists the downloads that run now, each with a button.",
        f"`{command} prod-eu` lists those of one cluster.",
        f"`{command} prod-eu {job}` shows one download and lets you cancel it.",
        f"`{command} shop-prod prod-eu {job}` does the same where there are several projects.",
        f"`{command} {job}` or a link to Atlas finds the download by its id.",
    ]
    text = "\n".join(lines)
    return {"text": text, "blocks": [blockkit.section(text)]}
