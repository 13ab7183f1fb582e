"""The one message of a download: a pure view of its facts."""

from datetime import datetime
from typing import Any

from bot.cancellation.download import is_download
from bot.cancellation.facts import Button, Facts, Phase
from bot.cancellation.people import NO_ONE, People
from bot.cancellation.phase_words import headline, story
from bot.cancellation.replies import ReplyKind, audience, link_needs_decision
from bot.cancellation.text import Code, Moment, Text, Untrusted
from bot.cancellation.words import link_line, starter_line
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
    place = [where, mrkdwn.note(facts.policy.note)] if facts.policy.note else [where]
    blocks = [
        blockkit.section(f"*{first}*"),
        blockkit.section("\n".join(place)),
        blockkit.section(mrkdwn.render(facts_line(facts, now))),
    ]
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
    text = blockkit.cut(f"{mentions}: {built['text']}", blockkit.FALLBACK)
    first, rest = built["blocks"][:1], built["blocks"][1:]
    blocks = [*first, blockkit.section(mentions), *rest] if first else []  # a short text has none
    return {**built, "text": text, "blocks": blocks}


def mentioned_at_post(facts: Facts, *, is_repost: bool) -> People:
    """Return whom a post of the message mentions.

    At first it mentions the approvers where an auto-cancel time stands; all else that needs a
    person is a reply. A message that was lost took its replies with it, so the next one mentions
    the people of its state.
    """
    policy, download, request = facts.policy, facts.download, facts.request
    if facts.auto_cancel_at:
        return policy.named_approvers
    if not is_repost or facts.phase is Phase.CANCELLING:
        return NO_ONE
    if facts.phase is Phase.WAITING or link_needs_decision(download, request):
        return policy.named_approvers
    return audience(ReplyKind.ENDED, policy, download, request).people


def metadata(facts: Facts) -> dict[str, Any]:
    """Return the metadata by which programs read the message."""
    payload = {
        "job": facts.download.ref.job_id,
        "request": facts.request.id if facts.request else "",
        "state": facts.state,
    }
    return {"event_type": EVENT_TYPE, "event_payload": payload}


def where_line(facts: Facts, project: str) -> Text:
    return (Code(facts.download.ref.cluster_name), " in ", Untrusted(project))


def facts_line(facts: Facts, now: datetime) -> Text:
    """Say when and by whom it was started, and what the link's line is."""
    download = facts.download
    if not is_download(download.shown):
        return starter_line(download)
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
    parts = [f"job `{download.ref.job_id}`"]
    if taken := download.shown.snapshot_time:
        parts.append(mrkdwn.render(("snapshot ", Moment(taken, has_date=True))))
    if facts.request:
        parts.append(f"request `{facts.request.id}`")
    parts.append(mrkdwn.link(links.cluster_page(download.ref), "Open in Atlas"))
    return " · ".join(parts)
