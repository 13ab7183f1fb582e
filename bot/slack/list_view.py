"""The private list of the downloads that run, and the help (pure)."""

from datetime import datetime
from typing import Any

from bot.atlas import DeliveryType
from bot.cancellation.facts import Button, Phase, facts_of
from bot.cancellation.phase_words import headline
from bot.services.lookup import JobDetails, Running, Unread
from bot.services.projects import Project
from bot.slack import blockkit, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.dialog_view import KINDS
from bot.slack.message import LABELS, facts_line, where_line
from bot.slack.values import button_value

MOST_SHOWN = 15  #: downloads in one answer, so that a phone shows what could not be read too
MOST_NAMES = 10  #: projects, clusters or unread parts in one sentence


def downloads(
    running: Running, projects: list[Project], cluster: str | None, command: str, now: datetime
) -> dict[str, Any]:
    """Return text and blocks of the list, newest download first."""
    blocks = [_entry(item, now) for item in running.downloads[:MOST_SHOWN]]
    title = _title(running, projects, cluster)
    more = len(running.downloads) - MOST_SHOWN
    if more > 0:
        hint = f"{more} more: `{command} CLUSTER` lists those of one cluster."
        blocks.append(blockkit.context(hint))
    if others := [_other(item) for item in running.others[:MOST_SHOWN]]:
        hidden = len(running.others) - MOST_SHOWN
        rest = [f"{hidden} more"] if hidden > 0 else []
        head = "Other restores: Atlas cancels downloads only."
        blocks.append(blockkit.context("\n".join([head, *others, *rest])))
    if running.unread:
        blocks.append(blockkit.section(_unread(running)))
    text = blockkit.cut(title, blockkit.FALLBACK)
    return {"text": text, "blocks": [blockkit.section(title), *blocks]}


def _title(running: Running, projects: list[Project], cluster: str | None) -> str:
    names = mrkdwn.some([mrkdwn.escape(project.name) for project in projects], MOST_NAMES)
    where = f"{mrkdwn.code(cluster)} in {names}" if cluster else names
    if running.downloads:
        count = len(running.downloads)
        noun = "download is" if count == 1 else "downloads are"
        return f"{count} {noun} running in {where}."
    if cluster and not running.unread and not _has_cluster(running, cluster):
        known = mrkdwn.some([*map(mrkdwn.code, running.clusters)], MOST_NAMES) or "none"
        return f"There is no cluster {mrkdwn.code(cluster)} in {names}. Clusters: {known}."
    if running.unread:
        return f"No download was found in {where}, but not everything could be read."
    return f"No download is running in {where}."


def _has_cluster(running: Running, cluster: str) -> bool:
    return cluster.casefold() in {name.casefold() for name in running.clusters}


def _entry(item: JobDetails, now: datetime) -> Block:
    facts = facts_of(item.download, item.requests, item.policy)
    where = mrkdwn.render(where_line(facts, item.project.name))
    lines = [f"*{where}*"]
    if facts.phase is not Phase.ANNOUNCED:
        lines.append(mrkdwn.render(headline(facts, now)))
    lines.append(mrkdwn.render(facts_line(facts, now)))
    if item.policy.note:
        lines.append(mrkdwn.note(item.policy.note))
    only = " · this bot only watches here" if item.policy.read_only else ""
    section = blockkit.section("\n".join([*lines, f"job `{item.ref.job_id}`{only}"]))
    if facts.buttons:  # also where a request waits: the dialog shows it
        label, action_id = LABELS[Button.CANCEL]
        value = button_value(item.ref)
        section["accessory"] = blockkit.button(label, action_id, value, is_danger=True)
    return section


def _other(item: JobDetails) -> str:
    kind = item.job.delivery_type
    label = KINDS[DeliveryType(kind)] if kind in set(DeliveryType) else "restore"
    cluster, project = mrkdwn.code(item.ref.cluster_name), mrkdwn.escape(item.project.name)
    return f"{cluster} in {project}: {label}, job `{item.ref.job_id}`"


def _unread(running: Running) -> str:
    parts = [_unread_part(part) for part in running.unread]
    return f"Could not be read: {mrkdwn.some(parts, MOST_NAMES)}."


def _unread_part(part: Unread) -> str:
    cluster = f"{mrkdwn.code(part.cluster)} in " if part.cluster else ""
    return f"{cluster}{mrkdwn.escape(part.project)} ({mrkdwn.escape(part.why.rstrip('.'))})"


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
