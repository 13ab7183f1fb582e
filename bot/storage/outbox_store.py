"""The outbox: claims posts for delivery and records the results."""

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Integer, Select, and_, bindparam, exists, or_, select, update

from bot.cancellation.events import Event, EventName
from bot.cancellation.lifecycle import UNDECIDED, Card
from bot.cancellation.posts import Announcement, Post, PostKind, PostState, RequestPost
from bot.storage import queries
from bot.storage.database import has_passed
from bot.storage.job_store import get_announced, get_or_new
from bot.storage.posts import DUE, direct_announcements
from bot.storage.request_writer import UPDATE_REQUEST
from bot.storage.tables import jobs, milliseconds, posts
from bot.storage.unit_of_work import Store, UnitOfWork, writes

LEASE = timedelta(seconds=6)  #: of a claim without renewal; a post of a dead leader waits for it
LONGEST_DELAY = timedelta(minutes=2)  #: an upper bound of retry delays and leases; see `has_passed`
ERROR_LENGTH = 200  #: characters of an error that are stored


def _due_posts() -> Select[Any]:
    """List the posts that may be delivered, by priority.

    Parameters: `owner`, the ids that it has `held`, `now`, `far`, `limit`.

    A request's card precedes all of its posts, but those to persons only until Slack refused it: a
    channel may take no posts. A copy precedes its edits, and posts of one kind to one recipient
    keep their order, so that an older state of a message never follows a newer one.
    """
    earlier = posts.alias()
    is_card = and_(
        earlier.c.kind == PostKind.CARD,
        or_(posts.c.recipient.is_(None), earlier.c.error.is_(None)),
    )
    same_place = earlier.c.recipient.is_not_distinct_from(posts.c.recipient)
    same_kind = and_(earlier.c.kind == posts.c.kind, same_place)
    edited = earlier.c.id == posts.c.edits
    blocking = or_(is_card, same_kind, edited)
    before = (earlier.c.state == DUE, earlier.c.id < posts.c.id)
    after_request = exists().where(earlier.c.request == posts.c.request, *before, blocking)
    after_job = exists().where(earlier.c.watched_job == posts.c.watched_job, *before, same_place)
    now, far = (bindparam(name, type_=posts.c.due_at.type) for name in ("now", "far"))
    # A claim of another replica is one of the edition before, or of a leader that is dead.
    is_over = or_(posts.c.lease_until.is_(None), has_passed(posts.c.lease_until, now, far))
    is_free = or_(is_over, posts.c.lease_owner == bindparam("owner"))
    is_due = has_passed(posts.c.due_at, now, far)
    in_progress = posts.c.id.in_(bindparam("held", expanding=True))
    return (
        select(posts.c.id, posts.c.watched_job, posts.c.recipient)
        .where(posts.c.state == DUE, is_due, is_free, ~in_progress, ~after_request, ~after_job)
        .order_by(posts.c.priority, posts.c.id)
        .limit(bindparam("limit", type_=Integer))
    )


DUE_POSTS = _due_posts()
_CHANGE_POST = update(posts).where(posts.c.id == bindparam("of"), posts.c.state == DUE)
#: Locks the posts that may be delivered; posts that another replica locks are skipped.
LOCK_DUE_POSTS = DUE_POSTS.with_for_update(of=posts, skip_locked=True)
#: Claims the locked posts `ids` for `owner` `until` then.
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


class OutboxStore(Store):
    """Posts in one database; every method raises `StorageError` when the database fails."""

    background = True

    @writes
    def claim(
        self,
        uow: UnitOfWork,
        owner: str,
        limit: int,
        announcements: int = 0,
        direct: int = 0,
        *,
        held: Collection[int] = (),
    ) -> Sequence[Post]:
        """Claim due posts, in order within each request and watched job.

        Claims at most `limit` posts about requests, of which `direct` to one person, and
        `announcements` about watched jobs. The owner is delivering those that it has `held`; its
        other claims are due again, since no answer to them came.
        """
        if held:  # for a replica of the edition before, which takes over claims that run out
            own = select(posts.c.id).where(posts.c.id.in_(list(held)), posts.c.state == DUE)
            renewed = update(posts).where(posts.c.id.in_(own.with_for_update(skip_locked=True)))
            uow.execute(renewed.values(lease_until=uow.now + LEASE))
        values = {"owner": owner, "held": list(held), "now": uow.now}
        values |= {"far": uow.now + LONGEST_DELAY, "limit": limit + announcements}
        due = uow.execute(LOCK_DUE_POSTS, values).all()
        about_requests = [row.id for row in due if row.watched_job is None and not row.recipient]
        about_requests += [row.id for row in due if row.recipient][:direct]  # they come last
        about_jobs = [row.id for row in due if row.watched_job is not None]
        claimed = about_requests[:limit] + about_jobs[:announcements]
        if not claimed:
            return []
        lease = {"ids": claimed, "owner": owner, "until": uow.now + LEASE}
        rows = uow.execute(CLAIM_POSTS, lease).all()
        # An UPDATE returns its rows in any order.
        return _posts(uow, sorted(rows, key=lambda row: (row.priority, row.id)))

    @writes
    def mark_sent(self, uow: UnitOfWork, post: Post, channel: str, ts: str) -> None:
        """Record the message's place, which becomes that of the request's card or of the job."""
        _end_delivery(uow, post, state=PostState.SENT, channel=channel, ts=ts, error=None)
        match post:
            case Announcement(recipient=None, job=job):
                announced = update(jobs).where(jobs.c.id == job.id)
                uow.execute(announced.values(channel=channel, ts=ts))
            case RequestPost(kind=PostKind.CARD, request=request):
                place = {"card_channel": channel, "card_ts": ts}
                uow.execute(UPDATE_REQUEST, {"of": request.id, **place})

    @writes
    def retry_later(
        self, uow: UnitOfWork, post: Post, seconds: float, error: str | None = None
    ) -> None:
        """Release the post, due again in `seconds`; without an error it was not even tried."""
        tried = {"error": error[:ERROR_LENGTH]} if error else {"attempts": post.attempts - 1}
        _release(uow, post, seconds, **tried)

    @writes
    def drop(self, uow: UnitOfWork, post: Post, error: str | None = None) -> None:
        """End delivery without success; a request's audit log gets the error, if there is one."""
        why = {"error": error[:ERROR_LENGTH]} if error else {}
        _end_delivery(uow, post, state=PostState.DROPPED, **why)
        if why and isinstance(post, RequestPost):
            detail = {"post": f"{post.kind}:{post.event}", **why}
            if post.recipient:
                detail["recipient"] = post.recipient
            uow.record(post.request, EventName.POST_DROPPED, detail=detail)

    @writes
    def move_card(self, uow: UnitOfWork, post: RequestPost, channel: str, because: str) -> None:
        """Redirect the request's card and all its later posts to `channel`; it is audited."""
        moved = {"channel": channel, "moved_because": because}
        uow.execute(UPDATE_REQUEST, {"of": post.request.id, **moved})
        _release(uow, post, 0)
        detail = {"from": post.request.channel, "to": channel, "because": because}
        uow.record(post.request, EventName.CARD_MOVED, detail=detail)


def _release(uow: UnitOfWork, post: Post, seconds: float, **values: object) -> None:
    """End the claim of a post, which is due again in `seconds`."""
    due_at = uow.now + timedelta(seconds=seconds)
    _update(uow, post, due_at=due_at, lease_owner=None, lease_until=None, **values)


def _update(uow: UnitOfWork, post: Post, **values: object) -> bool:
    """Change a post that is still due; False if it is not."""
    return bool(uow.execute(_CHANGE_POST, {"of": post.id, **values}).rowcount)


def _end_delivery(uow: UnitOfWork, post: Post, **values: object) -> None:
    """Record how the delivery ended; after the last first copy, reply with who was reached."""
    if not (isinstance(post, RequestPost) and post.kind is PostKind.COPY):
        _update(uow, post, **values)
        return
    # Before the post: a transition locks them in this order. It also lets one copy be the last.
    request = uow.lock(post.request.id)
    is_open = _update(uow, post, **values) and request.state in UNDECIDED
    if not (is_open and post.event is EventName.NOTIFIED):
        return
    first_notice = (
        posts.c.request == request.id,
        posts.c.kind == PostKind.COPY,
        posts.c.event == EventName.NOTIFIED,
        posts.c.at == post.at,
    )
    first_copies = select(posts.c.state, posts.c.detail).where(*first_notice).order_by(posts.c.id)
    copies = uow.execute(first_copies).all()
    if all(copy.state != PostState.DUE for copy in copies):
        names = [json.loads(copy.detail)["name"] for copy in copies if copy.state == PostState.SENT]
        number, at = milliseconds(post.at), post.at.isoformat()
        reached = Event(
            name=post.event, request=request.id, number=number, at=at, detail={"names": names}
        )
        uow.enqueue_message(request, PostKind.REPLY, reached)


def _posts(uow: UnitOfWork, rows: Sequence[Any]) -> list[Post]:
    """Build posts from their rows, with their requests and jobs as these are now."""
    request_ids = {"ids": [row.request for row in rows if row.request]}
    job_ids = {row.watched_job for row in rows if row.watched_job}
    requests = {each.id: each for each in uow.get_all(queries.REQUESTS_BY_IDS, request_ids)}
    announced = get_announced(uow, job_ids) if job_ids else {}
    places = _places(uow, [row.edits for row in rows if row.edits])
    direct = _direct_places(uow, job_ids)
    about = get_or_new(uow, {request.ref for request in requests.values()})
    claimed: list[Post] = []
    for row in rows:
        names = ("id", "client_msg_id", "attempts", "recipient")
        message: dict[str, Any] = {name: getattr(row, name) for name in names}
        message["kind"] = PostKind(row.kind)
        if row.watched_job:
            place = direct.get((row.watched_job, row.recipient))
            claimed.append(Announcement(**message, job=announced[row.watched_job], copy=place))
            continue
        request = requests[row.request]
        post = RequestPost(
            **message,
            request=request,
            event=EventName(row.event),
            actor=row.actor,
            at=row.at,
            detail=json.loads(row.detail),
            job=about[request.ref],
            copy=places.get(row.edits),
        )
        claimed.append(post)
    return claimed


def _direct_places(uow: UnitOfWork, job_ids: Collection[int]) -> dict[tuple[int, str], Card]:
    """Read where announcements were delivered to persons, by job and recipient."""
    if not job_ids:
        return {}
    rows = uow.execute(direct_announcements(job_ids))
    sent = [row for row in rows if row.state == PostState.SENT]
    return {(row.watched_job, row.recipient): Card(channel=row.channel, ts=row.ts) for row in sent}


def _places(uow: UnitOfWork, copies: Sequence[int]) -> dict[int, Card]:
    """Read where copies were delivered, if Slack returned their places."""
    if not copies:
        return {}
    delivered = select(posts).where(posts.c.id.in_(copies), posts.c.ts != "")
    return {row.id: Card(channel=row.channel, ts=row.ts) for row in uow.execute(delivered)}
