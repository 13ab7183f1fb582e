"""The outbox: claims posts for delivery and records the results."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Select, and_, bindparam, case, delete, exists, or_, select, text, update

from bot.cancellation.events import Event, EventName
from bot.cancellation.lifecycle import UNDECIDED, Card
from bot.cancellation.posts import (
    ANNOUNCEMENTS,
    JobPost,
    Post,
    PostKind,
    PostState,
    RequestPost,
)
from bot.storage.database import has_passed, milliseconds, read_value, same_values
from bot.storage.job_store import get_announced, get_or_new
from bot.storage.posts import DUE, FACTS_PRIORITY, SHOW_JOB
from bot.storage.tables import IS_DUE, jobs, posts, requests
from bot.storage.unit_of_work import Store, UnitOfWork, writes

LEASE = timedelta(seconds=6)  #: of a claim without renewal; a post of a dead leader waits for it
LONGEST_DELAY = timedelta(minutes=6)  #: an upper bound of retry delays and leases; see `has_passed`
#: After this an edit is sent once more that was tried before: Slack may carry out the earlier try
#: late, after the one that succeeded, and the message would show an old state for ever.
LATE_EDIT = timedelta(seconds=30)
ERROR_LENGTH = 200  #: characters of an error that are stored
EARLIER_EDIT = "edit"  #: the kind of an edit of the edition before


_EARLIER = posts.alias()


def _lock_due() -> Select[Any]:
    """Lock the messages that are to be posted or edited, by priority and then by time.

    Left out are those that the `owner` has `held`, and those that another replica locks.

    A request's card precedes all of its messages, but those to persons only until Slack refused it:
    a channel may take no posts. Messages of one kind to one recipient are posted in their order.
    """
    is_card = and_(
        _EARLIER.c.kind == PostKind.CARD,
        or_(posts.c.recipient.is_(None), _EARLIER.c.error.is_(None)),
    )
    same_recipient = _EARLIER.c.recipient.is_not_distinct_from(posts.c.recipient)
    blocking = or_(is_card, and_(_EARLIER.c.kind == posts.c.kind, same_recipient))
    before = (_EARLIER.c.state == DUE, _EARLIER.c.id < posts.c.id, blocking)
    after_another = exists().where(_EARLIER.c.request == posts.c.request, *before)
    now, far = (bindparam(name, type_=posts.c.due_at.type) for name in ("now", "far"))
    # A claim of another replica is one of the edition before, or of a leader that is dead.
    is_over = or_(posts.c.lease_until.is_(None), has_passed(posts.c.lease_until, now, far))
    is_free = or_(is_over, posts.c.lease_owner == bindparam("owner"))
    passed = has_passed(posts.c.due_at, now, far)
    is_held = posts.c.id.in_(bindparam("held", expanding=True))
    return (
        select(posts.c.id, posts.c.kind, posts.c.watched_job, posts.c.recipient)
        .where(text(IS_DUE), passed, is_free, ~is_held, ~after_another)
        .order_by(posts.c.priority, posts.c.due_at, posts.c.id)
        .limit(bindparam("limit"))
        .with_for_update(of=posts, skip_locked=True)
    )


_LOCK_DUE = _lock_due()  # built once: that takes longer than to run it
_detail_from_json = TypeAdapter(dict[str, Any]).validate_json
_IS_LATER_ANNOUNCEMENT = exists().where(
    _EARLIER.c.watched_job == posts.c.watched_job,
    _EARLIER.c.kind == posts.c.kind,
    _EARLIER.c.recipient.is_not_distinct_from(posts.c.recipient),
    _EARLIER.c.id < posts.c.id,
)
_IS_CHANGE = or_(posts.c.kind == EARLIER_EDIT, _IS_LATER_ANNOUNCEMENT)
_IS_FIRST_TRY = and_(posts.c.state == DUE, posts.c.attempts == 0)
#: Claims the posts `ids`. Slack may have the first try of a message and take the next one for the
#: same, so it is taken to show what the first one does.
_CLAIM = (
    update(posts)
    .where(posts.c.id.in_(bindparam("ids", expanding=True)))
    .values(
        attempts=posts.c.attempts + 1,
        shown=case((_IS_FIRST_TRY, posts.c.wanted), else_=posts.c.shown),
    )
    .returning(posts)
)


class OutboxStore(Store):
    """Posts in one database; every method raises `StorageError` when the database fails."""

    background = "loops"
    wakes_outbox = False

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

        Claims at most `limit` posts, of which `direct` to one person, and `announcements` beside
        them. The owner is delivering those that it has `held`; its
        other claims are due again, since no answer to them came.
        """
        if held:  # for a replica of the edition before, which takes over claims that run out
            mine = (posts.c.state == DUE, posts.c.lease_owner == owner)  # some end just now
            own = select(posts.c.id).where(posts.c.id.in_(list(held)), *mine)
            renewed = update(posts).where(posts.c.id.in_(own.with_for_update(skip_locked=True)))
            uow.execute(renewed.values(lease_until=uow.now + LEASE))
        asked = {"owner": owner, "held": list(held), "now": uow.now}
        asked |= {"far": uow.now + LONGEST_DELAY, "limit": limit + announcements}
        due = _adopt(uow, uow.execute(_LOCK_DUE, asked).all())
        announced = [row.id for row in due if row.kind in ANNOUNCEMENTS]
        others = [row for row in due if row.kind not in ANNOUNCEMENTS and not row.recipient]
        claimed = [row.id for row in others]
        claimed += [row.id for row in due if row.recipient][:direct]  # they come last
        claimed = claimed[:limit] + announced[:announcements]
        if not claimed:
            return []
        lease = {"lease_owner": owner, "lease_until": uow.now + LEASE}
        rows = uow.execute(_CLAIM, {"ids": claimed, **lease}).all()
        # An UPDATE returns its rows in any order. An outcome precedes the edit of its card.
        return _posts(uow, sorted(rows, key=attrgetter("priority", "state", "due_at", "id")))

    @writes
    def mark_sent(self, uow: UnitOfWork, post: Post, channel: str, ts: str) -> None:
        """Record the message's place, where it is edited from now on, or what an edit shows."""
        if post.is_edit:
            _end_delivery(uow, post, shown=post.wanted, error=None)
            if post.attempts > 1:  # unless a change is due anyway
                is_shown = (posts.c.id == post.id, posts.c.shown == posts.c.wanted)
                again = {"wanted": posts.c.wanted + 1, "due_at": uow.now + LATE_EDIT}
                uow.execute(update(posts).where(*is_shown).values(**again))
            return
        # Without a place it cannot be edited.
        known = {"ts": ts} if ts else {"ts": ts, "shown": posts.c.wanted}
        _end_delivery(uow, post, state=PostState.SENT, channel=channel, error=None, **known)
        match post:
            case JobPost(kind=PostKind.ANNOUNCEMENT | PostKind.RESTORE, recipient=None, job=job):
                announced = update(jobs).where(jobs.c.id == job.id)
                uow.execute(announced.values(channel=channel, ts=ts))
            case RequestPost(kind=PostKind.CARD, request=request):
                uow.set_places(request.id, card_channel=channel, card_ts=ts)

    @writes
    def retry_later(
        self, uow: UnitOfWork, post: Post, seconds: float, error: str | None = None
    ) -> None:
        """Release the post, due again in `seconds`; without an error it was not even tried."""
        tried = {"error": error[:ERROR_LENGTH]} if error else {"attempts": post.attempts - 1}
        _release(uow, post, seconds, **tried)

    @writes
    def drop(self, uow: UnitOfWork, post: Post, error: str | None = None) -> None:
        """End delivery without success; a request's audit log gets the error, if there is one.

        A message that Slack has stays as it is until its next change.
        """
        why = {"error": error[:ERROR_LENGTH]} if error else {}
        dropped = {"state": PostState.DROPPED, "shown": posts.c.wanted}
        _end_delivery(uow, post, **({"shown": post.wanted} if post.is_edit else dropped), **why)
        if why and isinstance(post, RequestPost):
            what = f"edit:{post.kind}" if post.is_edit else f"{post.kind}:{post.event}"
            detail = {"post": what, **why}
            if post.recipient:
                detail["recipient"] = post.recipient
            uow.record(post.request, EventName.POST_DROPPED, detail=detail)

    @writes
    def move_card(self, uow: UnitOfWork, post: RequestPost, channel: str, because: str) -> None:
        """Redirect the request's card and all its later posts to `channel`; it is audited."""
        uow.set_places(post.request.id, channel=channel, moved_because=because)
        _release(uow, post, 0)
        detail = {"from": post.request.channel, "to": channel, "because": because}
        uow.record(post.request, EventName.CARD_MOVED, detail=detail)


def _release(uow: UnitOfWork, post: Post, seconds: float, **values: object) -> None:
    """End the claim of a post, which is due again in `seconds`."""
    due_at = uow.now + timedelta(seconds=seconds)
    _update(uow, post, due_at=due_at, lease_owner=None, lease_until=None, **values)


def _update(uow: UnitOfWork, post: Post, **values: object) -> bool:
    """Change a claimed post; False if another replica has ended its delivery."""
    was = PostState.SENT if post.is_edit else PostState.DUE
    claimed = update(posts).where(posts.c.id == post.id, posts.c.state == was)
    return bool(uow.execute(claimed.values(**values)).rowcount)


def _end_delivery(uow: UnitOfWork, post: Post, **values: object) -> None:
    """Record how the delivery ended; after the last first copy, reply with who was reached."""
    values |= {"attempts": 0, "lease_owner": None, "lease_until": None}
    # Before the post: a change locks them in this order. It also lets one copy be the last.
    if not isinstance(post, RequestPost):
        uow.execute(select(jobs.c.id).where(jobs.c.id == post.job.id).with_for_update())
        _update(uow, post, **values)
        return
    request = uow.lock(post.request.id)
    is_open = _update(uow, post, **values) and request.state in UNDECIDED
    is_copy = post.kind is PostKind.COPY and not post.is_edit
    if not (is_copy and is_open and post.event is EventName.NOTIFIED):
        return
    first_notice = (
        posts.c.request == request.id,
        posts.c.kind == PostKind.COPY,
        posts.c.event == EventName.NOTIFIED,
        posts.c.at == post.at,
    )
    copies = uow.execute(select(posts).where(*first_notice).order_by(posts.c.id)).all()
    if all(copy.state != PostState.DUE for copy in copies):
        reached = [_detail(copy) for copy in copies if copy.state == PostState.SENT]
        names = [name for detail in reached if (name := detail.get("name"))]
        number, at = milliseconds(post.at), post.at.isoformat()
        event = Event(
            name=post.event, request=request.id, number=number, at=at, detail={"names": names}
        )
        uow.enqueue_message(request, PostKind.REPLY, event)


def _detail(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a database row
    return read_value(row, posts.c.detail, _detail_from_json, {})


def _adopt(uow: UnitOfWork, due: Sequence[Any]) -> Sequence[Any]:
    """Return the due messages without the changes that are rows of their own.

    The edition before adds them, perhaps from a replica that still runs.
    """
    ids = [row.id for row in due if row.kind in (EARLIER_EDIT, PostKind.ANNOUNCEMENT)]
    if not ids:
        return due
    changes = delete(posts).where(posts.c.id.in_(ids), _IS_CHANGE).returning(posts)
    adopted = {row.id: row for row in uow.execute(changes)}
    for row in adopted.values():
        if row.request:
            uow.refresh_card(uow.get(row.request))
        else:
            uow.execute(SHOW_JOB, {"of": row.watched_job, "due": uow.now})
    return [row for row in due if row.id not in adopted]


def _posts(uow: UnitOfWork, rows: Sequence[Any]) -> list[Post]:
    """Build posts from their rows, with their requests and jobs as these are now."""
    of_requests = requests.c.id.in_([row.request for row in rows if row.request])
    job_ids = {row.watched_job for row in rows if row.watched_job}
    asked = {each.id: each for each in uow.get_all(select(requests).where(of_requests))}
    announced = get_announced(uow, job_ids) if job_ids else {}
    about = get_or_new(uow, {request.ref for request in asked.values()})
    claimed: list[Post] = []
    for row in rows:
        names = ("id", "client_msg_id", "attempts", "recipient", "wanted")
        kind = read_value(row, posts.c.kind, PostKind, PostKind.REPLY)
        message: dict[str, Any] = {"kind": kind} | {name: getattr(row, name) for name in names}
        is_card = kind in (PostKind.CARD, PostKind.COPY)
        message["only_facts"] = is_card and row.priority == FACTS_PRIORITY + bool(row.recipient)
        if row.state == PostState.SENT:
            message["place"] = Card(channel=row.channel, ts=row.ts)
        if row.watched_job:
            claimed.append(JobPost(**message, job=announced[row.watched_job]))
            continue
        request = asked[row.request]
        post = RequestPost(
            **message,
            request=request,
            event=read_value(row, posts.c.event, EventName, EventName.CREATED),
            actor=row.actor,
            **same_values(row, posts, ["at"]),
            detail=_detail(row),
            job=about[request.ref],
        )
        claimed.append(post)
    return claimed
