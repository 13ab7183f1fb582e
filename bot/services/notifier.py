"""Tells the approvers of waiting requests: the card as a direct message, reminders, escalation."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError, RightsNotChecked
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import NO_ONE, People, Person
from bot.cancellation.policy import Policy, due_notice
from bot.services.projects import Projects
from bot.storage.notice_store import NoticeStore
from bot.timings import Timings

#: Reads named people and members of groups from Slack; raises `RightsNotChecked`.
FindPeople = Callable[[People], Awaitable[Sequence[Person]]]

#: How long a notice waits for Slack's answer; after that only the thread mentions the approvers.
PATIENCE = timedelta(seconds=30)

#: The policy of a request whose project is not in the settings any more.
NO_NOTICES = Policy(approvers=NO_ONE, remind_after=())

log = structlog.get_logger(__name__)


class Notifier:
    """The loop of one replica. Replicas may race: each notice has one winner."""

    def __init__(
        self,
        store: NoticeStore,
        projects: Projects,
        find: FindPeople,
        *,
        now: Callable[[], datetime],
        interval: float = Timings.sweep_interval,
        on_change: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._projects = projects
        self._find = find
        self._now = now
        self._interval = interval
        self._on_change = on_change
        self._sleep = sleep

    async def run(self) -> None:
        """Look until cancelled; errors are logged, and what is due is tried again."""
        while True:
            try:
                await self.notify_due()
            except CancellationError as error:
                log.warning("approvers not told", why=str(error))
            except Exception:
                log.exception("approvers not told")
            await self._sleep(self._interval * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def notify_due(self) -> None:
        """Give each notice that is due."""
        for request in await self._store.list_due():
            project = self._projects.find(request.ref.project_id)
            try:
                await self._notify(request, project.policy if project else NO_NOTICES)
            except CancellationError as error:
                log.warning("approvers not told", request=request.id, why=str(error))

    async def _notify(self, request: Request, policy: Policy) -> None:
        notice = due_notice(policy, request, self._now())
        told: Sequence[Person] = ()
        if notice.is_first or notice.reminder:
            told = await self._people(policy, request, policy.first_approvers)
        escalated = None
        if notice.escalates and policy.escalate_to != NO_ONE:
            found = await self._people(policy, request, policy.escalate_to)
            escalated = [person for person in found if person not in told]
        if await self._store.give(request, notice, told, escalated):
            self._on_change()

    async def _people(self, policy: Policy, request: Request, asked: People) -> Sequence[Person]:
        """Return the people who get a direct message."""
        if not policy.notify_approvers or not (asked.users or asked.groups):
            return ()
        try:
            return rules.people_to_tell(policy, request, await self._find(asked))
        except RightsNotChecked:
            planned = request.next_notice_at
            if planned and self._now() < planned + PATIENCE:
                raise
            return ()
