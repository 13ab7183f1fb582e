"""Periodic jobs: sweep due requests, and notify the approvers of waiting ones."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta

from bot.cancellation import notices
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import NO_ONE, People, Person
from bot.cancellation.policy import Policy
from bot.services.projects import Projects
from bot.services.runner import Runner
from bot.storage.history import History
from bot.storage.lease_store import LeaseStore
from bot.storage.notice_store import NoticeStore
from bot.storage.request_store import RequestStore
from bot.tasks import log_errors, repeat
from bot.timings import Timings

#: How long sent posts are kept. Requests and their audit events stay for ever.
RETENTION = timedelta(days=90)
SWEEPS_PER_DELETION = 1800  #: sweeps between two deletions of old posts: about an hour
#: Reads named people and members of groups from Slack; raises `RightsNotChecked`.
FindPeople = Callable[[People], Awaitable[Sequence[Person]]]
#: How long a notice waits for Slack's answer; after that only the thread mentions the approvers.
PEOPLE_TIMEOUT = timedelta(seconds=30)
#: The policy of a request whose project is not in the settings any more.
NO_NOTICES = Policy(approvers=NO_ONE, remind_after=())


@dataclass(kw_only=True, eq=False)
class Sweeper:
    """Finds due work: expires requests, starts unowned ones, deletes old posts."""

    requests: RequestStore
    history: History
    leases: LeaseStore
    runner: Runner
    now: Callable[[], datetime]
    interval: float  #: mean seconds between two sweeps
    on_change: Callable[[], None]  #: called when a request expired, so that its card is edited
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    sweeps: int = 0

    async def run(self) -> None:
        """Sweep until cancelled; errors are logged and the next sweep tries again."""
        await repeat(self.sweep, self.interval, "sweep failed", sleep=self.sleep)

    async def sweep(self) -> None:
        if await self.requests.expire_due():
            self.on_change()
        for request_id in await self.leases.list_runnable():
            self.runner.start(request_id)
        if self.sweeps % SWEEPS_PER_DELETION == 0:
            await self.history.delete_posts(self.now() - RETENTION)
        self.sweeps += 1


@dataclass(eq=False)
class Notifier:
    """Tells approvers: the card as a direct message, reminders, escalation."""

    store: NoticeStore
    projects: Projects
    find: FindPeople
    _: KW_ONLY
    now: Callable[[], datetime]
    on_change: Callable[[], None]
    interval: float = Timings.notice_interval
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(self) -> None:
        """Notify until cancelled; errors are logged, and what is due is tried again."""
        await repeat(self.notify_due, self.interval, "approvers not notified", sleep=self.sleep)

    async def notify_due(self) -> None:
        for request in await self.store.list_due():
            with log_errors("approvers not notified", request=request.id):
                await self._notify(request)

    async def _notify(self, request: Request) -> None:
        policy = self.projects.policy_or_none(request.ref) or NO_NOTICES
        notice = notices.due_notice(policy, request, self.now())
        notified: Sequence[Person] = ()
        if notice.is_first or notice.reminder:
            notified = await self._people(policy, request, policy.first_approvers)
        escalated = None
        if notice.escalates and policy.escalate_to != NO_ONE:
            found = await self._people(policy, request, policy.escalate_to)
            escalated = [person for person in found if person not in notified]
        if await self.store.record(request, notice, notified, escalated):
            self.on_change()

    async def _people(self, policy: Policy, request: Request, asked: People) -> Sequence[Person]:
        """Return the people who get a direct message."""
        if not policy.notify_approvers or not (asked.users or asked.groups):
            return ()
        try:
            return notices.people_to_notify(policy, request, await self.find(asked))
        except RightsNotChecked:
            planned = request.next_notice_at
            if planned and self.now() < planned + PEOPLE_TIMEOUT:
                raise
            return ()
