"""Measures the grace times of quarantined downloads, and ends them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from bot.atlas import AtlasError
from bot.cancellation import quarantine as rules
from bot.cancellation.errors import StateConflict
from bot.cancellation.lifecycle import Ending, Request, State
from bot.cancellation.posts import PostState
from bot.cancellation.quarantine import TOLERANCE, GraceClock, Stay
from bot.services.jobs import Jobs
from bot.services.projects import Projects
from bot.services.runner import Runner
from bot.storage.quarantine_store import Quarantined, QuarantineStore
from bot.tasks import log_errors
from bot.timings import Timings

#: Seconds for the last read of a job, and of the activity feed, before its quarantine ends.
READ_TIMEOUT = 3.0
FEED_TIMEOUT = 2.0
FEED_MAX_AGE = 2.0  #: seconds for which a read of the feed counts as the last one
#: Seconds for which an answer counts that a channel takes posts; at the end of a grace time it is
#: asked again.
CHANNEL_AGE = 10.0

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Quarantine:
    """Ends quarantines."""

    store: QuarantineStore
    projects: Projects
    jobs: Jobs
    runner: Runner
    _: KW_ONLY
    slack_answers: Callable[[], Awaitable[bool]]  #: whether people see the cards now
    now: Callable[[], datetime]  #: the clock of the database
    #: Whether a channel takes posts, by an answer of Slack younger than these seconds.
    takes_posts: Callable[[str, float], Awaitable[bool]]
    #: Sends the card to the approvers, since its channel takes no posts.
    copy_card: Callable[[Request], Awaitable[None]]
    on_change: Callable[[], None] = lambda: None  #: called after changes that cards show
    interval: float = Timings.quarantine_interval  #: seconds between two steps
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: GraceClock = field(default_factory=GraceClock)

    async def run(self) -> None:
        """Step until cancelled; after an error all grace times start again."""
        while True:
            await self.sleep(self.interval)
            with log_errors("quarantine interrupted", on_error=self.clock.interrupt):
                await self.step()

    async def step(self) -> None:
        """End what needs no grace time, then measure the others while Slack answers."""
        for each in await self.store.unguarded():
            with suppress(StateConflict):  # it was decided since
                await self.store.guard(each)
        waiting = await self.store.waiting()
        ended = await asyncio.gather(*map(self._end_early, waiting))
        pairs = zip(waiting, ended, strict=True)
        shown = await self._shown([each for each, is_ended in pairs if not is_ended])
        if not shown:
            self.clock.interrupt()
            return
        if not await self.slack_answers():
            self.clock.interrupt()
            log.warning("quarantine waits for Slack", requests=len(shown))
            return
        due = await self._measure(shown)
        await asyncio.gather(*(self._end(each) for each in due))

    async def _shown(self, waiting: Sequence[Quarantined]) -> list[Quarantined]:
        """Return the requests that people see; the grace times of others start again."""
        shown = [each for each in waiting if await self._is_seen(each, CHANNEL_AGE)]
        for each in waiting:
            if each not in shown and each.request.card and not each.copies:
                await self.copy_card(each.request)
        return shown

    async def _is_seen(self, each: Quarantined, max_age: float) -> bool:
        """Whether people see the card; while the first copy is delivered, they do not."""
        if PostState.SENT in each.copies:
            return True
        card = each.request.card
        if card is None or PostState.DUE in each.copies:
            return False
        return await self.takes_posts(card.channel, max_age)

    async def _end_early(self, each: Quarantined) -> bool:
        """End a quarantine whose job is over, or whose starter is expected; return True then."""
        policy, early = self.projects.policy_or_none(each.request.ref), None
        if ended := each.job.ended:
            early = Ending.explained(State.OVER, rules.ENDED.format(state=ended))
        elif policy:
            early = rules.early_ending(policy.quarantine, each.job.started_by)
        if early:
            await self._record(each, lambda _count: early)
        return early is not None

    async def _measure(self, shown: Sequence[Quarantined]) -> list[Quarantined]:
        """Return the requests whose grace time is over, and record the ends that have changed."""
        now = self.now()
        waiting = {
            _stay(each): policy.quarantine.grace
            for each in shown
            if (policy := self.projects.policy_or_none(each.request.ref))
        }
        left = self.clock.measure(waiting, self.monotonic())
        measured = [each for each in shown if _stay(each) in left]
        moved = {}
        for each in measured:
            stored, end = each.request.grace_ends_at, now + timedelta(seconds=left[_stay(each)])
            if stored is None or abs(end - stored) > TOLERANCE:
                moved[each.request.id] = end
        if moved:
            await self.store.record_ends(moved)
            self.on_change()
        return [each for each in measured if left[_stay(each)] <= 0]

    async def _end(self, each: Quarantined) -> None:
        """Read job and starter once more, and decide."""
        project = self.projects.get_or_none(each.request.ref.project_id)
        if project is None or not await self._is_seen(each, 0.0):
            return
        ref, started_by, job = each.request.ref, each.job.started_by, None
        try:
            job, feed = await asyncio.gather(
                project.atlas.restore_job(ref, timeout=READ_TIMEOUT),
                self.jobs.feeds.read(ref, timeout=FEED_TIMEOUT, max_age=FEED_MAX_AGE),
            )
            known, _ = await self.jobs.of_job(ref, job, feed)
            started_by = known.started_by
        except AtlasError as error:
            log.warning("quarantined job not read", job=ref.job_id, why=str(error))
        policy = self.projects.policy(ref).quarantine
        await self._record(each, partial(rules.ending, policy, started_by, job))

    async def _record(self, each: Quarantined, ending: Callable[[int], Ending]) -> None:
        try:
            ended = await self.store.end(each.request, ending)
        except StateConflict:
            return  # a person was first
        if ended.state is State.APPROVED:
            self.runner.start(ended.id)
        self.on_change()


def _stay(each: Quarantined) -> Stay:
    return each.request.id, each.request.changed_at, bool(each.copies)
