"""The rows of new messages, and the changes that each message is to show."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Integer,
    Select,
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

from bot.cancellation.events import EventName
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
_DUE_AT = bindparam("due", type_=posts.c.due_at.type)
_IS_DUE_BEFORE = and_(text(IS_DUE), posts.c.due_at < _DUE_AT)
_SHOW = update(posts).values(
    wanted=posts.c.wanted + 1, due_at=case((_IS_DUE_BEFORE, posts.c.due_at), else_=_DUE_AT)
)
_PRIORITY = bindparam("rank", type_=Integer)
_WAITS_BEFORE = and_(text(IS_DUE), posts.c.priority < _PRIORITY)
#: Condition: the message is still to be posted, or Slack has it at a known place.
_CAN_SHOW = or_(posts.c.state == DUE, posts.c.ts != "")
#: Lets the messages of a `kind` about the request `of` show its row as it is now.
SHOW_REQUEST = _SHOW.where(
    posts.c.request == bindparam("of"), posts.c.kind == bindparam("of_kind"), _CAN_SHOW
).values(priority=case((_WAITS_BEFORE, posts.c.priority), else_=_PRIORITY))
_IS_DROPPED = and_(posts.c.state == PostState.DROPPED, posts.c.recipient.is_(None))
#: The same for the watched job `of`. An announcement that its channel did not take is due again.
SHOW_JOB = _SHOW.where(
    posts.c.watched_job == bindparam("of"),
    posts.c.kind != PostKind.ALARM,  # it shows what was said
    or_(_CAN_SHOW, _IS_DROPPED),
).values(state=case((_IS_DROPPED, DUE), else_=posts.c.state))

#: Lets the announcement of the job with these attributes, and the question to its starter, show how
#: the request for it ended.
SHOW_END = _SHOW.where(
    posts.c.watched_job == select(jobs.c.id).where(has_job(jobs)).scalar_subquery(),
    posts.c.kind.in_((PostKind.ANNOUNCEMENT, PostKind.QUESTION)),
    _CAN_SHOW,
)


def new_post(
    request: Request,
    kind: PostKind,
    name: EventName,
    number: int,
    now: datetime,
    *,
    recipient: str | None = None,
) -> dict[str, Any]:
    """Return the row of a new message about a request."""
    parts = (kind, name, recipient)
    return {
        "request": request.id,
        "kind": kind,
        "event": name,
        "actor": None,
        "recipient": recipient,
        "at": now,
        "detail": "{}",
        "state": PostState.DUE,
        "due_at": now,
        "priority": FIRST if kind is PostKind.REPLY else _priority(request) + bool(recipient),
        "client_msg_id": message_id(request.id, ":".join(str(p) for p in parts if p), number),
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
    card = {"of_kind": PostKind.CARD, "due": at, "rank": priority}
    second = {**card, "of_kind": PostKind.SECOND_CARD}
    copies_at = at if request.state.ended else now + max(delay, COPY_DELAY)
    copies = {"of_kind": PostKind.COPY, "due": copies_at, "rank": priority + 1}
    execute(SHOW_REQUEST, [{"of": request.id, **each} for each in (card, second, copies)])
    if request.state.ended and not only_facts:
        execute(SHOW_END, {"due": now, **asdict(request.ref)})


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
    row = new_post(request, PostKind.SECOND_CARD, EventName.CREATED, 0, now)
    row["client_msg_id"] = message_id(request.id, f"{row['kind']}:{clicked.ts}", 0)
    again = update(posts).where(posts.c.client_msg_id == row["client_msg_id"])
    if not execute(again.values(wanted=posts.c.wanted + 1)).rowcount:
        place = {"state": PostState.SENT, "channel": clicked.channel, "ts": clicked.ts}
        execute(insert(posts), row | place | {"wanted": 1})


def announce(execute: Execute, now: datetime, jobs: Iterable[Any]) -> None:
    """Announce these rows of watched jobs, or let their announcements show them as they are now.

    The card of a quarantine is the announcement of its job.
    """
    announced = [job for job in jobs if job.quarantine != QuarantineDecision.CARD]
    if new := [new_announcement(now, job, None) for job in announced if job.version == 1]:
        execute(insert(posts), new)
    # The question to its starter shows it, too.
    if changed := [{"of": job.id, "due": now} for job in jobs if job.version > 1]:
        execute(SHOW_JOB, changed)


def announce_restore(execute: Execute, now: datetime, job: Any, *, is_new: bool) -> None:  # noqa: ANN401 - a database row
    """Do the same for a restore into another project, whose row has no version."""
    if is_new:
        execute(insert(posts), new_announcement(now, job, None))
    else:
        execute(SHOW_JOB, {"of": job.id, "due": now})


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
        execute(insert(posts), new_alarm(now, row, each))


def posts_about(job_id: int, kinds: Collection[PostKind]) -> Select[Any]:
    """Select the messages of these kinds about a watched job, delivered or not."""
    return select(posts).where(posts.c.watched_job == job_id, posts.c.kind.in_(kinds))


def new_announcement(now: datetime, job: Any, recipient: str | None) -> dict[str, Any]:  # noqa: ANN401 - a database row
    """Return the row of a new message; a restore into another project has no version."""
    kind = PostKind.ANNOUNCEMENT if job.version else PostKind.RESTORE
    row = new_job_post(now, job, kind, recipient, job.version)
    return row | {"priority": ANNOUNCEMENT_PRIORITY}


def new_alarm(now: datetime, job: Any, recipient: str | None) -> dict[str, Any]:  # noqa: ANN401 - a database row
    return new_job_post(now, job, PostKind.ALARM, recipient)


def new_job_post(
    now: datetime,
    job: Any,  # noqa: ANN401 - a database row
    kind: PostKind,
    recipient: str | None = None,
    number: int = 0,
) -> dict[str, Any]:
    """Return the row of a new message about a watched job."""
    subject = f"{job.project_id}/{job.cluster_name}/{job.job_id}"
    return {
        "watched_job": job.id,
        "recipient": recipient,
        "priority": FIRST,
        "kind": kind,
        "at": now,
        "detail": "{}",
        "state": PostState.DUE,
        "due_at": now,
        "client_msg_id": message_id(subject, f"{kind}:{recipient}" if recipient else kind, number),
    }
