"""The SQL statements of the outbox."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    Delete,
    Integer,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ColumnElement

from bot.cancellation.events import EventName
from bot.cancellation.posts import PostKind
from bot.storage.database import has_passed
from bot.storage.tables import posts

#: A literal, not a parameter: databases use a partial index only for a literal condition.
DUE: ColumnElement[str] = literal_column("'due'")

#: An upper bound of every retry delay and lease; see `has_passed`.
LONGEST_DELAY = timedelta(minutes=2)


NEW_POSTS = insert(posts)

#: Condition: an unclaimed card or edit, which will show the current row of its request. A card that
#: was attempted before is excluded: Slack may have it as it was then, and answers the repeated call
#: with that message.
_WILL_SHOW = and_(
    posts.c.state == DUE,
    posts.c.kind.in_([PostKind.CARD, PostKind.EDIT]),
    posts.c.lease_until.is_(None),
    or_(posts.c.kind == PostKind.EDIT, posts.c.attempts == 0),
)

#: Selects and locks the posts of the request `of` that will show its current row, and the copies
#: that are to follow it, the newest first. Without the lock another replica could claim one now and
#: show the row as it was. Whoever records the delivery of a copy locks the request before, too.
SHOWING_POSTS = (
    select(posts)
    .where(
        posts.c.request == bindparam("of"),
        or_(_WILL_SHOW, and_(posts.c.kind == PostKind.COPY, posts.c.state != "dropped")),
    )
    .order_by(posts.c.id.desc())
    .with_for_update()
)


def copies_told_at(request_id: str, at: datetime) -> Select[Any]:
    """Read the copies that told the approvers of a request first."""
    return (
        select(posts.c.state, posts.c.detail)
        .where(
            posts.c.request == request_id,
            posts.c.kind == PostKind.COPY,
            posts.c.event == EventName.NOTIFIED,
            posts.c.at == at,
        )
        .order_by(posts.c.id)
    )


def places_of(post_ids: Iterable[int]) -> Select[Any]:
    """Read where posts were delivered, if Slack returned their places."""
    is_known = posts.c.ts != ""
    places = select(posts.c.id, posts.c.channel, posts.c.ts)
    return places.where(posts.c.id.in_(list(post_ids)), is_known)


def pending_announcements(watched_job_id: int) -> Select[Any]:
    """Select and lock the unclaimed posts about a watched job, for the same reason."""
    return (
        select(posts.c.id, posts.c.attempts)
        .where(
            posts.c.watched_job == watched_job_id,
            posts.c.state == DUE,
            posts.c.lease_until.is_(None),
        )
        .with_for_update()
    )


def hasten_posts(post_ids: Iterable[int], due_at: datetime, priority: int) -> Update:
    """Make posts due earlier, or send them before others."""
    values = {"due_at": due_at, "priority": priority}
    return update(posts).where(posts.c.id.in_(list(post_ids))).values(**values)


@cache
def due_posts() -> Select[Any]:
    """List the posts that may be delivered, by priority; `bounds` gives the parameters.

    A request's card precedes all of its posts, a copy its edits, and posts of one kind to one
    recipient keep their order, so that an older state of a message never follows a newer one.
    """
    earlier = posts.alias()
    same_place = earlier.c.recipient.is_not_distinct_from(posts.c.recipient)
    same_kind = and_(earlier.c.kind == posts.c.kind, same_place)
    edited = earlier.c.id == posts.c.edits
    blocking = or_(earlier.c.kind == PostKind.CARD, same_kind, edited)
    before = (earlier.c.state == DUE, earlier.c.id < posts.c.id)
    after_request = exists().where(earlier.c.request == posts.c.request, *before, blocking)
    after_job = exists().where(earlier.c.watched_job == posts.c.watched_job, *before)
    now, far = (bindparam(name, type_=posts.c.due_at.type) for name in ("now", "far"))
    unclaimed = or_(posts.c.lease_until.is_(None), has_passed(posts.c.lease_until, now, far))
    is_due = has_passed(posts.c.due_at, now, far)
    return (
        select(posts.c.id, posts.c.watched_job, posts.c.recipient)
        .where(posts.c.state == DUE, is_due, unclaimed, ~after_request, ~after_job)
        .order_by(posts.c.priority, posts.c.id)
        .limit(bindparam("limit", type_=Integer))
    )


def bounds(now: datetime, limit: int) -> dict[str, Any]:
    """Return the parameters of `due_posts`."""
    return {"now": now, "far": now + LONGEST_DELAY, "limit": limit}


@cache
def lock_due_posts() -> Select[Any]:
    """Lock the posts that may be delivered; posts that another replica locks are skipped."""
    return due_posts().with_for_update(of=posts, skip_locked=True)


#: Claims the locked posts `ids`; `claim` gives the parameters.
CLAIM_POSTS = (
    update(posts)
    .where(posts.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        lease_owner=bindparam("owner", type_=posts.c.lease_owner.type),
        lease_until=bindparam("until", type_=posts.c.lease_until.type),
        attempts=posts.c.attempts + 1,
    )
    .returning(posts)
)


def claim(post_ids: Iterable[int], owner: str, until: datetime) -> dict[str, Any]:
    """Return the parameters of `CLAIM_POSTS`."""
    return {"ids": list(post_ids), "owner": owner, "until": until}


def release_claims(owner: str, held: Iterable[int]) -> Update:
    """End the claims of `owner`, except on the posts `held`."""
    return (
        update(posts)
        .where(posts.c.state == DUE, posts.c.lease_owner == owner, posts.c.id.not_in(list(held)))
        .values(lease_owner=None, lease_until=None)
    )


def prune_announcements(before: datetime) -> Delete:
    """Delete delivered and dropped posts about watched jobs, which keep the place themselves."""
    old = (posts.c.watched_job.is_not(None), posts.c.state != "due", posts.c.at < before)
    return delete(posts).where(*old)


def update_post(post_id: int, values: dict[str, Any]) -> Update:
    """Update a post that is still due."""
    return update(posts).where(posts.c.id == post_id, posts.c.state == DUE).values(**values)
