"""Direct messages: notices to approvers, and the question to a starter with its answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Select, bindparam, insert, select, text, update

from bot.atlas import JobRef
from bot.cancellation.events import EventName
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import Ending, Request, State
from bot.cancellation.people import ActingPerson, Person
from bot.cancellation.policy import answer_refusal
from bot.cancellation.posts import Notice, PostKind
from bot.storage import queries
from bot.storage.event_store import record_about_job
from bot.storage.job_store import change, to_job
from bot.storage.posts import announcements, new_announcement, new_job_post, recipients_about
from bot.storage.request_writer import CHANGE_DUE, UPDATE_REQUEST
from bot.storage.tables import JOB_IS_OPEN, NOTICE_PLANNED, jobs, posts, requests
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

MAX_UNASKED = 100  #: jobs that are looked at in one step
_UNASKED = (
    select(jobs)
    .where(text(JOB_IS_OPEN), jobs.c.version > 0, jobs.c.asked == "")
    .order_by(jobs.c.id.desc())
    .limit(MAX_UNASKED)
)
#: Notes whom the bot asks about the job `of`, unless it has asked or the job changed after `seen`.
_ASK = (
    update(jobs)
    .where(jobs.c.id == bindparam("of"), jobs.c.version == bindparam("seen"), jobs.c.asked == "")
    .values(asked=bindparam("user"))
    .returning(jobs)
)
_ABOUT_JOB = select(requests).where(queries.has_job(requests))


class NoticeStore(Store):
    """Lists what is due, and writes it; every method raises `StorageError`."""

    background = True

    @reads
    def list_due(self, uow: UnitOfWork, limit: int = 100) -> Sequence[Request]:
        """List the waiting requests whose approvers must be notified now."""
        return uow.get_all(requests_to_notify(uow.now, limit))

    @writes
    def record(
        self,
        uow: UnitOfWork,
        request: Request,
        notice: Notice,
        notified: Sequence[Person],
        escalated: Sequence[Person] | None = None,
    ) -> bool:
        """Record a notice and its posts; False if another replica did, or the request was decided.

        `request` is the request as it was listed. `notified` get a copy of the card; so do
        `escalated`, the people of `escalate_to`, if these are notified now.
        """
        due = {"of": request.id, "expected": State.AWAITING, "due": request.next_notice_at}
        planned = {**due, "now": uow.now, "next_notice_at": notice.next_at}
        current = uow.lock_or_none(CHANGE_DUE, planned)
        if current is None:
            return False
        if notice.reminder:
            _notify(uow, current, EventName.REMINDED, notified, {"reminder": notice.reminder})
        elif notified:
            _notify(uow, current, EventName.NOTIFIED, notified)
        if escalated is not None:
            _notify(uow, current, EventName.ESCALATED, escalated)
        return True

    @writes
    def copy_card(self, uow: UnitOfWork, request_id: str, people: Sequence[Person]) -> bool:
        """Enqueue a copy of the card for each of `people` without one.

        It is in quarantine, where the grace time starts again with the first copies, or to be
        reviewed. False if there is nothing to enqueue.
        """
        request = uow.lock(request_id)
        if not (request.state is State.QUARANTINED or request.unreviewed):
            return False
        copies = (posts.c.request == request_id, posts.c.kind == PostKind.COPY)
        have = set(uow.execute(select(posts.c.recipient).where(*copies)).scalars())
        new = [person for person in people if person.id not in have]
        if new:
            _notify(uow, request, EventName.NOTIFIED, new)
        if new and not have:
            not_seen = {"grace_ends_at": None}
            uow.execute(UPDATE_REQUEST, {"of": request_id, **not_seen})
        return bool(new)

    @writes
    def announce(self, uow: UnitOfWork, job: Job, people: Sequence[Person]) -> bool:
        """Enqueue the announcement of a watched job for each of `people` who was not sent it."""
        of_job = select(jobs).where(queries.is_job(jobs, job.ref))
        row = uow.execute(of_job.with_for_update()).one()
        have = {post.recipient for post in uow.execute(announcements(row.id))}
        new = [new_announcement(uow.now, row, each.id) for each in people if each.id not in have]
        if new:
            uow.execute(insert(posts), new)
        return bool(new)

    @writes
    def record_no_place(self, uow: UnitOfWork, request_id: str, because: str) -> bool:
        """Show on a quarantine's card why its grace time does not begin; False if it does."""
        request = uow.lock(request_id)
        if request.state is not State.QUARANTINED or request.moved_because == because:
            return False
        values = {"of": request_id, "moved_because": because}
        uow.execute(UPDATE_REQUEST, values)
        uow.refresh_card(uow.get(request_id))
        return True


def requests_to_notify(now: datetime, limit: int) -> Select[Any]:
    due = (requests.c.next_notice_at <= now, requests.c.expires_at > now)
    waiting = select(requests).where(text(NOTICE_PLANNED), *due)
    return waiting.order_by(requests.c.next_notice_at).limit(limit)


def _notify(
    uow: UnitOfWork,
    request: Request,
    name: EventName,
    people: Sequence[Person],
    detail: Mapping[str, object] | None = None,
) -> None:
    """Record who is notified; reply in the thread, and send each person a copy of the card.

    The reply to the first notice is written when it is known who was reached.
    """
    ids = [person.id for person in people]
    event = uow.record(request, name, detail={**(detail or {}), "people": ids})
    if name is not EventName.NOTIFIED:
        uow.enqueue_message(request, PostKind.REPLY, event)
    if name is EventName.ESCALATED:  # the card names these people from now on
        uow.refresh_card(request)
    for person in people:
        named = replace(event, detail={"name": person.name})
        uow.enqueue_message(request, PostKind.COPY, named, recipient=person.id)


@dataclass(eq=False)
class ClaimStore(Store):
    """Every method raises `StorageError` when the database fails."""

    #: Called with what happened: `asked`, or the answer.
    on_step: Callable[[str], None] = field(default=lambda _step: None, kw_only=True)

    @reads
    def unasked(self, uow: UnitOfWork) -> Sequence[Job]:
        """Return the open announced jobs about which the bot may still ask, newest first."""
        return [to_job(row) for row in uow.execute(_UNASKED)]

    @writes
    def ask(self, uow: UnitOfWork, job: Job, user: str) -> bool:
        """Send a user the question, once for each job; False if the job has changed since."""
        row = uow.execute(_ASK, {"of": job.id, "seen": job.version, "user": user}).first()
        if row is None:
            return False
        uow.execute(insert(posts), new_job_post(uow.now, row, PostKind.QUESTION, user))
        uow.after_commit.append(partial(self.on_step, "asked"))
        return True

    @writes
    def answer(
        self,
        uow: UnitOfWork,
        ref: JobRef,
        person: ActingPerson,
        answer: StarterAnswer,
        ending: Callable[[Request], Ending | None],
    ) -> Request | None:
        """Record the first answer, and show it; return the request that it lets run, if any.

        `ending` decides about the open request for the job. Raises why `person` may not answer.
        """

        def answered(job: Job) -> Job:
            if refusal := answer_refusal(job, person):
                raise refusal
            return replace(job, answer=answer)

        # It locks an undecided request, and then the job: of two clicks the second sees the first.
        job = change(uow, ref, answered)
        is_mine = answer is StarterAnswer.MINE
        name = EventName.DOWNLOAD_CLAIMED if is_mine else EventName.DOWNLOAD_DISOWNED
        record_about_job(uow, ref, name, actor=person)
        uow.after_commit.append(partial(self.on_step, str(answer)))
        found = uow.get_all(_ABOUT_JOB, asdict(ref))
        for request in found:
            uow.refresh_card(request)
        if not is_mine:
            _alarm(uow, job, next((each for each in found if each.by_bot), None))
        waiting = next((each for each in found if not each.state.ended), None)
        if waiting is None or (decided := ending(waiting)) is None:
            return None
        return uow.transition(waiting, State.QUARANTINED, decided.state, outcome=decided.outcome)


def _alarm(uow: UnitOfWork, job: Job, own: Request | None) -> None:
    """Tell the approvers in the thread of the announcement, which may be the bot's own card.

    Those who got it as a direct message, because its channel takes no posts, get one more.
    """
    row = uow.execute(select(jobs).where(queries.is_job(jobs, job.ref))).one()
    reached = uow.execute(recipients_about(row.id, own.id if own else "")).scalars()
    told: list[str | None] = [each for each in reached if each != job.asked]
    if own:
        uow.enqueue_message(own, PostKind.REPLY, uow.recorded[-1])
    else:
        told.append(None)
    for each in told:
        uow.execute(insert(posts), new_job_post(uow.now, row, PostKind.ALARM, each))
