"""Ends quarantines after their grace time, and judges keeps again once the starter is known."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime, timedelta
from functools import partial

import structlog

from bot.atlas import AtlasError, TimedOut
from bot.cancellation import quarantine as rules
from bot.cancellation.errors import RightsNotChecked, StateConflict
from bot.cancellation.lifecycle import Ending, Request, State
from bot.cancellation.policy import is_expected
from bot.cancellation.posts import PostState
from bot.cancellation.quarantine import GraceClock, WatchedCluster
from bot.cancellation.starter import is_candidate
from bot.services.jobs import Jobs
from bot.services.projects import Projects
from bot.services.runner import Runner
from bot.storage.quarantine_store import Quarantined, QuarantineStore

#: Seconds for the last read of a job and of the feed before a quarantine ends, or a keep is void.
READ_TIMEOUT = 3.0
FEED_TIMEOUT = 2.0
FEED_MAX_AGE = 2.0  #: seconds for which a read of the feed counts as the last one
#: Seconds for which an answer counts that a channel takes posts; at the end of a grace time it is
#: asked again.
CHANNEL_AGE = 10.0
#: Seconds until a keep that could not be judged, or become void, is judged again.
RETRY_INTERVAL = 5.0

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Quarantine:
    store: QuarantineStore
    projects: Projects
    jobs: Jobs
    runner: Runner
    _: KW_ONLY
    slack_answers: Callable[[], Awaitable[bool]]  #: whether people see the cards now
    #: Whether a channel takes posts, by an answer of Slack younger than these seconds.
    takes_posts: Callable[[str, float], Awaitable[bool]]
    knows_projects: Callable[[], bool]  #: whether one that is not known is not served any more
    #: Sends the card to the approvers, since its channel takes no posts.
    copy_card: Callable[[Request], Awaitable[None]]
    clock: GraceClock = field(default_factory=GraceClock)

    async def step(self) -> None:
        """Do one step; after an error all grace times start again."""
        try:
            await self._step()
        except Exception:
            self.clock.interrupt()
            raise

    async def _step(self) -> None:
        """End what needs no grace time, then measure the others while Slack answers."""
        for each in await self.store.unguarded():
            with suppress(StateConflict):  # it was decided since
                await self.store.guard(each)
        waiting = await self.store.waiting()
        ended = await asyncio.gather(*map(self._end_early, waiting))
        pairs = zip(waiting, ended, strict=True)
        shown = await self._shown([each for each, is_ended in pairs if not is_ended])
        if not (shown and await self.slack_answers()):
            self.clock.interrupt()
            if shown:
                log.warning("quarantine waits for Slack", requests=len(shown))
            return
        due = await self._measure(shown)
        await asyncio.gather(*(self._end(each) for each in due))

    async def _shown(self, waiting: Sequence[Quarantined]) -> list[Quarantined]:
        """Return the requests that people see; the grace times of others start again."""
        seen = await asyncio.gather(*(self._is_seen(each, CHANNEL_AGE) for each in waiting))
        for each, is_seen in zip(waiting, seen, strict=True):
            if not is_seen and each.request.card and not each.copies:
                await self.copy_card(each.request)
        return [each for each, is_seen in zip(waiting, seen, strict=True) if is_seen]

    async def _is_seen(self, each: Quarantined, max_age: float) -> bool:
        """Whether people see the card; while the first copy is delivered, they do not."""
        if PostState.SENT in each.copies:
            return True
        card = each.request.card
        if card is None or PostState.DUE in each.copies:
            return False
        return await self.takes_posts(card.channel, max_age)

    async def _end_early(self, each: Quarantined) -> bool:
        """End a quarantine that the settings do not want any more; True then."""
        policy = self.projects.policy_or_none(each.request.ref)
        if policy is None:
            if self.knows_projects():
                off = rules.observed(rules.PROJECT_GONE, each.request)
                await self._record(each, lambda _count: off)
            return True  # otherwise it waits until they are known
        if each.request.approvals or each.job.ended:
            return False  # the run judges approvals, and reads whether a DELETE ended the download
        early = rules.ending_before_delete(policy, each.request, each.job.started_by)
        if early and early.state is State.KEPT:  # the feed may show another starter by now
            if self._is_too_early(each):
                return False
            started_by = await self.jobs.starter_of(each.request.ref)
            early = rules.ending_before_delete(policy, each.request, started_by)
        if early is None or not (early.state is State.KEPT or each.request.outcome.tries_again):
            return False
        await self._record(each, lambda _count: early)
        return True

    def _is_too_early(self, each: Quarantined) -> bool:
        """Whether the feed may lack an event of that time; not once the clock was set back."""
        age = self.store.now() - each.request.created_at
        return timedelta() <= age < rules.FEED_SHOWS_AFTER

    async def _measure(self, shown: Sequence[Quarantined]) -> list[Quarantined]:
        """Return the requests whose grace time is over, and record the ends of those that begin."""
        now, due = self.store.now(), []
        going_on = self.clock.going_on((each.request.id for each in shown), now)
        begun: list[tuple[Request, datetime]] = []
        for each in shown:
            ends_at = each.request.grace_ends_at
            if ends_at and (each.request.outcome.tries_again or each.request.id in going_on):
                due += [each] if ends_at <= now else []
            else:
                policy = self.projects.policy(each.request.ref)
                begun.append((each.request, now + policy.quarantine_grace))
        if begun:
            await self.store.record_ends(begun)
        return due

    async def _end(self, each: Quarantined) -> None:
        """Read job and starter once more, and decide."""
        if not await self._is_seen(each, 0.0):
            return
        if each.request.outcome.tries_again:
            await self._try_again(each)
            return
        ref, started_by, job = each.request.ref, each.job.started_by, None
        read_at = self.store.now()
        try:
            job, feed = await asyncio.gather(
                self.projects.get(ref.project_id).atlas.restore_job(ref, timeout=READ_TIMEOUT),
                self.jobs.feeds.read(ref, timeout=FEED_TIMEOUT, max_age=FEED_MAX_AGE),
            )
            known, _ = await self.jobs.of_job(ref, job, feed, read_at)
            started_by = known.started_by
        except AtlasError as error:
            log.warning("quarantined job not read", job=ref.job_id, why=str(error))
        policy = self.projects.policy(ref)
        if self._is_too_early(each) and is_expected(policy, started_by, probably=True):
            return
        await self._record(each, partial(rules.ending, policy, each.request, started_by, job))

    async def _try_again(self, each: Quarantined) -> None:
        """Let a request run, whose reads have more time, unless Atlas refuses this one quickly."""
        ref, now = each.request.ref, self.store.now()
        try:
            await self.projects.get(ref.project_id).atlas.restore_job(ref, timeout=READ_TIMEOUT)
        except AtlasError as error:
            log.warning("quarantined job not read", job=ref.job_id, why=str(error))
            again_at = rules.try_again_at(ref, now, error.retry_after)
            if not isinstance(error, TimedOut) and again_at < rules.tried_until(ref):
                await self.store.record_ends([(each.request, again_at)])
                return
        await self._record(each, lambda _count: Ending(State.APPROVED, each.request.outcome))

    async def _record(self, each: Quarantined, ending: Callable[[int], Ending]) -> None:
        with suppress(StateConflict):  # a person was first
            ended = await self.store.end(each.request, ending)
            if ended.state is State.APPROVED:
                self.runner.start(ended.id)


@dataclass(eq=False)
class KeptDownloads:
    """Voids keeps of starters, and those for expected starters who are not certain any more."""

    store: QuarantineStore
    projects: Projects
    #: Reads a user's e-mail address from Slack; raises `RightsNotChecked` where Slack cannot say.
    email_of: Callable[[str], Awaitable[str | None]]

    async def step(self) -> float:
        """Judge each keep whose starter is known; return further seconds until the next try."""
        known = [each for each in await self.store.kept() if each.job.started_by.starter]
        return max(await asyncio.gather(*map(self._judge, known)), default=0.0)

    async def _judge(self, kept: Quarantined) -> float:
        ref = kept.request.ref
        watched = self.store.watched(ref.project_id, ref.cluster_name)
        if watched is None:  # without quarantine
            return 0.0
        by, started_by = kept.request.outcome.by, kept.job.started_by
        try:
            email = await self.email_of(by) if by else None
        except RightsNotChecked as error:
            log.info("keep not judged", request=kept.request.id, why=str(error))
            return RETRY_INTERVAL  # other keeps wait for no Retry-After; Slack is not called in it
        is_void = is_candidate(started_by, email) if by else not started_by.is_certain
        return RETRY_INTERVAL if is_void and not await self._void(kept, watched) else 0.0

    async def _void(self, kept: Quarantined, watched: WatchedCluster) -> bool:
        """Void a keep; False while a request is in the way, or once the download has ended."""
        ref = kept.request.ref
        try:
            atlas = self.projects.get(ref.project_id).atlas
            if (await atlas.restore_job(ref, timeout=READ_TIMEOUT)).is_over:
                return False
        except AtlasError as error:
            log.info("kept job not read", job=ref.job_id, why=str(error))
        try:
            return await self.store.void_keep(kept, watched)
        except StateConflict:
            return True  # it ended meanwhile
