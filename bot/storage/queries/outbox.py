"""Every statement of the outbox, named, with a sentence each."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, bindparam, exists, insert, literal_column, or_, select, update

from bot.cancellation.posts import PostKind
from bot.storage.database import has_passed
from bot.storage.tables import posts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sqlalchemy import Insert, Select, Update
    from sqlalchemy.sql.elements import ColumnElement

#: Written out, not bound: a database uses a partial index only for a condition that it can read.
DUE: ColumnElement[str] = literal_column("'due'")


#: No post is put off, or claimed, for longer; see `has_passed`.
FARTHEST = timedelta(minutes=2)


@cache
def new_posts() -> Insert:
    """Write down what is to be posted."""
    return insert(posts)


@cache
def drawings_due() -> Select[Any]:
    """Read which posts will draw the card of the request `of` as its row is then.

    Kept unclaimed until the transaction ends.

    Without the lock a replica could claim one in this very moment and draw the row as it was.

    A card whose posting was tried is no new drawing: Slack may have it, as it was drawn then, and
    answers the repetition with that one.
    """
    unseen = or_(posts.c.kind == PostKind.EDIT, posts.c.attempts == 0)
    return (
        select(posts.c.id, posts.c.due_at, posts.c.attempts)
        .where(
            posts.c.request == bindparam("of"),
            posts.c.state == DUE,
            posts.c.kind.in_([PostKind.CARD, PostKind.EDIT]),
            posts.c.lease_until.is_(None),
            unseen,
        )
        .with_for_update()
    )


def hasten_posts(post_ids: Iterable[int], due_at: datetime) -> Update:
    """Let posts be due earlier."""
    return update(posts).where(posts.c.id.in_(list(post_ids))).values(due_at=due_at)


@cache
def due_posts() -> Select[Any]:
    """List the posts that may be delivered; `bounds` gives what it takes.

    A request's card goes before everything else of it; replies keep their order; edits too, so
    that an older drawing never follows a newer one.
    """
    earlier = posts.alias()
    waits = exists().where(
        earlier.c.request == posts.c.request,
        earlier.c.state == DUE,
        earlier.c.id < posts.c.id,
        or_(earlier.c.kind == PostKind.CARD, earlier.c.kind == posts.c.kind),
    )
    now, far = (bindparam(name, type_=posts.c.due_at.type) for name in ("now", "far"))
    free = or_(posts.c.lease_until.is_(None), has_passed(posts.c.lease_until, now, far))
    return (
        select(posts.c.id)
        .where(posts.c.state == DUE, has_passed(posts.c.due_at, now, far), free, ~waits)
        .order_by(posts.c.id)
        .limit(bindparam("limit", type_=Integer))
    )


def bounds(now: datetime, limit: int) -> dict[str, Any]:
    """Deliver what is due now, so many at most."""
    return {"now": now, "far": now + FARTHEST, "limit": limit}


@cache
def lock_due_posts() -> Select[Any]:
    """List what may be delivered, and keep it from other replicas; theirs are passed over."""
    return due_posts().with_for_update(of=posts, skip_locked=True)


@cache
def claim_posts() -> Update:
    """Take the posts `ids`, which are locked for delivery; `claim` gives the values."""
    owner, until = (
        bindparam(name, type_=column.type)
        for name, column in {"owner": posts.c.lease_owner, "until": posts.c.lease_until}.items()
    )
    return (
        update(posts)
        .where(posts.c.id.in_(bindparam("ids", expanding=True)))
        .values(lease_owner=owner, lease_until=until, attempts=posts.c.attempts + 1)
        .returning(posts)
    )


def claim(post_ids: Iterable[int], owner: str, until: datetime) -> dict[str, Any]:
    """Whose the posts are, and for how long."""
    return {"ids": list(post_ids), "owner": owner, "until": until}


def change_post(post_id: int, values: dict[str, Any]) -> Update:
    """Note what became of a post that is still due."""
    return update(posts).where(posts.c.id == post_id, posts.c.state == DUE).values(**values)
