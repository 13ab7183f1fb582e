"""Asks who started a download whether it was they."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field

import structlog

from bot.atlas import JobRef
from bot.cancellation import claims
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.job import Job
from bot.services.projects import Projects
from bot.storage.claim_store import ClaimStore
from bot.tasks import log_errors
from bot.timings import Timings

RETRY_INTERVAL = 2.0  #: seconds until the next try, unless Slack asks to wait longer

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class StarterQuestions:
    """Sends the questions, in the replica that leads."""

    store: ClaimStore
    projects: Projects
    #: Returns the full member with an e-mail address; raises `RightsNotChecked`.
    find: Callable[[str], Awaitable[str | None]]
    _: KW_ONLY
    on_change: Callable[[], None] = lambda: None  #: called after a question is enqueued
    interval: float = Timings.quarantine_interval  #: seconds between two steps
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    #: The jobs, with the addresses, of those who cannot be asked.
    _unknown: set[tuple[JobRef, str]] = field(default_factory=set, init=False)

    async def run(self) -> None:
        """Step until cancelled; after an error the next step tries again."""
        pause = 0.0
        while True:
            await self.sleep(self.interval + pause)
            pause = 0.0
            with log_errors("starters not asked"):
                pause = await self.step()

    async def step(self) -> float:
        """Ask each starter who became known; return the seconds until the next try."""
        to_ask = {}
        for job in await self.store.unasked():
            policy = self.projects.policy_or_none(job.ref)
            if policy and (email := claims.email_to_ask(policy, job)):
                to_ask[job.ref, email] = job
        self._unknown &= to_ask.keys()
        for (ref, email), job in to_ask.items():
            if (ref, email) in self._unknown:
                continue
            try:
                user = await self.find(email)
            except RightsNotChecked as error:
                log.info("starter not asked", job=ref.job_id, why=error.why)
                if error.is_temporary:
                    return max(RETRY_INTERVAL, error.retry_after)
                user = None
            if user is None:
                self._unknown.add((ref, email))
            else:
                await self._ask(job, user)
        return 0.0

    async def _ask(self, job: Job, user: str) -> None:
        if await self.store.ask(job, user):
            log.info("starter asked", job=job.ref.job_id, user=user)
            self.on_change()
