"""The rows of new posts: messages about requests, updates of their cards, and announcements."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, bindparam, insert, literal_column, or_, select, text, update
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.events import EventName
from bot.cancellation.job import QuarantineDecision
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.posts import PostKind, PostState, message_id
from bot.storage.tables import IS_DIRECT_ANNOUNCEMENT, posts

NO_DELAY = timedelta()
#: Delay of an update of copies while the request is open: a quick run needs only the last one.
COPY_DELAY = timedelta(seconds=2)
#: The priorities of posts that are sent before and after others, which have 0.
FIRST, LAST = -1, 1
#: Announcements are claimed after all posts about requests.
ANNOUNCEMENT_PRIORITY = 1

Execute = Callable[..., Any]
#: A literal, not a parameter: databases use a partial index only for a literal condition.
DUE: ColumnElement[str] = literal_column(f"'{PostState.DUE}'")
_IS_UNCLAIMED = and_(posts.c.state == DUE, posts.c.lease_until.is_(None))
#: Condition: an unclaimed card or edit, which will show the current row of its request. A card that
#: was attempted before is excluded: Slack may have it as it was then, and answers the repeated call
#: with that message.
_WILL_SHOW = and_(
    _IS_UNCLAIMED,
    or_(posts.c.kind == PostKind.EDIT, (posts.c.kind == PostKind.CARD) & (posts.c.attempts == 0)),
)
#: Selects and locks the posts of the request `of` that will show its current row, and the copies
#: that are to follow it, the newest first. Without the lock another replica could claim one now and
#: show the row as it was. The delivery of a copy locks the request before, too.
SHOWING_POSTS = (
    select(posts)
    .where(
        posts.c.request == bindparam("of"),
        or_(_WILL_SHOW, and_(posts.c.kind == PostKind.COPY, posts.c.state != PostState.DROPPED)),
    )
    .order_by(posts.c.id.desc())
    .with_for_update()
)


def new_post(
    request: Request,
    kind: PostKind,
    name: EventName,
    number: int,
    now: datetime,
    *,
    delay: timedelta = NO_DELAY,
    recipient: str | None = None,
    edits: int | None = None,
) -> dict[str, Any]:
    """Return the row of a new post; `edits` is the copy that it updates."""
    parts = (kind, name, recipient, edits)
    return {
        "request": request.id,
        "kind": kind,
        "event": name,
        "actor": None,
        "recipient": recipient,
        "edits": edits,
        "at": now,
        "detail": "{}",
        "state": PostState.DUE,
        "due_at": now + delay,
        "priority": _priority(kind, request, recipient),
        "client_msg_id": message_id(request.id, ":".join(str(p) for p in parts if p), number),
    }


def _priority(kind: PostKind, request: Request, recipient: str | None) -> int:
    """Return the priority of a post: the lowest is sent first.

    Steps, outcomes and what is in quarantine precede the cards of other requests; direct messages
    follow.
    """
    is_urgent = request.state.ended or request.state is State.QUARANTINED
    if recipient:
        return 0 if is_urgent else LAST
    return FIRST if kind is PostKind.REPLY or is_urgent else 0


def needed_updates(
    execute: Execute,
    request: Request,
    event: EventName,
    number: int,
    now: datetime,
    *,
    delay: timedelta = NO_DELAY,
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the updates of a card and its copies that no pending post makes needless.

    A pending post that will show the current row is made due as early as the update would be.
    """
    found = execute(SHOWING_POSTS, {"of": request.id}).all()
    copies = {post.id: post for post in found if post.kind == PostKind.COPY}
    card: list[int | None] = [None] if request.channel else []
    for edits in [*card, *copies]:
        copy = copies.get(edits) if edits else None
        row = new_post(
            request,
            PostKind.EDIT,
            event,
            number,
            now,
            delay=max(delay, COPY_DELAY) if copy and not request.state.ended else delay,
            recipient=copy.recipient if copy else None,
            edits=edits,
        )
        if pending := [post for post in found if post.id not in copies and post.edits == edits]:
            _make_due_earlier(execute, row, pending)
        elif not (copy and copy.state == PostState.DUE and not copy.attempts):
            yield row


def _make_due_earlier(execute: Execute, row: dict[str, Any], pending: Iterable[Any]) -> None:
    """Make pending posts due as early as `row` would be, or send them before others."""
    earlier = {name: row[name] for name in ("due_at", "priority")}
    if late := [post.id for post in pending if any(getattr(post, n) > earlier[n] for n in earlier)]:
        execute(update(posts).where(posts.c.id.in_(late)).values(**earlier))


def announce(execute: Execute, now: datetime, jobs: Iterable[Any]) -> None:
    """Enqueue the announcements of these rows of watched jobs, where none is pending."""
    if rows := [row for job in jobs for row in _announcements(execute, now, job)]:
        execute(insert(posts), rows)


def _announcements(execute: Execute, now: datetime, job: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - a database row
    """Yield the rows that no card of a quarantine, and no pending post, makes needless.

    A first post that was attempted does not: Slack may have it as it was then.
    """
    if job.quarantine == QuarantineDecision.CARD:
        return
    if job.version == 1:
        yield new_announcement(now, job, None)
        return
    pending = execute(pending_announcements(job.id)).all()
    places = [(None, bool(job.channel)), *_is_sent_to(execute, job).items()]
    for recipient, posted in places:
        mine = [post for post in pending if post.recipient == recipient]
        if not any(posted or post.attempts == 0 for post in mine):
            yield new_announcement(now, job, recipient)


def pending_announcements(job_id: int) -> Select[Any]:
    """Select and lock the unclaimed posts about a watched job, for the same reason as above."""
    values = select(posts.c.recipient, posts.c.attempts)
    about_job = values.where(posts.c.watched_job == job_id, _IS_UNCLAIMED)
    return about_job.with_for_update()


def direct_announcements(job_ids: Iterable[int]) -> Select[Any]:
    """Select the announcements of jobs to persons, whether they were delivered or not."""
    of_jobs = posts.c.watched_job.in_(list(job_ids))
    return select(posts).where(text(IS_DIRECT_ANNOUNCEMENT), of_jobs)


def _is_sent_to(execute: Execute, job: Any) -> dict[str, bool]:  # noqa: ANN401 - a database row
    """Return to whom a job is announced directly, and whether they have the message."""
    found: dict[str, bool] = {}
    for row in execute(direct_announcements([job.id])):
        if row.state != PostState.DROPPED:
            found[row.recipient] = found.get(row.recipient, False) or row.state == PostState.SENT
    return found


def new_announcement(now: datetime, job: Any, recipient: str | None) -> dict[str, Any]:  # noqa: ANN401 - a database row
    subject = f"{job.project_id}/{job.cluster_name}/{job.job_id}"
    event = f"{PostKind.ANNOUNCEMENT}:{recipient}" if recipient else PostKind.ANNOUNCEMENT
    return {
        "watched_job": job.id,
        "recipient": recipient,
        "priority": ANNOUNCEMENT_PRIORITY,
        "kind": PostKind.ANNOUNCEMENT,
        "at": now,
        "detail": "{}",
        "state": PostState.DUE,
        "due_at": now,
        "client_msg_id": message_id(subject, event, job.version),
    }
