"""An outbox store in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from bot.cancellation.lifecycle import Card
from bot.cancellation.posts import JobPost, Post, PostKind, RequestPost
from bot.storage.database import Database
from bot.storage.outbox_store import OutboxStore


@dataclass
class FakeOutboxStore(OutboxStore):
    """Keeps the order within each subject; `faults` are raised by the next calls."""

    database: Database = field(init=False)
    now: Callable[[], datetime] = field(init=False)
    due: list[Post] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    claims: int = 0
    held: list[Collection[int]] = field(default_factory=list)
    sent: list[tuple[int, str, str]] = field(default_factory=list)
    retries: list[tuple[int, float, str]] = field(default_factory=list)
    dropped: list[tuple[int, str]] = field(default_factory=list)
    discarded: list[int] = field(default_factory=list)
    moved: list[tuple[int, str, str]] = field(default_factory=list)
    claim_faults: list[Exception] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    async def claim(
        self,
        owner: str,
        limit: int,
        announcements: int = 0,
        direct: int = 0,
        *,
        held: Collection[int] = (),
    ) -> Sequence[Post]:
        self.claims += 1
        self.held.append(held)
        if self.claim_faults:
            raise self.claim_faults.pop(0)
        free = {RequestPost: limit, JobPost: announcements}
        claimed: list[Post] = []
        for post in list(self.due):
            if subject_of(post) not in self.busy and free[type(post)]:
                free[type(post)] -= 1
                self.busy.add(subject_of(post))
                self.due.remove(post)
                claimed.append(post)
        return claimed

    async def mark_sent(self, post: Post, channel: str, ts: str) -> None:
        self._record(post)
        self.sent.append((post.id, channel, ts))
        if isinstance(post, RequestPost) and post.kind is PostKind.CARD:
            place = Card(channel=channel, ts=ts)
            self.due = [_with_card(each, post.request.id, place) for each in self.due]

    async def retry_later(self, post: Post, seconds: float, error: str | None = None) -> None:
        self._record(post)
        self.retries.append((post.id, seconds, error or "postponed"))

    async def drop(self, post: Post, error: str | None = None) -> None:
        self._record(post)
        if error:
            self.dropped.append((post.id, error))
        else:
            self.discarded.append(post.id)

    async def move_card(self, post: RequestPost, channel: str, because: str) -> None:
        self._record(post)
        self.moved.append((post.id, channel, because))

    def _record(self, post: Post) -> None:
        if self.faults:
            raise self.faults.pop(0)
        self.busy.discard(subject_of(post))


def subject_of(post: Post) -> str:
    return post.request.id if isinstance(post, RequestPost) else str(post.job.id)


def _with_card(post: Post, request_id: str, place: Card) -> Post:
    if not isinstance(post, RequestPost) or post.request.id != request_id:
        return post
    return replace(post, request=replace(post.request, card=place))
