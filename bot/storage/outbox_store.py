"""The ledger's outbox: what is to be posted, claimed one by one, and what became of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bot.cancellation.events import EventName
from bot.cancellation.posts import Post, PostKind
from bot.storage.queries import outbox as outbox_queries
from bot.storage.queries import requests as request_queries
from bot.storage.unit_of_work import UnitOfWork, write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from bot.cancellation.lifecycle import Request
    from bot.storage.database import Database

T = TypeVar("T")

#: Seconds for which a post is taken: longer than any call to Slack may last.
LEASE = timedelta(seconds=15)

#: An error's text is kept for the operator, not a whole page of it.
ERROR_LENGTH = 200


class OutboxStore:
    """`Posts` on the ledger's database."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def claim_posts(self, owner: str, limit: int) -> Sequence[Post]:
        """Take up to `limit` posts that are due, in order within each request."""
        return await self._write(lambda uow: _claim(uow, owner, limit))

    async def post_sent(self, post: Post, channel: str, ts: str) -> None:
        """Note where the message stands now; a card's place becomes its request's."""

        def work(uow: UnitOfWork) -> None:
            values = {"state": "sent", "channel": channel, "ts": ts, "error": None}
            uow.execute(outbox_queries.change_post(post.id, values))
            if post.kind is PostKind.CARD:
                uow.execute(request_queries.place_card(post.request.id, channel, ts))

        await self._write(work)

    async def post_again(self, post: Post, seconds: float, error: str) -> None:
        """Put the post back, due again in `seconds`."""

        def work(uow: UnitOfWork) -> None:
            values = {
                "due_at": uow.now + timedelta(seconds=seconds),
                "lease_owner": None,
                "lease_until": None,
                "error": error[:ERROR_LENGTH],
            }
            uow.execute(outbox_queries.change_post(post.id, values))

        await self._write(work)

    async def post_dropped(self, post: Post, error: str) -> None:
        """Give the post up, for good and on record."""

        def work(uow: UnitOfWork) -> None:
            values = {"state": "dropped", "error": error[:ERROR_LENGTH]}
            uow.execute(outbox_queries.change_post(post.id, values))
            detail = {"post": f"{post.kind}:{post.event}", "error": error[:ERROR_LENGTH]}
            uow.record(post.request, EventName.POST_DROPPED, detail=detail)

        await self._write(work)

    async def move_card(self, post: Post, channel: str, because: str) -> None:
        """Send the request's card, and all that follows it, to `channel` instead, on record."""

        def work(uow: UnitOfWork) -> None:
            uow.execute(request_queries.move_card(post.request.id, channel, because))
            values = {"due_at": uow.now, "lease_owner": None, "lease_until": None}
            uow.execute(outbox_queries.change_post(post.id, values))
            detail = {"from": post.request.channel, "to": channel, "because": because}
            uow.record(post.request, EventName.CARD_MOVED, detail=detail)

        await self._write(work)

    async def _write(self, work: Callable[[UnitOfWork], T]) -> T:
        return await write(self._database, self._now, work, background=True)


def _claim(uow: UnitOfWork, owner: str, limit: int) -> list[Post]:
    bounds = outbox_queries.bounds(uow.now, limit)
    due = uow.execute(outbox_queries.lock_due_posts(), bounds).scalars().all()
    if not due:
        return []
    mine = outbox_queries.claim(due, owner, uow.now + LEASE)
    rows = uow.execute(outbox_queries.claim_posts(), mine).all()
    requests = uow.get_many({row.request for row in rows})
    # In the order in which they were written, which an UPDATE does not keep.
    return [_post(row, requests[row.request]) for row in sorted(rows, key=lambda row: row.id)]


def _post(row: Any, request: Request) -> Post:  # noqa: ANN401 - a database row
    return Post(
        id=row.id,
        request=request,
        kind=PostKind(row.kind),
        event=EventName(row.event),
        actor=row.actor,
        at=row.at,
        client_msg_id=row.client_msg_id,
        attempts=row.attempts,
        detail=json.loads(row.detail),
    )
