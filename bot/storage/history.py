"""Past and waiting requests, for lists, the Home tab, the command line and metrics."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, exists, func, or_, select, text

from bot.atlas import JobRef
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.posts import Lead, lead_of
from bot.storage import queries
from bot.storage.job_store import get_or_new
from bot.storage.tables import IS_OVER, UNREVIEWED, posts, requests
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

MAX_AWAITING = 100  #: waiting requests read at most
#: How long sent posts are kept. Requests and their audit events stay for ever.
RETENTION = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class PastRequest:
    request: Request
    lead: Lead | None  #: how long before the link the cancellation came, if it did


class History(Store):
    """Reads past and waiting requests, and deletes the posts that are no longer needed."""

    @reads
    def recent(
        self,
        uow: UnitOfWork,
        count: int,
        project_ids: Collection[str],
        is_shown: Callable[[JobRef], bool] = lambda _ref: True,
    ) -> Sequence[PastRequest]:
        """Return the last `count` requests of these projects that are shown, newest first."""
        found: list[Request] = []
        for project_id in project_ids:
            found += _newest(uow, count, project_id, is_shown)
        newest = sorted(found, key=lambda request: request.created_at, reverse=True)[:count]
        jobs = get_or_new(uow, [each.ref for each in newest])
        return [PastRequest(each, lead_of(each, jobs[each.ref])) for each in newest]

    @reads
    def newest_request_for(self, uow: UnitOfWork, ref: JobRef) -> Request | None:
        """Find the last request for a job, whether it has ended or not."""
        return uow.get_or_none(queries.newest_request_for(ref))

    @reads
    def counts(self, uow: UnitOfWork) -> tuple[int, int]:
        """Count the requests that have not ended, and those that ran alone without a review."""
        count = select(func.count()).select_from(requests)
        counts = (count.where(each) for each in (queries.IS_OPEN, text(UNREVIEWED)))
        is_open, unreviewed = (uow.execute(each).scalar_one() for each in counts)
        return is_open, unreviewed

    @reads
    def in_states(self, uow: UnitOfWork, *states: State) -> Sequence[Request]:
        """Return the requests in these states, which are open, oldest first."""
        return uow.get_all(queries.requests_in(states, uow.now, MAX_AWAITING))

    @reads
    def unreviewed(self, uow: UnitOfWork) -> Sequence[Request]:
        """Return the requests that ran without approval and were not reviewed, oldest first."""
        unreviewed = select(requests).where(text(UNREVIEWED)).order_by(requests.c.created_at)
        return uow.get_all(unreviewed.limit(MAX_AWAITING))

    @writes
    def delete_posts(self, uow: UnitOfWork) -> None:
        """Delete old posts, except those of requests whose messages may change."""
        changes = or_(queries.IS_OPEN, text(UNREVIEWED))
        is_needed = exists().where(requests.c.id == posts.c.request, changes)
        is_old = posts.c.at < uow.now - RETENTION
        uow.execute(delete(posts).where(text(IS_OVER), is_old, ~is_needed))


def _newest(
    uow: UnitOfWork, count: int, project_id: str, is_shown: Callable[[JobRef], bool]
) -> list[Request]:
    """Read more rows until enough of them are shown."""
    limit = count
    of_project = select(requests).where(requests.c.project_id == project_id)
    while True:
        rows = uow.get_all(of_project.order_by(requests.c.created_at.desc()).limit(limit))
        shown = [request for request in rows if is_shown(request.ref)]
        if len(shown) >= count or len(rows) < limit:
            return shown[:count]
        limit *= 4
