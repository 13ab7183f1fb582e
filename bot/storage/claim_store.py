"""The question whether a download is theirs: whom the bot asks, and what that person says."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

from sqlalchemy import bindparam, insert, select, text, update

from bot.atlas import JobRef
from bot.cancellation.events import EventName
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import JOB_FIELDS, Ending, Request, State
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import answer_refusal
from bot.cancellation.posts import PostKind
from bot.storage import queries
from bot.storage.download_events import record_about_job
from bot.storage.job_store import change, to_job
from bot.storage.posts import new_job_post
from bot.storage.tables import JOB_IS_OPEN, jobs, posts, requests
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes

MAX_UNASKED = 100  #: jobs that are looked at in one step
EVENTS = {
    StarterAnswer.MINE: EventName.DOWNLOAD_CLAIMED,
    StarterAnswer.NOT_MINE: EventName.DOWNLOAD_DISOWNED,
}
_UNASKED = (
    select(jobs)
    .where(text(JOB_IS_OPEN), jobs.c.version > 0, jobs.c.asked == "")
    .order_by(jobs.c.id.desc())
    .limit(MAX_UNASKED)
)
#: Notes whom the bot asks about the job `of`, unless it has asked.
_ASK = (
    update(jobs)
    .where(jobs.c.id == bindparam("of"), jobs.c.asked == "", text(JOB_IS_OPEN))
    .values(asked=bindparam("user"))
    .returning(jobs)
)
_ABOUT_JOB = select(requests).where(queries.has_job(requests))


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
        """Send a user the question, once for each job; False if it was sent, or the job ended."""
        row = uow.execute(_ASK, {"of": job.id, "user": user}).first()
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
        about = {name: getattr(ref, attribute) for attribute, name in JOB_FIELDS.items()}
        record_about_job(uow, ref.job_id, EVENTS[answer], about, person)
        uow.after_commit.append(partial(self.on_step, str(answer)))
        found = uow.get_all(_ABOUT_JOB, asdict(ref))
        for request in found:
            uow.refresh_card(request)
        if answer is StarterAnswer.NOT_MINE:
            _alarm(uow, job, next((each for each in found if each.by_bot), None))
        waiting = next((each for each in found if not each.state.ended), None)
        decided = ending(waiting) if waiting else None
        if waiting is None or decided is None:
            return None
        return uow.transition(waiting, State.QUARANTINED, decided.state, outcome=decided.outcome)


def _alarm(uow: UnitOfWork, job: Job, own: Request | None) -> None:
    """Tell the approvers in the thread of the announcement, which may be the bot's own card."""
    if own:
        uow.enqueue_message(own, PostKind.REPLY, uow.recorded[-1])
        return
    row = uow.execute(select(jobs).where(queries.is_job(jobs, job.ref))).one()
    uow.execute(insert(posts), new_job_post(uow.now, row, PostKind.ALARM))
