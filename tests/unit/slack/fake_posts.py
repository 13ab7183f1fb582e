"""An outbox in memory: in order within each request, and it notes what became of each post."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bot.cancellation.lifecycle import Card
from bot.cancellation.posts import PostKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bot.cancellation.posts import Post


@dataclass(slots=True)
class FakePosts:
    """`Posts`, with faults: each of `faults` is raised once, by whatever is called next."""

    due: list[Post] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    claims: int = 0
    sent: list[tuple[int, str, str]] = field(default_factory=list)
    again: list[tuple[int, float, str]] = field(default_factory=list)
    dropped: list[tuple[int, str]] = field(default_factory=list)
    moved: list[tuple[int, str, str]] = field(default_factory=list)
    claim_faults: list[Exception] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    async def claim_posts(self, owner: str, limit: int) -> Sequence[Post]:
        self.claims += 1
        if self.claim_faults:
            raise self.claim_faults.pop(0)
        claimed: list[Post] = []
        for post in list(self.due):
            if post.request.id not in self.busy and len(claimed) < limit:
                self.busy.add(post.request.id)
                self.due.remove(post)
                claimed.append(post)
        return claimed

    async def post_sent(self, post: Post, channel: str, ts: str) -> None:
        self._note(post)
        self.sent.append((post.id, channel, ts))
        if post.kind is PostKind.CARD:
            place = Card(channel=channel, ts=ts)
            self.due = [
                replace(each, request=replace(each.request, card=place))
                if each.request.id == post.request.id
                else each
                for each in self.due
            ]

    async def post_again(self, post: Post, seconds: float, error: str) -> None:
        self._note(post)
        self.again.append((post.id, seconds, error))

    async def post_dropped(self, post: Post, error: str) -> None:
        self._note(post)
        self.dropped.append((post.id, error))

    async def move_card(self, post: Post, channel: str, because: str) -> None:
        self._note(post)
        self.moved.append((post.id, channel, because))

    def _note(self, post: Post) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.busy.discard(post.request.id)
