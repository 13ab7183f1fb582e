"""The outbox: which messages and replies Slack does not show yet."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import and_, func, select, text, union, update

from bot.atlas import JobRef
from bot.cancellation.download import Download
from bot.cancellation.people import People
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Request
from bot.storage import request_rows
from bot.storage.tables import (
    IS_UNPOSTED,
    NEEDS_DELIVERY,
    download_from_row,
    downloads,
    replies,
)
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A reply of a download's thread that is not posted yet."""

    id: int
    kind: ReplyKind
    people: People  #: whom it mentions
    is_broadcast: bool
    at: datetime
    actor: str | None
    detail: Mapping[str, Any]
    request: Request | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What Slack does not show yet of one download."""

    download: Download
    requests: Sequence[Request]  #: the open one first, then newest first
    wanted_version: int
    shown_version: int
    posts: int  #: how often the message was posted before, and is gone
    replies: Sequence[Reply]  #: in their order
    since: datetime  #: when the oldest of it was written

    @property
    def needs_message(self) -> bool:
        """Whether the message is to be posted or edited."""
        return self.download.ts is None or self.shown_version < self.wanted_version


class OutboxStore(Store):
    """Every method raises `StorageError`."""

    @reads
    def due(self, uow: UnitOfWork, limit: int) -> list[Delivery]:
        """Return what is to be delivered, oldest first."""
        # PostgreSQL takes a third of all rows for behind; the order and the limit name the index.
        oldest = (
            select(downloads.c.project_id, downloads.c.job_id)
            .where(text(NEEDS_DELIVERY))
            .order_by(downloads.c.changed_at)
            .limit(limit)
            .subquery()
        )
        behind = select(oldest)
        unposted = select(replies.c.project_id, replies.c.job_id).where(text(IS_UNPOSTED))
        due = union(behind, unposted).subquery()
        of = (due.c.project_id == downloads.c.project_id, due.c.job_id == downloads.c.job_id)
        statement = (
            select(downloads)
            .join(due, and_(*of))
            .where(downloads.c.channel.is_not(None))
            .order_by(downloads.c.changed_at)
            .limit(limit)
        )
        return [self._delivery(uow, row) for row in uow.execute(statement).all()]

    @writes
    def message_shown(
        self, uow: UnitOfWork, ref: JobRef, version: int, channel: str, ts: str
    ) -> None:
        """Record that Slack shows a version; a direct message has another channel than asked."""
        values = {"channel": channel, "ts": ts, "shown_version": version}
        uow.execute(update(downloads).where(*_is(ref)).values(**values))

    @writes
    def message_outdated(self, uow: UnitOfWork, ref: JobRef) -> None:
        """Let a message be edited again, which shows whether Slack still has it."""
        uow.execute(update(downloads).where(*_is(ref)).values(shown_version=0))

    @writes
    def message_lost(self, uow: UnitOfWork, ref: JobRef) -> None:
        """Let a message that Slack does not have any more, or refuses to edit, be posted again."""
        values = {"ts": None, "shown_version": 0, "posts": downloads.c.posts + 1}
        uow.execute(update(downloads).where(*_is(ref)).values(**values))

    @writes
    def reply_done(self, uow: UnitOfWork, reply_id: int, error: str | None = None) -> None:
        """Record that a reply is posted, or that Slack refuses it for good."""
        values = {"posted_at": uow.now, "error": error}
        uow.execute(update(replies).where(replies.c.id == reply_id).values(**values))

    @reads
    def oldest(self, uow: UnitOfWork) -> datetime | None:
        """Return when the oldest change was written that Slack does not show."""
        behind = select(func.min(downloads.c.changed_at)).where(text(NEEDS_DELIVERY))
        unposted = select(func.min(replies.c.at)).where(text(IS_UNPOSTED))
        moments = [uow.execute(statement).scalar() for statement in (behind, unposted)]
        return min(filter(None, moments), default=None)

    def _delivery(self, uow: UnitOfWork, row: Any) -> Delivery:  # noqa: ANN401 - a database row
        of = (replies.c.project_id == row.project_id, replies.c.job_id == row.job_id)
        unposted = select(replies).where(*of, replies.c.posted_at.is_(None)).order_by(replies.c.id)
        # Before the requests: the reply of an end, read after them, would meet one that goes on.
        reply_rows = uow.execute(unposted).all()
        found = request_rows.of_download(uow, row.project_id, row.job_id)
        with_ids = {request.id: request for request in found}
        waiting = [_reply(item, with_ids) for item in reply_rows]
        return Delivery(
            download=download_from_row(row),
            requests=sorted(found, key=lambda request: not request.is_open),
            wanted_version=row.wanted_version,
            shown_version=row.shown_version,
            posts=row.posts,
            replies=waiting,
            since=min([row.changed_at, *(item.at for item in waiting)]),
        )


def _is(ref: JobRef) -> tuple[Any, Any]:
    return downloads.c.project_id == ref.project_id, downloads.c.job_id == ref.job_id


def _reply(row: Any, with_ids: Mapping[str, Request]) -> Reply:  # noqa: ANN401 - a database row
    people = People(
        users=frozenset(json.loads(row.users)), groups=frozenset(json.loads(row.groups))
    )
    return Reply(
        id=row.id,
        kind=ReplyKind(row.kind),
        people=people,
        is_broadcast=row.is_broadcast,
        at=row.at,
        actor=row.actor,
        detail=json.loads(row.detail),
        request=with_ids.get(row.request),
    )
