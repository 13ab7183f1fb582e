"""Direct messages: notices to approvers, and the question to a starter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import insert, select, text, update

from bot.cancellation.events import EventName
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import Person
from bot.cancellation.posts import ANNOUNCEMENTS, Notice, PostKind
from bot.storage.job_store import newest_open, to_job
from bot.storage.posts import new_job_post
from bot.storage.tables import NOTICE_PLANNED, jobs, posts, requests
from bot.storage.unit_of_work import Store, UnitOfWork, reads, writes


@dataclass(eq=False)
class NoticeStore(Store):
    """Lists what is due, and writes it; every method raises `StorageError`."""

    background = "loops"

    @reads
    def list_due(self, uow: UnitOfWork, limit: int = 100) -> Sequence[Request]:
        """List the waiting requests whose approvers must be notified now."""
        due = (requests.c.next_notice_at <= uow.now, requests.c.expires_at > uow.now)
        waiting = select(requests).where(text(NOTICE_PLANNED), *due)
        return uow.get_all(waiting.order_by(requests.c.next_notice_at).limit(limit))

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
        current = uow.plan_notice(request, notice.next_at)
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
    def copy_card(self, uow: UnitOfWork, request_id: str, people: Sequence[Person]) -> None:
        """Enqueue a copy of the card for each of `people` without one.

        Only while it is in quarantine, where the grace time starts again with the first copies, or
        to be reviewed.
        """
        request = uow.lock(request_id)
        if not (request.state is State.QUARANTINED or request.unreviewed):
            return
        copies = (posts.c.request == request_id, posts.c.kind == PostKind.COPY)
        have = set(uow.execute(select(posts.c.recipient).where(*copies)).scalars())
        new = [person for person in people if person.id not in have]
        if new:
            _notify(uow, request, EventName.NOTIFIED, new)
        if new and not have:
            uow.set_places(request_id, grace_ends_at=None)

    @writes
    def send_about(
        self, uow: UnitOfWork, job: Job, kind: PostKind, people: Sequence[Person]
    ) -> None:
        """Enqueue the announcement of a watched job, or the alarm, for each who was sent none.

        The person who was asked gets no alarm.
        """
        kinds = ANNOUNCEMENTS if kind in ANNOUNCEMENTS else {kind}
        row = uow.execute(select(jobs).where(jobs.c.id == job.id).with_for_update()).one()
        of_kinds = select(posts).where(posts.c.watched_job == row.id, posts.c.kind.in_(kinds))
        have = {post.recipient for post in uow.execute(of_kinds)}
        have |= {job.asked} if kind is PostKind.ALARM else set()
        ids = [person.id for person in people if person.id not in have]
        new = [new_job_post(uow.now, row, kind, each) for each in ids]
        if new:
            uow.execute(insert(posts), new)

    @reads
    def unasked(self, uow: UnitOfWork) -> Sequence[Job]:
        """Return the open announced jobs about which the bot may still ask, newest first."""
        return [to_job(row) for row in newest_open(uow, jobs.c.asked == "")]

    @writes
    def ask(self, uow: UnitOfWork, job: Job, user: str) -> bool:
        """Send a user the question, once for each job; False if the job has changed since."""
        unchanged = (jobs.c.id == job.id, jobs.c.version == job.version, jobs.c.asked == "")
        ask = update(jobs).where(*unchanged).values(asked=user).returning(jobs)
        row = uow.execute(ask).first()
        if row is None:
            return False
        uow.execute(insert(posts), new_job_post(uow.now, row, PostKind.QUESTION, user))
        return True


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
