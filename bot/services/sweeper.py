"""Finds what is due: requests to run or end, approvers to notify, starters to ask."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from bot.atlas import JobRef
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.events import EventName
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import NO_ONE, People, Person
from bot.cancellation.policy import Policy, email_to_ask
from bot.cancellation.posts import (
    MAX_RECIPIENTS,
    JobPost,
    Post,
    PostKind,
    RequestPost,
    can_reach_approvers,
    due_notice,
    people_to_notify,
    possible_approvers,
)
from bot.services.projects import Projects
from bot.services.runner import Runner
from bot.storage.lease_store import LeaseStore
from bot.storage.notice_store import NoticeStore
from bot.storage.request_store import RequestStore
from bot.tasks import log_errors

#: Reads named people and members of groups from Slack; raises `RightsNotChecked`.
FindPeople = Callable[[People], Awaitable[Sequence[Person]]]
#: How long a notice waits for Slack's answer; after that only the thread mentions the approvers.
PEOPLE_TIMEOUT = timedelta(seconds=30)
#: The policy of a request whose project is not in the settings any more.
NO_NOTICES = Policy(approvers=NO_ONE, remind_after=())
RETRY_INTERVAL = 2.0  #: seconds until a starter is asked again, unless Slack asks to wait longer

log = structlog.get_logger(__name__)


async def sweep(requests: RequestStore, leases: LeaseStore, runner: Runner) -> None:
    """End requests that wait in vain, and start those that no process runs."""
    await requests.end_due()
    for request_id in await leases.list_runnable():
        runner.start(request_id)


@dataclass(eq=False)
class Notifier:
    """Tells approvers: the card as a direct message, reminders, escalation.

    Also what no channel takes: then it raises `StorageError`, and `RightsNotChecked` where Slack
    cannot say who is in a group, and it is not urgent.
    """

    store: NoticeStore
    projects: Projects
    find: FindPeople

    async def notify_due(self) -> None:
        for request in await self.store.list_due():
            with log_errors("approvers not notified", request=request.id):
                await self._notify(request)

    async def _notify(self, request: Request) -> None:
        policy = self.projects.policy_or_none(request.ref) or NO_NOTICES
        notice = due_notice(policy, request, self.store.now())
        notified: Sequence[Person] = ()
        if notice.is_first or notice.reminder:
            notified = await self._people(policy, request, policy.first_approvers)
        escalated = None
        if notice.escalates and policy.escalate_to != NO_ONE:
            found = await self._people(policy, request, policy.escalate_to)
            escalated = [person for person in found if person not in notified]
        await self.store.record(request, notice, notified, escalated)

    async def _people(self, policy: Policy, request: Request, asked: People) -> Sequence[Person]:
        """Return the people who get a direct message."""
        if not policy.notify_approvers or not (asked.users or asked.groups):
            return ()
        try:
            return people_to_notify(policy, request, await self.find(asked))
        except RightsNotChecked:
            planned = request.next_notice_at
            if planned and self.store.now() < planned + PEOPLE_TIMEOUT:
                raise
            return ()

    async def send(self, post: Post) -> None:
        """Send approvers what no channel takes, if no person waits for it."""
        match post:
            case JobPost(kind=PostKind.ANNOUNCEMENT | PostKind.RESTORE, recipient=None, job=job):
                people = await self._approvers(job.ref)
                await self.store.send_about(job, PostKind.ANNOUNCEMENT, people)
            case (
                JobPost(kind=PostKind.ALARM, recipient=None, job=Job() as job)
                | RequestPost(event=EventName.DOWNLOAD_DISOWNED, job=Job() as job)
            ):
                people = await self._approvers(job.ref)
                await self.store.send_about(job, PostKind.ALARM, people)
            case RequestPost(kind=PostKind.CARD, request=request) if (
                request.by_bot or not request.channel
            ):
                await self.copy_card(request)

    async def copy_card(self, request: Request) -> None:
        """Send the card to each approver whom the settings name, by id or by a group."""
        people = await self._approvers(request.ref, is_urgent=request.by_bot)
        await self.store.copy_card(request.id, people)

    async def _approvers(self, ref: JobRef, *, is_urgent: bool = True) -> Sequence[Person]:
        """Return whom to reach: people named by id need no answer of Slack where it is urgent."""
        policy = self.projects.policy_or_none(ref)
        if policy is None:
            return ()
        try:
            found = await self.find(policy.approvers)
        except RightsNotChecked as error:
            if not is_urgent:
                raise
            log.warning("approvers not read", why=str(error))
            found = [Person(id=user, team="", name=user) for user in sorted(policy.approvers.users)]
        return possible_approvers(policy, found)[:MAX_RECIPIENTS]


def nobody_to_reach(projects: Projects, channel: str) -> str:
    """Return what does not happen while the watch channel takes no posts, or an empty string."""
    names = [
        project.name
        for project in projects.all
        if any(
            policy.watch_channel == channel and not can_reach_approvers(policy)
            for policy in project.policies.all
        )
    ]
    if not names:
        return ""
    return (
        f"The settings name no approver of {', '.join(names)} whom it could reach directly:"
        " new downloads are announced to no one, and the bot cancels none of them."
    )


@dataclass(eq=False)
class StarterQuestions:
    """Asks who started a download whether it was they."""

    store: NoticeStore
    projects: Projects
    #: Returns the full member with an e-mail address; raises `RightsNotChecked`.
    find: Callable[[str], Awaitable[str | None]]
    #: The jobs, with the addresses, of those who cannot be asked, or about whom Slack failed.
    _unknown: set[tuple[JobRef, str]] = field(default_factory=set, init=False)
    _failures: Counter[tuple[JobRef, str]] = field(default_factory=Counter, init=False)

    async def step(self) -> float:
        """Ask each starter who became known; return further seconds until the next try."""
        to_ask = {}
        for job in await self.store.unasked():
            policy = self.projects.policy_or_none(job.ref)
            if policy and (email := email_to_ask(policy, job)):
                to_ask[job.ref, email] = job
        self._unknown &= to_ask.keys()
        for settled in self._failures.keys() - to_ask.keys():
            del self._failures[settled]
        unasked = [each for each in to_ask if each not in self._unknown]
        for ref, email in sorted(unasked, key=self._failures.__getitem__):  # one holds up no other
            try:
                user = await self.find(email)
            except RightsNotChecked as error:
                log.info("starter not asked", job=ref.job_id, why=error.why)
                if error.is_temporary:
                    self._failures[ref, email] += 1
                    return max(RETRY_INTERVAL, error.retry_after)
                user = None
            if user is None:
                self._unknown.add((ref, email))
            else:
                await self.store.ask(to_ask[ref, email], user)
        return 0.0
