"""Quarantined downloads: the bot's own requests, from the first read of the job to their end."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from sqlalchemy import and_, exists, func, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from bot.atlas import JobRef
from bot.cancellation import quarantine as rules
from bot.cancellation.events import EventName
from bot.cancellation.job import Job, QuarantineDecision, StarterAnswer
from bot.cancellation.lifecycle import Ending, Outcome, Request, State
from bot.cancellation.policy import Mode, is_expected
from bot.cancellation.posts import PostKind
from bot.cancellation.quarantine import WatchedCluster
from bot.log_config import new_request_id
from bot.storage import queries
from bot.storage.job_store import get_or_new
from bot.storage.request_store import add_request
from bot.storage.request_writer import CHANGE_REQUEST
from bot.storage.tables import BY_BOT, JOB, approvals, jobs, posts, requests, to_ref
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

MAX_WAITING = 500  #: requests that are looked at in one step

_IS_QUARANTINED = requests.c.state == State.QUARANTINED
#: Whether a DELETE may have taken effect, or may still be sent, also after a fault of Atlas.
_IS_CANCELLED = or_(
    (requests.c.delete_accepted | requests.c.delete_unknown)
    & requests.c.state.not_in([State.KEPT, State.OVER]),
    requests.c.state.in_([State.APPROVED, State.CANCELLING]),
    requests.c.outcome.contains('"tries_again": true'),
)
#: Whether a person lets the request run: an approver by a click, or the one who disowns the job.
_BY_PERSON = or_(
    exists().where(approvals.c.request == requests.c.id, approvals.c.voided_at.is_(None)),
    exists().where(
        *(jobs.c[name] == requests.c[name] for name in JOB),
        jobs.c.answer == StarterAnswer.NOT_MINE,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A request that can be kept, or is."""

    request: Request
    job: Job
    #: The states of its copies for approvers, who get them where the channel takes no posts.
    copies: Collection[str] = ()


@dataclass(eq=False)
class QuarantineStore(Store):
    background = "loops"

    #: By project id and cluster; None without quarantine.
    watched: Callable[[str, str], WatchedCluster | None]
    #: Called with the project's name when a download is beyond the limit.
    on_limit: Callable[[str], None] = field(default=lambda _project: None, kw_only=True)

    def quarantine_downloads(
        self, uow: UnitOfWork, project_id: str, cluster: str, listed: Sequence[Job]
    ) -> Mapping[JobRef, QuarantineDecision]:
        """Quarantine the new downloads of a cluster, in the transaction that records them.

        The transaction has locked the project, so that no other counts at the same time.
        """
        watched = self.watched(project_id, cluster)
        new = [job for job in listed if not job.state.is_over]
        if watched is None or not new:
            return {}
        of_project = (text(BY_BOT), requests.c.project_id == project_id, _IS_QUARANTINED)
        held = [to_ref(row) for row in uow.execute(select(requests).where(*of_project))]
        new = [job for job in new if not _blocks(watched, _open_request(uow, job.ref))]
        # Those that were kept or ended, or probably will be, do not count.
        of_held = get_or_new(uow, held).values()
        policies = [(self.watched(project_id, job.ref.cluster_name), job) for job in of_held]
        expected = sum(
            at is not None and is_expected(at.policy, job.started_by) for at, job in policies
        )
        would_be = or_(_IS_CANCELLED, requests.c.state == State.OBSERVED)
        counts = or_(_IS_QUARANTINED, and_(would_be, _is_recent(uow)))
        room = max(0, watched.policy.quarantine_limit + expected - _count(uow, project_id, counts))
        for job in new[:room]:
            if job.shown:
                request = rules.new_request(new_request_id(), job.ref, job.shown, watched, uow.now)
                _take_over(uow, _open_request(uow, job.ref), request)
                add_request(uow, request, None)
        uow.after_commit += [partial(self.on_limit, watched.project)] * len(new[room:])
        cards = {job.ref: QuarantineDecision.CARD for job in new[:room]}
        return cards | {job.ref: QuarantineDecision.BEYOND_LIMIT for job in new[room:]}

    @reads
    def waiting(self, uow: UnitOfWork) -> Sequence[Quarantined]:
        """Return the requests that can be kept, and those whose replacement has sent no DELETE."""
        oldest_first = queries.requests_in([State.QUARANTINED], uow.now, MAX_WAITING)
        unsent = [own for own, by in _replaced(uow) if not (by.state.ended or by.sent.count)]
        waiting = _with_jobs(uow, [*uow.get_all(oldest_first), *unsent])
        copies = _copies(uow, [each.request.id for each in waiting])
        return [replace(each, copies=copies.get(each.request.id, ())) for each in waiting]

    @reads
    def kept(self, uow: UnitOfWork) -> Sequence[Quarantined]:
        """Return the requests whose downloads are kept, while these can be cancelled."""
        return _with_jobs(uow, uow.get_all(queries.KEPT_AND_OPEN))

    @writes
    def void_keep(self, uow: UnitOfWork, kept: Quarantined, watched: WatchedCluster) -> bool:
        """Quarantine a kept download again, with a full grace time; raises `AlreadyHandled`.

        Returns False while an open request for the job leaves no room for a quarantine.
        """
        request, waiting = kept.request, _open_request(uow, kept.request.ref)
        if _blocks(watched, waiting):
            return False
        _take_over(uow, waiting, request)
        detail = {"user": request.outcome.by, **kept.job.audit_detail()}
        uow.record_and_notify(request, EventName.KEEP_VOIDED, detail=detail)
        _quarantine_again(uow, request, State.KEPT, watched)
        return True

    @reads
    def unguarded(self, uow: UnitOfWork) -> Sequence[Request]:
        """Return the requests that others replaced which were to run at once, and do not cancel.

        Those wait for approvals, or have ended otherwise, so that the downloads would go on.
        """
        return [own for own, by in _replaced(uow) if by.state not in rules.CANCELS]

    @writes
    def guard(self, uow: UnitOfWork, own: Request) -> None:
        """Quarantine the download of such a request again; raises `AlreadyHandled`."""
        watched = self.watched(own.ref.project_id, own.ref.cluster_name)
        waiting = _open_request(uow, own.ref)
        if watched and watched.policy.quarantine is Mode.ENFORCE and not _blocks(watched, waiting):
            _take_over(uow, waiting, own)
            _quarantine_again(uow, own, State.OVER, watched)

    @writes
    def record_ends(self, uow: UnitOfWork, ends: Sequence[tuple[Request, datetime]]) -> None:
        """Record new ends of grace times."""
        for request, ends_at in ends:
            grace = {"of": request.id, "expected": request.state, "grace_ends_at": ends_at}
            if changed := uow.lock_or_none(CHANGE_REQUEST, grace):
                uow.refresh_card(changed)

    @writes
    def end(self, uow: UnitOfWork, request: Request, ending: Callable[[int], Ending]) -> Request:
        """End the time in which a request can be kept; raises `AlreadyHandled`.

        `ending` decides by the number of the project's others that the bot itself has cancelled.
        """
        project_id, is_other = request.ref.project_id, requests.c.id != request.id
        queries.lock_project(uow.execute, project_id)
        decided = ending(_count(uow, project_id, _IS_CANCELLED, _is_recent(uow), is_other))
        by = _open_request(uow, request.ref) if request.was_replaced else None
        if by and not by.sent.count and decided.state is State.APPROVED:
            _take_over(uow, by, request)
            uow.transition(request, State.OVER, State.QUARANTINED, reply=False)
        state, outcome, reply = decided.state, decided.outcome, not decided.outcome.tries_again
        return uow.transition(request, State.QUARANTINED, state, outcome=outcome, reply=reply)


def _copies(uow: UnitOfWork, request_ids: Sequence[str]) -> Mapping[str, set[str]]:
    """Return the states of the copies of cards, by the id of the request."""
    of_requests = (posts.c.request.in_(request_ids), posts.c.kind == PostKind.COPY)
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in uow.execute(select(posts.c.request, posts.c.state).where(*of_requests)):
        found[row.request].add(row.state)
    return found


def _is_recent(uow: UnitOfWork) -> ColumnElement[bool]:
    return requests.c.changed_at > uow.now - rules.LIMIT_WINDOW


def _count(uow: UnitOfWork, project_id: str, *conditions: ColumnElement[bool]) -> int:
    """Count the bot's own requests which no person let run."""
    own = (text(BY_BOT), requests.c.project_id == project_id, ~_BY_PERSON)
    count = select(func.count()).select_from(requests).where(*own, *conditions)
    return int(uow.execute(count).scalar_one())


def _open_request(uow: UnitOfWork, ref: JobRef) -> Request | None:
    """Lock the request that people made for a job before the watch saw it."""
    return uow.lock_or_none(queries.open_request_for(ref).with_for_update())


def _take_over(uow: UnitOfWork, waiting: Request | None, own: Request) -> None:
    """Let the bot's own request take the place of one that waits for approvals, or for Slack."""
    if waiting:
        outcome = Outcome(sentence=rules.TAKEN_OVER.format(request=own.id))
        uow.transition(waiting, waiting.state, State.WITHDRAWN, outcome=outcome)


def _quarantine_again(
    uow: UnitOfWork, own: Request, expected: State, watched: WatchedCluster
) -> None:
    """Quarantine a download whose request has ended, with a full grace time."""
    grace = {"grace_ends_at": uow.now + watched.policy.quarantine_grace}
    reply = expected is not State.KEPT  # another event says why
    uow.transition(own, expected, State.QUARANTINED, parameters=grace, reply=reply)


def _replaced(uow: UnitOfWork) -> Iterator[tuple[Request, Request]]:
    """Yield the bot's own requests that others replaced, with the newest for the job."""
    for own in uow.get_all(queries.OVER_AND_OPEN):
        others = queries.newest_request_for(own.ref).where(requests.c.id != own.id)
        if own.was_replaced and (by := uow.get_or_none(others)):
            yield own, by


def _with_jobs(uow: UnitOfWork, found: Sequence[Request]) -> list[Quarantined]:
    jobs = get_or_new(uow, [each.ref for each in found])
    return [Quarantined(request=each, job=jobs[each.ref]) for each in found]


def _blocks(watched: WatchedCluster, request: Request | None) -> bool:
    """Whether an open request leaves no room for a quarantine.

    One that waits for approvals must not: if it is withdrawn or expires, the download would go on.
    """
    is_enforced = watched.policy.quarantine is Mode.ENFORCE
    return request is not None and not (is_enforced and request.state is State.AWAITING)
