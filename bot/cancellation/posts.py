"""Messages: what the outbox posts and edits; whom a waiting request notifies, and when (pure)."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeAlias

from bot.cancellation.events import EventName
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Card, Request, State
from bot.cancellation.people import NO_ONE, Kind, People, Person
from bot.cancellation.policy import Policy

#: The namespace of `client_msg_id`, by which Slack recognises a repeated message.
NAMESPACE = uuid.UUID("5ac62bd7-7a1c-5f0e-9d55-3d1f6a0c4f10")
MAX_RECIPIENTS = 20  #: people who get a direct message about one request


class PostKind(StrEnum):
    CARD = "card"  #: posts the request's card; the request's other posts wait for it
    SECOND_CARD = "second card"  #: a repeated card, of which Slack had the first; it is clicked
    REPLY = "reply"  #: one step, in the card's thread
    DIRECT = "direct"  #: a direct message to one person about a request
    COPY = "copy"  #: the card of a waiting request as a direct message to one approver
    ANNOUNCEMENT = "announcement"  #: a watched job
    RESTORE = "restore"  #: a restore into another project; replicas of 1.0 know no such row
    QUESTION = "question"  #: asks the starter of a watched job, in a direct message
    ALARM = "alarm"  #: the starter denies having started it, in the announcement's thread


#: The kinds that are announced in the watch channel.
ANNOUNCEMENTS = frozenset({PostKind.ANNOUNCEMENT, PostKind.RESTORE})


class PostState(StrEnum):
    """Whether a message is still to be posted."""

    DUE = "due"
    SENT = "sent"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class BasePost:
    """One message, claimed by this process until its lease runs out."""

    id: int
    kind: PostKind
    client_msg_id: str  #: the same for every attempt
    attempts: int  #: how often delivery was tried, this time included
    recipient: str | None = None  #: the user who gets a direct message; None for a channel
    place: Card | None = None  #: where the message is edited; None until it is posted
    wanted: int = 0  #: the number of changes that it shows once this post is delivered
    only_facts: bool = False  #: whether a card shows nothing new but the job's starter or link

    @property
    def is_edit(self) -> bool:
        return self.place is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPost(BasePost):
    request: Request  #: the request when the post was claimed; a card shows this state
    event: EventName  #: the event that a reply reports
    actor: str | None  #: the Slack user id of the person who caused the event, or None for the bot
    at: datetime  #: when the event happened
    detail: Mapping[str, Any] = field(default_factory=dict)  #: the event's detail
    job: Job  #: the request's job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPost(BasePost):
    """An announcement, the question to a starter, or the alarm that follows."""

    job: Job  #: as it was when the post was claimed


Post: TypeAlias = RequestPost | JobPost


@dataclass(frozen=True, slots=True)
class Lead:
    """How long before the link a cancellation came; negative for after it."""

    span: timedelta
    was_live: bool  #: the link counts from when it became live, else from when it was expected


def lead_of(request: Request, job: Job) -> Lead | None:
    """Return how long before the link a cancellation came, if it did and that is known."""
    moment = job.live_since or job.expected_at
    if request.state is not State.CANCELLED or (job.link_unknown and not job.live_since):
        return None
    return Lead(moment - request.changed_at, was_live=job.live_since is not None)


def message_id(subject: str, event: str, number: int) -> str:
    """Derive the `client_msg_id` of a post from its subject and event."""
    return str(uuid.uuid5(NAMESPACE, f"{subject}/{event}/{number}"))


def notified_approvers(policy: Policy, request: Request) -> People:
    """Return the approvers who were notified by now; after the last notice all of them."""
    is_escalated = request.state is State.AWAITING and request.next_notice_at is None
    named = policy.approvers if is_escalated else policy.first_approvers
    return named - own_part(policy, request.requester, alone=request.acted_alone)


def own_part(policy: Policy, requester: str, *, alone: bool = False) -> People:
    """Return the requester if another person must approve, or must review an act `alone`."""
    counts = policy.self_approval and not alone
    return NO_ONE if counts else People(users=frozenset({requester}))


def are_reached_directly(policy: Policy, requester: str) -> bool:
    """Whether approvers other than the requester get a direct message about each request."""
    asked = policy.first_approvers
    return policy.notify_approvers and bool(asked.groups or asked.users - {requester})


def can_reach_approvers(policy: Policy) -> bool:
    """Whether approvers are named, by id or by a group: direct messages reach only those."""
    return bool(policy.approvers.users or policy.approvers.groups)


def recipients(policy: Policy, requester: str, members: frozenset[str]) -> tuple[str, ...]:
    """Return the user ids of the approvers to notify directly: named ones, then group members.

    Where every full member may approve, it is empty.
    """
    named = [*sorted(policy.approvers.users), *sorted(members - policy.approvers.users)]
    return tuple(user for user in named if user != requester)[:MAX_RECIPIENTS]


def people_to_notify(
    policy: Policy, request: Request, people: Iterable[Person]
) -> tuple[Person, ...]:
    """Return those of `people`, in their order, who may approve a waiting request.

    Left out are the requester, bots, who approved already, and a person's further ids.
    """
    seen = {request.requester, *request.approved_by}
    return possible_approvers(policy, people, seen)[:MAX_RECIPIENTS]


def possible_approvers(
    policy: Policy, people: Iterable[Person], others: Iterable[str] = ()
) -> tuple[Person, ...]:
    """Return those of `people`, in their order and once, who may approve, without `others`."""
    found: list[Person] = []
    seen = set(others)
    for person in people:
        may = person.kind is not Kind.BOT and person in policy.approvers
        if may and person.ids.isdisjoint(seen):
            found.append(person)
            seen |= person.ids
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is due for the approvers of one request."""

    is_first: bool  #: whether they are notified for the first time since the request waits
    reminder: int  #: the number of the reminder that is due, from 1, or 0
    escalates: bool  #: whether the people of `escalate_to` are notified now
    next_at: datetime | None  #: when the next reminder is due; None after the last one


def due_notice(policy: Policy, request: Request, now: datetime) -> Notice:
    """Return what is due for a waiting request, whose `next_notice_at` has passed.

    Reminders that were missed while no bot ran count as one. Those that would come after the
    request expires do not count, so that the last one that comes escalates.
    """
    start = request.changed_at
    times = [start + after for after in policy.remind_after]
    times = [time for time in times if time < request.expires_at]
    passed = [time for time in times if time <= now]
    planned = request.next_notice_at or start
    is_first = planned <= start
    # The policy may have changed since the reminder was planned.
    is_due = not is_first and any(time >= planned for time in passed)
    return Notice(
        is_first=is_first,
        reminder=len(passed) if is_due else 0,
        escalates=(is_first or is_due) and len(passed) == len(times),
        next_at=times[len(passed)] if len(passed) < len(times) else None,
    )
