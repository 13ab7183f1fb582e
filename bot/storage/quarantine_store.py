"""Quarantined downloads: the bot's own requests, from the watch's record to their end."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog

from bot.atlas import JobRef
from bot.cancellation import quarantine as rules
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import Outcome, Request, State
from bot.cancellation.quarantine import Ending, Mode, WatchedProject
from bot.cancellation.request_context import new_request_id
from bot.cancellation.watched_job import JobChange
from bot.storage.database import Database
from bot.storage.job_facts_rows import get_or_new
from bot.storage.new_requests import add_request
from bot.storage.queries import quarantine as queries
from bot.storage.queries import requests as request_queries
from bot.storage.store import Store, reads, writes
from bot.storage.unit_of_work import UnitOfWork

#: Requests that are looked at in one step.
MAX_WAITING = 500

log = structlog.get_logger(__name__)


class Holding(StrEnum):
    """What became of a new download."""

    CARD = "card"  #: it is quarantined, and the request's card is its announcement
    BEYOND_LIMIT = "beyond_limit"  #: it is only announced


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A request that can be kept; `seen_at` is when Slack last answered meanwhile."""

    request: Request
    facts: JobFacts
    seen_at: datetime | None


class QuarantineStore(Store):
    """Quarantined downloads in one database.

    Args:
        project_of: returns the quarantine of a project; None without one.
        on_state_entered: called after the commit with each state that a request enters.
        on_limit: called with the project's name when a download is beyond the limit.
    """

    background = True

    def __init__(
        self,
        database: Database,
        now: Callable[[], datetime],
        project_of: Callable[[str], WatchedProject | None],
        *,
        on_state_entered: Callable[[State], None] = lambda _state: None,
        on_limit: Callable[[str], None] = lambda _project: None,
    ) -> None:
        super().__init__(database, now, on_state_entered)
        self._project_of = project_of
        self._on_limit = on_limit

    def hold(
        self, uow: UnitOfWork, project_id: str, cluster: str, changes: Iterable[JobChange]
    ) -> Mapping[str, Holding]:
        """Quarantine the new downloads of a cluster, in the transaction that records them.

        The transaction holds the watch's lease, so that no other counts at the same time.
        """
        project = self._project_of(project_id)
        new = rules.quarantinable(changes)
        if project is None or not new:
            return {}
        refs = {each.job_id: JobRef(project_id, cluster, each.job_id) for each in new}
        facts = get_or_new(uow, refs.values())
        new = [
            each
            for each in new
            if not rules.is_expected(project.policy, facts[refs[each.job_id]].started_by)
            and not _blocks(project, _open_request(uow, refs[each.job_id]))
        ]
        since = uow.now - rules.LIMIT_WINDOW
        counted = uow.execute(queries.count_quarantined(project_id, since)).scalar_one()
        room = max(0, project.policy.limit - counted)
        for change in new[:room]:
            if change.shown:
                ref = refs[change.job_id]
                request = rules.new_request(new_request_id(), ref, change.shown, project, uow.now)
                _take_over(uow, _open_request(uow, ref), request)
                add_request(uow, request, None)
        return {
            each.job_id: Holding.CARD if number < room else Holding.BEYOND_LIMIT
            for number, each in enumerate(new)
        }

    def report(self, project_id: str, held: Iterable[Holding]) -> None:
        """Count the downloads beyond the limit, after the commit of `hold`."""
        project = self._project_of(project_id)
        for holding in held:
            if project and holding is Holding.BEYOND_LIMIT:
                log.warning("quarantine limit reached", project=project.name)
                self._on_limit(project.name)

    @reads
    def waiting(self, uow: UnitOfWork) -> Sequence[Quarantined]:
        """Return the requests that can be kept."""
        rows = uow.execute(queries.quarantined_requests(MAX_WAITING)).all()
        requests = uow.get_many(row.id for row in rows)
        facts = get_or_new(uow, [each.ref for each in requests.values()])
        return [
            Quarantined(request=r, facts=facts[r.ref], seen_at=row.seen_at)
            for row in rows
            if (r := requests.get(row.id))
        ]

    @writes
    def see(self, uow: UnitOfWork, seen: Collection[str], started: Mapping[str, datetime]) -> None:
        """Record that the cards of `seen` are on show, and the new ends of grace times."""
        for request_id, ends_at in started.items():
            if request := uow.update_or_none(queries.set_grace(request_id, ends_at)):
                uow.refresh_card(request)
        uow.execute(queries.mark_seen(seen, uow.now))

    @writes
    def end(self, uow: UnitOfWork, request: Request, ending: Callable[[int], Ending]) -> Request:
        """End the time in which a request can be kept; raises `AlreadyHandled`.

        `ending` decides, given how many downloads of the project the bot itself has cancelled
        within an hour.
        """
        project_id = request.ref.project_id
        uow.execute(queries.lock_project(project_id)).first()
        since = uow.now - rules.LIMIT_WINDOW
        count = uow.execute(queries.count_cancelled(project_id, since)).scalar_one()
        decided = ending(count)
        return uow.transition(request, State.QUARANTINED, decided.state, outcome=decided.outcome)


def _open_request(uow: UnitOfWork, ref: JobRef) -> Request | None:
    """Lock the request that people made for a job before the watch saw it."""
    return uow.update_or_none(request_queries.open_request_for(ref).with_for_update())


def _blocks(project: WatchedProject, request: Request | None) -> bool:
    """Whether an open request leaves no room for a quarantine.

    One that waits for approvals must not: whoever asks and then withdraws, or is not answered,
    would let the download go on.
    """
    is_enforced = project.policy.mode is Mode.ENFORCE
    return request is not None and not (is_enforced and request.state is State.AWAITING)


def _take_over(uow: UnitOfWork, waiting: Request | None, request: Request) -> None:
    """End a request that waits for approvals in favour of the bot's own."""
    if waiting:
        outcome = Outcome(sentence=rules.TAKEN_OVER.format(request=request.id))
        uow.transition(waiting, State.AWAITING, State.WITHDRAWN, outcome=outcome)
