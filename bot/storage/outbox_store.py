"""The outbox: claims posts for delivery and records the results."""

import json
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any

from bot.cancellation.events import Event, EventName
from bot.cancellation.lifecycle import Card, State
from bot.cancellation.posts import Announcement, Post, PostKind, RequestPost
from bot.storage.job_facts_rows import get_facts
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.queries import watch as watch_queries
from bot.storage.store import Store, writes
from bot.storage.tables import milliseconds
from bot.storage.unit_of_work import UnitOfWork
from bot.storage.watch_store import get_watched_jobs

#: How long a claim holds: longer than any call to Slack takes.
LEASE = timedelta(seconds=15)

#: Characters of an error that are stored.
ERROR_LENGTH = 200


class OutboxStore(Store):
    """Posts in one database; every method raises `LedgerError` when the database fails."""

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
        held: Collection[int] | None = None,
    ) -> Sequence[Post]:
        """Claim due posts, in order within each request and watched job.

        Claims at most `limit` posts about requests, of which `direct` to one person, and
        `announcements` about watched jobs. `held` are the posts that this process is delivering,
        when the answer to its last claim was lost: then it may claim all others of its own again.
        """
        if held is not None:
            uow.execute(outbox_queries.release_claims(owner, held))
        return _claim(uow, owner, limit, announcements, direct)

    @writes
    def mark_sent(self, uow: UnitOfWork, post: Post, channel: str, ts: str) -> None:
        """Record the message's place, which becomes that of the request's card or of the job."""
        _end_delivery(uow, post, state="sent", channel=channel, ts=ts, error=None)
        match post:
            case Announcement(job=job):
                uow.execute(watch_queries.place_announcement(job.id, channel, ts))
            case RequestPost(kind=PostKind.CARD, request=request):
                place = {"card_channel": channel, "card_ts": ts}
                uow.execute(request_queries.update_request(request.id, **place))

    @writes
    def retry_later(self, uow: UnitOfWork, post: Post, seconds: float, error: str) -> None:
        """Release the post; it is due again in `seconds`."""
        _release(uow, post, seconds, error=error[:ERROR_LENGTH])

    @writes
    def postpone(self, uow: UnitOfWork, post: Post, seconds: float) -> None:
        """Release the post, which was not sent, because a rate limit is reached."""
        _release(uow, post, seconds, attempts=post.attempts - 1)

    @writes
    def drop(self, uow: UnitOfWork, post: Post, error: str) -> None:
        """End delivery without success; the request's audit log gets an event."""
        why = {"error": error[:ERROR_LENGTH]}
        _end_delivery(uow, post, state="dropped", **why)
        if isinstance(post, RequestPost):
            detail = {"post": f"{post.kind}:{post.event}", **why}
            if post.recipient:
                detail["recipient"] = post.recipient
            uow.record(post.request, EventName.POST_DROPPED, detail=detail)

    @writes
    def discard(self, uow: UnitOfWork, post: Post) -> None:
        """End delivery of a post that is not needed any more."""
        _end_delivery(uow, post, state="dropped")

    @writes
    def move_card(self, uow: UnitOfWork, post: RequestPost, channel: str, because: str) -> None:
        """Redirect the request's card and all its later posts to `channel`; it is audited."""
        moved = {"channel": channel, "moved_because": because}
        uow.execute(request_queries.update_request(post.request.id, **moved))
        _release(uow, post, 0)
        detail = {"from": post.request.channel, "to": channel, "because": because}
        uow.record(post.request, EventName.CARD_MOVED, detail=detail)


def _release(uow: UnitOfWork, post: Post, seconds: float, **values: object) -> None:
    """End the claim of a post, which is due again in `seconds`."""
    due_at = uow.now + timedelta(seconds=seconds)
    _update(uow, post, due_at=due_at, lease_owner=None, lease_until=None, **values)


def _update(uow: UnitOfWork, post: Post, **values: object) -> bool:
    return bool(uow.execute(outbox_queries.update_post(post.id, values)).rowcount)


def _end_delivery(uow: UnitOfWork, post: Post, **values: object) -> None:
    """Record how the delivery ended; after the last of the first copies say who was reached."""
    if not (isinstance(post, RequestPost) and post.kind is PostKind.COPY):
        _update(uow, post, **values)
        return
    # Before the post: a transition locks them in this order. It also lets one copy be the last.
    request = uow.lock(post.request.id)
    is_open = _update(uow, post, **values) and request.state is State.AWAITING
    if not (is_open and post.event is EventName.NOTIFIED):
        return
    copies = uow.execute(outbox_queries.copies_told_at(request.id, post.at)).all()
    if all(copy.state != "due" for copy in copies):
        names = [json.loads(copy.detail)["name"] for copy in copies if copy.state == "sent"]
        number, at = milliseconds(post.at), post.at.isoformat()
        told = Event(
            name=post.event, request=request.id, number=number, at=at, detail={"names": names}
        )
        uow.enqueue_message(request, PostKind.REPLY, told)


def _claim(uow: UnitOfWork, owner: str, limit: int, announcements: int, direct: int) -> list[Post]:
    bounds = outbox_queries.bounds(uow.now, limit + announcements)
    due = uow.execute(outbox_queries.lock_due_posts(), bounds).all()
    about_requests = [row.id for row in due if row.watched_job is None and not row.recipient]
    about_requests += [row.id for row in due if row.recipient][:direct]  # they come last
    about_jobs = [row.id for row in due if row.watched_job is not None]
    claimed = about_requests[:limit] + about_jobs[:announcements]
    if not claimed:
        return []
    lease = outbox_queries.claim(claimed, owner, uow.now + LEASE)
    rows = uow.execute(outbox_queries.CLAIM_POSTS, lease).all()
    # An UPDATE returns its rows in any order.
    return _posts(uow, sorted(rows, key=lambda row: (row.priority, row.id)))


def _posts(uow: UnitOfWork, rows: Sequence[Any]) -> list[Post]:
    request_ids = {row.request for row in rows if row.request}
    job_ids = {row.watched_job for row in rows if row.watched_job}
    requests = uow.get_many(request_ids) if request_ids else {}
    jobs = get_watched_jobs(uow, job_ids) if job_ids else {}
    places = _places(uow, [row.edits for row in rows if row.edits])
    facts = get_facts(uow, {request.ref for request in requests.values()})
    return [
        Announcement(**_message(row), job=jobs[row.watched_job])
        if row.watched_job
        else RequestPost(
            **_message(row),
            request=requests[row.request],
            event=EventName(row.event),
            actor=row.actor,
            at=row.at,
            detail=json.loads(row.detail),
            facts=facts.get(requests[row.request].ref),
            recipient=row.recipient,
            copy=places.get(row.edits),
        )
        for row in rows
    ]


def _places(uow: UnitOfWork, copies: Sequence[int]) -> dict[int, Card]:
    if not copies:
        return {}
    found = uow.execute(outbox_queries.places_of(copies)).all()
    return {row.id: Card(channel=row.channel, ts=row.ts) for row in found}


def _message(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a database row
    columns = ("id", "client_msg_id", "attempts")
    return {"kind": PostKind(row.kind), **{name: getattr(row, name) for name in columns}}
