"""The outbox: which messages and replies Slack does not show yet."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Select,
    Subquery,
    and_,
    case,
    false,
    func,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
    update,
)

from bot.atlas import JobRef
from bot.cancellation.download import Download
from bot.cancellation.people import People
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Request
from bot.storage import request_rows
from bot.storage.tables import (
    IS_OPEN,
    IS_UNPOSTED,
    NEEDS_DELIVERY,
    download_from_row,
    downloads,
    replies,
    requests,
)
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

#: Downloads of one channel at once: more posts Slack does not take.
OF_A_CHANNEL = 10
#: What PostgreSQL must not do where an index has the few rows of a look.
BY_INDEX_ALONE = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "jit")
Key: TypeAlias = tuple[str, str]  #: the ids of a project and a job


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What is not delivered now, so that it hides nothing else."""

    downloads: Collection[JobRef] = ()  #: in delivery, or held after an error
    projects: Collection[str] = ()  #: the settings do not name them
    posts: Collection[str] = ()  #: channels that take no post
    threads: Collection[tuple[str, str]] = ()  #: channels and messages that take no reply
    edits: Collection[str] = ()  #: channels in which no message takes an edit
    every_edit: bool = False  #: no message takes an edit


NOTHING_WAITS = Waiting()


class OutboxStore(Store):
    """Every method raises `StorageError`."""

    @reads
    def due(
        self,
        uow: UnitOfWork,
        limit: int,
        waiting: Waiting = NOTHING_WAITS,
        channels: Mapping[str, str] | None = None,
        *,
        oldest_first: bool = False,
    ) -> list[Delivery]:
        """Return what can be delivered, those with an open request first, then the newest.

        `channels` has the channels of first posts by the ids of their projects; without one it is
        that of the download. `oldest_first` returns the oldest first, with or without a request.
        """
        busy = {(ref.project_id, ref.job_id) for ref in waiting.downloads}
        if uow.db.dialect.name == "postgresql":
            # It takes a third of all rows for behind: for that many it would read whole tables.
            uow.execute(select(*(func.set_config(name, "off", true()) for name in BY_INDEX_ALONE)))
        rows = _deliverable(waiting, channels or {})
        keys = _keys(rows, limit, len(busy), oldest_first=oldest_first)
        found = dict.fromkeys((project_id, job_id) for project_id, job_id in uow.execute(keys))
        return _deliveries(uow, [key for key in found if key not in busy][:limit])

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


def _keys(rows: Subquery, limit: int, busy: int, *, oldest_first: bool) -> Select[Any]:
    """Return the query of the keys of the first of the rows, in order; a key may come twice.

    A channel has a few alone: neither its backlog nor its edits hide other channels. The numbers of
    rows allow for as many that are `busy`.
    """
    order = _order(rows, oldest_first=oldest_first)
    rank = func.row_number().over(partition_by=[rows.c.place, rows.c.is_post], order_by=order)
    ranked = select(rows, rank.label("rank")).subquery()
    first = (
        select(ranked)
        .where(ranked.c.rank <= OF_A_CHANNEL + busy)
        .order_by(ranked.c.rank)
        .limit(limit + 2 * busy)
        .subquery()
    )
    in_order = _order(first, oldest_first=oldest_first)
    return select(first.c.project_id, first.c.job_id).order_by(*in_order)


def _order(rows: Subquery, *, oldest_first: bool) -> list[ColumnElement[Any]]:
    if oldest_first:
        return [rows.c.changed_at, rows.c.job_id]
    return [rows.c.is_open.desc(), rows.c.changed_at.desc(), rows.c.job_id.desc()]


def _deliverable(waiting: Waiting, channels: Mapping[str, str]) -> Subquery:
    """Return the query of what Slack takes now: each message, and each thread with replies."""
    is_first, place = downloads.c.ts.is_(None), _place(channels)
    is_named = downloads.c.project_id.not_in(waiting.projects)
    takes_post = place.not_in(waiting.posts)
    takes_edit = false() if waiting.every_edit else place.not_in(waiting.edits)
    is_open = (
        select(requests.c.id)
        .where(*_same(requests.c.project_id, requests.c.job_id), text(f"requests.{IS_OPEN}"))
        .exists()
    )
    of = (downloads.c.project_id, downloads.c.job_id, downloads.c.changed_at)
    head = (*of, place.label("place"), is_open.label("is_open"))
    behind = select(*head, is_first.label("is_post")).where(
        text(NEEDS_DELIVERY),
        is_named,
        or_(and_(is_first, takes_post), and_(~is_first, takes_edit)),
    )
    unposted = select(replies.c.project_id, replies.c.job_id).where(text(IS_UNPOSTED)).distinct()
    of_thread = unposted.subquery()
    replied = (
        select(*head, true().label("is_post"))
        .join_from(downloads, of_thread, and_(*_same(of_thread.c.project_id, of_thread.c.job_id)))
        .where(~is_first, is_named, takes_post)
    )
    if waiting.threads:
        thread = tuple_(downloads.c.channel, downloads.c.ts)
        replied = replied.where(thread.not_in(waiting.threads))
    return union_all(behind, replied).subquery()


def _place(channels: Mapping[str, str]) -> ColumnElement[Any]:
    """Return the channel of the next call; a first post goes to that of today's settings."""
    stored = downloads.c.channel
    if not channels:
        return stored
    today = case(channels, value=downloads.c.project_id, else_=stored)
    return case((downloads.c.ts.is_(None), today), else_=stored)


def _deliveries(uow: UnitOfWork, keys: Sequence[Key]) -> list[Delivery]:
    """Return what Slack does not show of these downloads, in their order."""
    if not keys:
        return []
    rows = uow.execute(
        select(downloads).where(_one_of(downloads.c.project_id, downloads.c.job_id, keys))
    ).all()
    unposted = select(replies).where(
        _one_of(replies.c.project_id, replies.c.job_id, keys), text(IS_UNPOSTED)
    )
    # Before the requests: the reply of an end, read after them, would meet one that goes on.
    reply_rows = _by_key(uow.execute(unposted.order_by(replies.c.id)))
    newest_first = (requests.c.created_at.desc(), requests.c.id)
    of_these = _one_of(requests.c.project_id, requests.c.job_id, keys)
    about = select(requests).where(of_these).order_by(*newest_first)
    found: dict[Key, list[Request]] = defaultdict(list)
    for request in request_rows.load(uow, about):
        found[request.ref.project_id, request.ref.job_id].append(request)
    with_keys: dict[Key, Delivery] = {}
    for row in rows:
        key = row.project_id, row.job_id
        with_keys[key] = _delivery(row, reply_rows[key], found[key])
    return [with_keys[key] for key in keys if key in with_keys]


def _delivery(row: Any, reply_rows: Sequence[Any], found: Sequence[Request]) -> Delivery:  # noqa: ANN401 - database rows
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


def _by_key(rows: Any) -> Mapping[Key, list[Any]]:  # noqa: ANN401 - database rows
    found: dict[Key, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.project_id, row.job_id].append(row)
    return found


def _one_of(
    project_id: ColumnElement[str], job_id: ColumnElement[str], keys: Sequence[Key]
) -> ColumnElement[bool]:
    return tuple_(project_id, job_id).in_(keys)


def _same(project_id: ColumnElement[str], job_id: ColumnElement[str]) -> tuple[Any, Any]:
    """Return the condition that a row is about the download of the query."""
    return project_id == downloads.c.project_id, job_id == downloads.c.job_id


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
