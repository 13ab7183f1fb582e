"""The ledger's outbox: what is to be posted, claimed one by one, and what became of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from bot.cancellation import post_statements, statements
from bot.cancellation.events import EventName
from bot.cancellation.page import Page, write
from bot.cancellation.posts import Post, PostKind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from bot.cancellation.database import Database
    from bot.cancellation.lifecycle import Request

T = TypeVar("T")

#: Seconds for which a post is taken: longer than any call to Slack may last.
LEASE = timedelta(seconds=15)

#: An error's text is kept for the operator, not a whole page of it.
ERROR_LENGTH = 200


class PostBox:
    """`Posts` on the ledger's database."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database = database
        self._now = now

    async def claim_posts(self, owner: str, limit: int) -> Sequence[Post]:
        """Take up to `limit` posts that are due, in order within each request."""
        return await self._write(lambda page: _claim(page, owner, limit))

    async def post_sent(self, post: Post, channel: str, ts: str) -> None:
        """Note where the message stands now; a card's place becomes its request's."""

        def work(page: Page) -> None:
            values = {"state": "sent", "channel": channel, "ts": ts, "error": None}
            page.run(post_statements.change_post(post.id, values))
            if post.kind is PostKind.CARD:
                page.run(statements.place_card(post.request.id, channel, ts))

        await self._write(work)

    async def post_again(self, post: Post, seconds: float, error: str) -> None:
        """Put the post back, due again in `seconds`."""

        def work(page: Page) -> None:
            values = {
                "due_at": page.now + timedelta(seconds=seconds),
                "claimed_by": None,
                "claimed_until": None,
                "error": error[:ERROR_LENGTH],
            }
            page.run(post_statements.change_post(post.id, values))

        await self._write(work)

    async def post_dropped(self, post: Post, error: str) -> None:
        """Give the post up, for good and on record."""

        def work(page: Page) -> None:
            values = {"state": "dropped", "error": error[:ERROR_LENGTH]}
            page.run(post_statements.change_post(post.id, values))
            detail = {"post": f"{post.kind}:{post.event}", "error": error[:ERROR_LENGTH]}
            page.record(post.request, EventName.POST_DROPPED, detail=detail)

        await self._write(work)

    async def move_card(self, post: Post, channel: str, because: str) -> None:
        """Send the request's card, and all that follows it, to `channel` instead, on record."""

        def work(page: Page) -> None:
            page.run(statements.move_card(post.request.id, channel, because))
            values = {"due_at": page.now, "claimed_by": None, "claimed_until": None}
            page.run(post_statements.change_post(post.id, values))
            detail = {"from": post.request.channel, "to": channel, "because": because}
            page.record(post.request, EventName.CARD_MOVED, detail=detail)

        await self._write(work)

    async def _write(self, work: Callable[[Page], T]) -> T:
        return await write(self._database, self._now, work, unhurried=True)


def _claim(page: Page, owner: str, limit: int) -> list[Post]:
    bounds = post_statements.bounds(page.now, limit)
    due = page.run(post_statements.lock_due_posts(), bounds).scalars().all()
    if not due:
        return []
    mine = post_statements.claim(due, owner, page.now + LEASE)
    rows = page.run(post_statements.claim_posts(), mine).all()
    requests = page.read_all({row.request for row in rows})
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
