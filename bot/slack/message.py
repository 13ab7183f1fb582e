"""The one message of a download: a pure view of its facts."""

from datetime import datetime
from typing import Any

from bot.cancellation.facts import Button, Facts
from bot.cancellation.people import NO_ONE, People
from bot.cancellation.text import Code, Moment, Text, Untrusted
from bot.cancellation.words import headline, link_line, starter_line, story
from bot.slack import blockkit, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.links import Links
from bot.slack.values import APPROVE, EVENT_TYPE, LET_RUN, OPEN, button_value

LABELS = {
    Button.CANCEL: ("Cancel this download", OPEN),
    Button.APPROVE: ("Approve cancelling", APPROVE),
    Button.LET_RUN: ("Let it run", LET_RUN),
}


def message(facts: Facts, project: str, links: Links, now: datetime) -> dict[str, Any]:
    """Return text, blocks and metadata of a download's message."""
    first = mrkdwn.render(headline(facts, now))
    where = mrkdwn.render(where_line(facts, project))
    blocks = [blockkit.section(f"*{first}*"), blockkit.section(where)]
    if facts.policy.note:
        blocks.append(blockkit.section(f"_{mrkdwn.escape(facts.policy.note, 400)}_"))
    blocks.append(blockkit.section(mrkdwn.render(facts_line(facts, now))))
    if lines := story(facts):
        blocks.append(blockkit.section("\n".join(map(mrkdwn.render, lines))))
    if facts.buttons:
        blocks.append(blockkit.actions(*(_button(facts, item) for item in facts.buttons)))
    blocks.append(blockkit.context(_foot(facts, links)))
    return {
        "text": blockkit.cut(f"{first} · {where}", blockkit.FALLBACK),
        "blocks": blocks,
        "metadata": metadata(facts),
    }


def short_message(facts: Facts, project: str) -> dict[str, Any]:
    """Return the message as a short text, for where Slack refuses the blocks."""
    ref = facts.download.ref
    words = facts.state.replace("_", " ")
    text = f"Download {ref.job_id} of {ref.cluster_name} in {mrkdwn.escape(project)}: {words}"
    return {"text": text, "metadata": metadata(facts)}


def with_mentions(built: dict[str, Any], mentioned: People) -> dict[str, Any]:
    """Add mentions to a message that is posted: an edit would notify nobody."""
    if not mentioned:
        return built
    mentions = mrkdwn.people(mentioned)
    blocks = [built["blocks"][0], blockkit.section(mentions), *built["blocks"][1:]]
    return {**built, "text": f"{mentions}: {built['text']}", "blocks": blocks}


def mentioned_at_post(facts: Facts) -> People:
    """Return whom a new post of the message mentions: approvers, while they have to decide."""
    needs_decision = Button.LET_RUN in facts.buttons
    return facts.policy.named_approvers if needs_decision else NO_ONE


def metadata(facts: Facts) -> dict[str, Any]:
    """Return the metadata by which programs read the message."""
    payload = {
        "job": facts.download.ref.job_id,
        "request": facts.request_id,
        "state": facts.state,
    }
    return {"event_type": EVENT_TYPE, "event_payload": payload}


def where_line(facts: Facts, project: str) -> Text:
    return (Code(facts.download.ref.cluster_name), " in ", Untrusted(project))


def facts_line(facts: Facts, now: datetime) -> Text:
    """Say when and by whom it was started, and what the link's line is."""
    download = facts.download
    return (*starter_line(download), " · ", *link_line(download.link(now)))


def _button(facts: Facts, kind: Button) -> Block:
    label, action_id = LABELS[kind]
    request = facts.request
    request_id = request.id if request and request.is_open else None
    if kind is Button.APPROVE and request_id:
        return blockkit.button(label, action_id, request_id, is_danger=True)
    value = button_value(facts.download.ref, request_id)
    return blockkit.button(label, action_id, value, is_danger=kind is not Button.LET_RUN)


def _foot(facts: Facts, links: Links) -> str:
    """Return the line in small type: job id, snapshot, the way to Atlas."""
    download = facts.download
    taken = download.shown.snapshot_time
    snapshot = f" · snapshot {mrkdwn.render((Moment(taken),))}" if taken else ""
    in_atlas = mrkdwn.link(links.cluster_page(download.ref), "Open in Atlas")
    request = facts.request
    reference = f" · request `{request.id}`" if request else ""
    return f"job `{download.ref.job_id}`{snapshot}{reference} · {in_atlas}"
