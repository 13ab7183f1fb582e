"""Shows past requests; reasons and links to threads only to the people whom they concern."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.cancellation.lifecycle import Request
from bot.cancellation.people import Person
from bot.cancellation.policy import Policy, is_named_approver
from bot.services.projects import Project
from bot.slack import blockkit, job_facts, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.client import Links
from bot.slack.directory import Directory
from bot.slack.errors import DirectoryError
from bot.slack.payloads import Actor
from bot.storage.audit_log import PastRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Viewer:
    """The person to whom requests are shown, and where.

    Attributes:
        ids: the person's user ids.
        channel: the channel of the list; the user's id for the Home tab.
        approves: the ids of the projects whose settings name the person as an approver.
    """

    ids: frozenset[str]
    channel: str
    approves: frozenset[str] = frozenset()

    def may_read(self, project_id: str, asked_in: str, people: Collection[str]) -> bool:
        """Whether a request's reason and thread are shown; `people` asked or decided."""
        concerned = project_id in self.approves or not self.ids.isdisjoint(people)
        return concerned or asked_in == self.channel

    def may_read_waiting(self, request: Request) -> bool:
        """Whether the reason and the thread of a waiting request are shown."""
        people = {request.requester, *request.approved_by}
        return self.may_read(request.ref.project_id, request.asked_in, people)

    def readable(self, past: PastRequest) -> PastRequest:
        """Return the request without reason and thread, unless they are shown."""
        if self.may_read(past.project_id, past.asked_in, past.deciders):
            return past
        return replace(past, reason="", card=None)


async def viewer_of(
    directory: Directory, actor: Actor, channel: str, projects: Iterable[Project]
) -> Viewer:
    """Find out in which projects the actor is a named approver; without an answer in none."""

    async def look_up(policy: Policy) -> Person | None:
        try:
            return await directory.person(actor, policy.approvers)
        except DirectoryError:
            return None

    named = [project for project in projects if project.policy.approvers_named]
    found = await asyncio.gather(*(look_up(project.policy) for project in named))
    people = [(each, person) for each, person in zip(named, found, strict=True) if person]
    return Viewer(
        ids=frozenset({actor.id}).union(*(person.ids for _, person in people)),
        channel=channel,
        approves=frozenset(each.id for each, p in people if is_named_approver(each.policy, p)),
    )


def history(
    past: Sequence[PastRequest], projects: Mapping[str, str], links: Links
) -> dict[str, Any]:
    """Build the list of the last requests, newest first; `projects` are names by id."""
    last = "The last request" if len(past) == 1 else f"The last {len(past)} requests"
    headline = f"*{last}*" if past else "There are no requests yet."
    blocks = [blockkit.section(headline), *history_sections(past, projects, links)]
    return {"response_type": "ephemeral", "text": headline, "blocks": blocks}


def history_sections(
    past: Iterable[PastRequest],
    projects: Mapping[str, str],
    links: Links,
    limit: int = blockkit.TEXT,
) -> list[Block]:
    """Put as many requests into each block as fit; a message has at most 50 blocks."""
    texts = [""]
    for each in past:
        text = _past_request(each, projects, links)
        if len(texts[-1]) + len(text) + 2 > limit:
            texts.append("")
        texts[-1] = f"{texts[-1]}\n\n{text}".strip()
    return [blockkit.section(part) for part in texts if part]


def _past_request(past: PastRequest, projects: Mapping[str, str], links: Links) -> str:
    """Say who requested which cancellation, and its state."""
    project = mrkdwn.one_line(projects.get(past.project_id, past.project_id))
    by = f" by {mrkdwn.person(past.by)}" if past.by else ""
    alone = f" · {_review(past.reviewed_by)}" if past.acted_alone else ""
    card = f" · {mrkdwn.link(links.message(past.card), 'its thread')}" if past.card else ""
    reason = f"\n{mrkdwn.quote(past.reason, 300)}" if past.reason.strip() else ""
    lead = job_facts.lead(past.lead)
    return (
        f"{mrkdwn.STATE_LABELS[past.state]}{by} ({mrkdwn.date(past.changed_at)})"
        f"{lead}{alone}{card}\n"
        f"{mrkdwn.person(past.requester)} asked {mrkdwn.date(past.asked_at)} to cancel restore job "
        f"{mrkdwn.code(past.job_id)} of {mrkdwn.code(past.cluster_name)} in {project}{reason}"
    )


def _review(reviewed_by: str | None) -> str:
    review = f"reviewed by {mrkdwn.person(reviewed_by)}" if reviewed_by else "*not reviewed yet*"
    return f":rotating_light: without approval, {review}"
