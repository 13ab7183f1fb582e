"""The rows of new messages, and the changes that each message is to show."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Update,
    and_,
    bindparam,
    case,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.events import Event, EventName
from bot.cancellation.job import Job, QuarantineDecision
from bot.cancellation.lifecycle import Card, Request, State
from bot.cancellation.posts import PostKind, PostState, message_id
from bot.storage.queries import has_job
from bot.storage.tables import IS_DUE, jobs, posts

NO_DELAY = timedelta()
#: Delay of an update of copies while the request is open: a quick run needs only the last one.
COPY_DELAY = timedelta(seconds=2)
FIRST = -1  #: the priority of posts that are sent before others, which have 0
#: Announcements are claimed after all posts about requests.
ANNOUNCEMENT_PRIORITY = 1
#: The priority of an edit that shows nothing new but the starter or the link of the job.
FACTS_PRIORITY = 1

Execute = Callable[..., Any]
#: A literal, not a parameter: databases use a partial index only for a literal condition.
DUE: ColumnElement[str] = literal_column(f"'{PostState.DUE}'")
#: Condition: the message is still to be posted, or Slack has it at a known place.
_CAN_SHOW = or_(posts.c.state == DUE, posts.c.ts != "")
_IS_DROPPED = and_(posts.c.state == PostState.DROPPED, posts.c.recipient.is_(None))


def _show(due: ColumnElement[Any]) -> Update:
    """Let messages show their subjects as these are now, when they are due."""
    is_due_before = and_(text(IS_DUE), posts.c.due_at < due)
    due_at = case((is_due_before, posts.c.due_at), else_=due)
    return update(posts).values(wanted=posts.c.wanted + 1, due_at=due_at)


# Built once: to build them at each step of a run takes longer than to run them.
_DUE_AT, _COPIES_AT = (bindparam(name, type_=posts.c.due_at.type) for name in ("due", "copies_due"))
_IS_COPY = posts.c.kind == PostKind.COPY
_RANK = bindparam("rank", type_=posts.c.priority.type) + case((_IS_COPY, 1), else_=0)
_WAITS_BEFORE = and_(text(IS_DUE), posts.c.priority < _RANK)
_CARDS = (PostKind.CARD, PostKind.SECOND_CARD, PostKind.COPY)
#: Shows the request `of` in its cards, and with the next rank in their copies.
_SHOW_REQUEST = (
    _show(case((_IS_COPY, _COPIES_AT), else_=_DUE_AT))
    .where(posts.c.request == bindparam("of"), posts.c.kind.in_(_CARDS), _CAN_SHOW)
    .values(priority=case((_WAITS_BEFORE, posts.c.priority), else_=_RANK))
)
#: Shows the watched job `of`. An announcement that its channel did not take is due again.
SHOW_JOB = (
    _show(_DUE_AT)
    .where(posts.c.watched_job == bindparam("of"), or_(_CAN_SHOW, _IS_DROPPED))
    .where(posts.c.kind != PostKind.ALARM)  # it shows what was said
    .values(state=case((_IS_DROPPED, DUE), else_=posts.c.state))
)
#: Shows how the request for a job ended, also in the question to its starter.
_SHOW_END = _show(_DUE_AT).where(
    posts.c.watched_job == select(jobs.c.id).where(has_job(jobs)).scalar_subquery(),
    posts.c.kind.in_((PostKind.ANNOUNCEMENT, PostKind.QUESTION)),
    _CAN_SHOW,
)


def new_post(
    request: Request, kind: PostKind, event: Event, now: datetime, recipient: str | None = None
) -> dict[str, Any]:
    """Return the row of a new message about a request."""
    parts = (kind, event.name, recipient)
    # Only a reply shows the detail, and a copy keeps the name of its recipient there.
    is_kept = kind in (PostKind.REPLY, PostKind.COPY)
    return {
        "request": request.id,
        "kind": kind,
        "event": event.name,
        "actor": event.actor,
        "recipient": recipient,
        "at": now,
        "detail": json.dumps(event.detail if is_kept else {}),
        "state": PostState.DUE,
        "due_at": now,
        "priority": FIRST if kind is PostKind.REPLY else _priority(request) + bool(recipient),
        "client_msg_id": message_id(request.id, ":".join(str(p) for p in parts if p), event.number),
    }


def _priority(request: Request) -> int:
    """Return the priority of a card: the lowest is sent first.

    Steps, outcomes and what is in quarantine precede the cards of other requests; direct messages
    follow.
    """
    return FIRST if request.state.ended or request.state is State.QUARANTINED else 0


def refresh_card(
    execute: Execute, request: Request, now: datetime, delay: timedelta, *, only_facts: bool = False
) -> None:
    """Let the card of a request and its copies show it as it is now, after `delay`.

    `only_facts`: the job alone changed, which delays no card that shows a decision.
    """
    at, priority = now + delay, FACTS_PRIORITY if only_facts else _priority(request)
    copies_at = at if request.state.ended else now + max(delay, COPY_DELAY)
    shown = {"of": request.id, "due": at, "copies_due": copies_at, "rank": priority}
    execute(_SHOW_REQUEST, shown)
    # Between two tries the question to a starter has its button.
    if (request.state.ended or request.outcome.tries_again) and not only_facts:
        execute(_SHOW_END, {"due": now, **asdict(request.ref)})


def show_second_card(
    execute: Execute, request: Request, now: datetime, clicked: Card, user: str
) -> None:
    """Let a message that a user clicked refer to the card, if its place is not that of a post.

    It may be the copy for this user whose first answer was lost: then its place is known later.
    """
    unanswered = and_(posts.c.recipient == user, posts.c.state == DUE, posts.c.attempts > 0)
    is_post = or_(unanswered, posts.c.ts == clicked.ts) & (posts.c.kind != PostKind.SECOND_CARD)
    known = select(posts.c.id).where(posts.c.request == request.id, is_post)
    if not request.card or execute(known).first():
        return
    created = Event(name=EventName.CREATED, request=request.id, number=0, at="")
    row = new_post(request, PostKind.SECOND_CARD, created, now)
    row["client_msg_id"] = message_id(request.id, f"{row['kind']}:{clicked.ts}", 0)
    again = update(posts).where(posts.c.client_msg_id == row["client_msg_id"])
    if not execute(again.values(wanted=posts.c.wanted + 1)).rowcount:
        place = {"state": PostState.SENT, "channel": clicked.channel, "ts": clicked.ts}
        execute(insert(posts), row | place | {"wanted": 1})


def announce(execute: Execute, now: datetime, job: Any, *, is_new: bool) -> None:  # noqa: ANN401 - a database row
    """Announce a watched job, or let its announcement show it as it is now.

    The card of a quarantine is the announcement of its job.
    """
    if not is_new:  # the question to its starter shows it, too
        execute(SHOW_JOB, {"of": job.id, "due": now})
    elif job.quarantine != QuarantineDecision.CARD:
        execute(insert(posts), new_job_post(now, job, PostKind.ANNOUNCEMENT))


def alarm(execute: Execute, now: datetime, job: Job, own: Request | None) -> None:
    """Tell the approvers that the starter disowns a job, in the thread of its announcement.

    If the bot's own card is the announcement, a reply to it does. Those who got either as a direct
    message, because its channel takes no posts, get one more.
    """
    row = execute(select(jobs).where(jobs.c.id == job.id)).one()
    about = or_(posts.c.watched_job == row.id, posts.c.request == (own.id if own else ""))
    reached = select(posts.c.recipient).distinct().where(about, posts.c.recipient != job.asked)
    recipients = [*execute(reached).scalars(), *([] if own else [None])]
    for each in recipients:
        execute(insert(posts), new_job_post(now, row, PostKind.ALARM, each))


def new_job_post(
    now: datetime,
    job: Any,  # noqa: ANN401 - a database row
    kind: PostKind,
    recipient: str | None = None,
) -> dict[str, Any]:
    """Return the row of a new message; a restore into another project has no version."""
    is_announcement = kind is PostKind.ANNOUNCEMENT
    kind = PostKind.RESTORE if is_announcement and not job.version else kind
    number = job.version if is_announcement else 0
    subject = f"{job.project_id}/{job.cluster_name}/{job.job_id}"
    return {
        "watched_job": job.id,
        "recipient": recipient,
        "priority": ANNOUNCEMENT_PRIORITY if is_announcement else FIRST,
        "kind": kind,
        "at": now,
        "detail": "{}",
        "state": PostState.DUE,
        "due_at": now,
        "client_msg_id": message_id(subject, f"{kind}:{recipient}" if recipient else kind, number),
    }
