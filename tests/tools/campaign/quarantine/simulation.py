"""Downloads in quarantine in simulated time: actions of people, faults, a time without faults."""

from __future__ import annotations

import logging
import random
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import structlog
import structlog.testing
from sqlalchemy import create_engine, select

from bot.atlas import JobRef
from bot.cancellation.errors import CancellationError
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import JobFingerprint, State
from bot.cancellation.policy import Mode, Policy
from bot.cancellation.quarantine import quarantine_key
from bot.services.service import Submission
from bot.storage import tables
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from bot.storage.history import History
from bot.storage.migrate import create_tables
from bot.storage.request_store import RequestStore
from tests.support.domain import ABE, ADA, PROJECT_ID, RINA, an_ask
from tests.tools.campaign.quarantine.bots import DATABASE_TIMEOUT, SimulatedBot
from tests.tools.campaign.quarantine.rules import GRACE
from tests.tools.campaign.quarantine.services import CHANNEL, CLUSTER, Services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from structlog.typing import EventDict

    from bot.cancellation.lifecycle import Request

EXPECTED, STRANGER = "etl@shop.example", "mallory@shop.example"

#: Downloads of one database: as many as its bots can read concurrently.
DOWNLOADS = 100

#: Seconds without faults at the end, in which everything that is due must end.
SECONDS_WITHOUT_FAULTS = GRACE + 45

#: The actions of people about a download, with their weights.
ACTIONS = {
    "nothing": 40,
    "keep": 20,
    "own keep": 8,
    "cancel now": 8,
    "end in Atlas": 8,
    "ask before the bot sees it": 6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One part: how many bots, and how many downloads an hour the bots cancel by themselves."""

    name: str
    bots: int
    limit: int | None = None

    @property
    def is_limited(self) -> bool:
        return self.limit is not None


@dataclass(slots=True)
class Download:
    """One download, and its result.

    Attributes:
        starter: its starter in the activity feed, which shows it from `visible_at` on.
        action: the action of people about it, from `action_at` on.
        kept_at: when the bot took a click on **Keep it**.
        by_person: whether a click on **Cancel it now** was taken.
        request: the newest request for it, at the end.
        approved_at: when its grace time was over, or **Cancel it now** was clicked.
    """

    job_id: str
    began_at: float
    starter: str | None
    visible_at: float
    action: str
    action_at: float
    kept_at: float | None = None
    by_person: bool = False
    request: Request | None = None
    approved_at: float | None = None

    @property
    def ref(self) -> JobRef:
        return JobRef(PROJECT_ID, CLUSTER, self.job_id)

    @property
    def is_expected(self) -> bool:
        return self.starter == EXPECTED

    @property
    def state(self) -> State | None:
        return self.request.state if self.request else None


@dataclass(slots=True)
class Simulation:
    """One database with its downloads: first with faults, at the end without.

    Attributes:
        others: the ids of jobs that are no downloads, or were there at the first read.
        outages: the seconds in which Slack or the database was unavailable.
        disturbances: the seconds in which these were down, no bot led, or a call failed.
        feed_outages: the seconds in which the activity feed could not be read.
        breaks: breaks of the audit log's hash chain.
        errors: the error lines of the bots' logs.
        seconds: the simulated second of each time of the wall clock, the last one after a jump.
    """

    plan: Plan
    services: Services
    bots: list[SimulatedBot | None]
    downloads: list[Download] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)
    disturbances: list[float] = field(default_factory=list)
    feed_outages: list[float] = field(default_factory=list)
    breaks: list[str] = field(default_factory=list)
    errors: Sequence[str] = ()
    seconds: dict[datetime, float] = field(default_factory=dict)
    _faults: int = 0
    _lives: count[int] = field(default_factory=count)
    _until: dict[str, float] = field(default_factory=dict)

    async def run(self, downloads: int) -> None:
        """Begin all downloads while parts fail, then let every grace time pass."""
        observer = Database(self.services.url, timeout=DATABASE_TIMEOUT)
        requests = RequestStore(observer, self.services.time)
        try:
            self.others = [self.services.begin() for _ in range(3)]
            self._start_bots()
            await self._seconds(6, requests)
            self.services.has_faults = True
            for number in range(downloads):
                await self._begin()
                if number == downloads // 2:  # a short run might have no fault by chance
                    self.services.faults["Slack: unavailable"] += 1
                    self._begin_fault("Slack: unavailable", (3, 15))
                    await self._seconds(1, requests)
                await self._pause(requests)
            self._stop_faults()
            await self._seconds(SECONDS_WITHOUT_FAULTS, requests)
            for each in self.downloads:
                each.request = await self._request_of(each, observer)
            await self._read_record(AuditLog(observer))
        finally:
            for bot in filter(None, self.bots):
                await bot.close()
            await observer.close()

    async def _request_of(self, each: Download, observer: Database) -> Request | None:
        """Return the bot's own request, or a person's; the clock may have jumped between them."""
        key = quarantine_key(each.ref)
        of_bot = select(tables.requests.c.id).where(tables.requests.c.key == key)
        found = await observer.read(lambda db: db.execute(of_bot).scalar())
        over = (observer, self.services.time)
        wanted = RequestStore(*over).get(found) if found else None
        return await (wanted or History(*over).newest_request_for(each.ref))

    async def _read_record(self, log: AuditLog) -> None:
        """Read when each grace time was over; where the clock jumped, the second may be unknown."""
        self.breaks = [str(each) for each in await log.verify()]
        of = {each.request.id: each for each in self.downloads if each.request}
        async for event in log.events():
            if (each := of.get(event.request)) is None:
                continue
            at = self.seconds.get(datetime.fromisoformat(event.at).replace(microsecond=0))
            if event.event == EventName.APPROVED:
                each.approved_at, each.by_person = at, event.actor is not None
            if event.event == EventName.KEPT and event.actor:  # its answer may have been lost
                each.kept_at = each.kept_at or at or 0.0

    def _start_bots(self) -> None:
        for place, bot in enumerate(self.bots):
            if bot is None:
                self._start_bot(place)

    def _start_bot(self, place: int) -> None:
        self.bots[place] = SimulatedBot(self.services, next(self._lives))

    async def _begin(self) -> None:
        rng, services = self.services.rng, self.services
        if rng.random() < 0.1:
            self.others.append(
                services.begin(deliveryType=rng.choice(["automated", "pointInTime"]))
            )
        if rng.random() < 0.05:
            self.others.append(services.begin(cancelled=True))
        job_id, now = services.begin(), services.time.elapsed
        starter = rng.choices([EXPECTED, STRANGER, None], [2, 5, 3])[0]
        visible_at = now + rng.uniform(0, GRACE - 5)
        if starter:
            services.show_starter(job_id, starter, visible_at - now)
        action = rng.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        action_at = now + rng.uniform(0, 1.5 * GRACE)
        each = Download(job_id, now, starter, visible_at, action, action_at)
        self.downloads.append(each)
        if action == "ask before the bot sees it":
            await self._ask(each)

    async def _pause(self, requests: RequestStore) -> None:
        """Let time pass until the next download; an hour's limit needs hours."""
        rng = self.services.rng
        await self._seconds(rng.choice([0, 0, 1, 3, 8]), requests)
        if self.plan.is_limited and rng.random() < 0.3:
            await self._seconds(SECONDS_WITHOUT_FAULTS, requests)
            if not (await History(requests.database, requests.now).counts())[0]:
                for _ in range(rng.randint(5, 90)):
                    await self._step(20.0)

    async def _seconds(self, seconds: int, requests: RequestStore) -> None:
        for _ in range(seconds):
            self._change_faults()
            await self._run_due_actions(requests)
            await self._step(1.0)

    async def _step(self, seconds: float) -> None:
        services = self.services
        services.time.advance(seconds)
        self.seconds[services.time.wall] = services.time.elapsed
        await services.settle()
        has_leader = any(bot and bot.alive and bot.leader.leads for bot in self.bots)
        now = services.time.elapsed
        is_seen = services.slack_is_up and services.database_is_up
        if not is_seen:
            self.outages.append(now)
        if not services.feed_is_up:
            self.feed_outages.append(now)
        if not (is_seen and has_leader) or services.faults.total() > self._faults:
            self.disturbances.append(now)
        self._faults = services.faults.total()

    def _change_faults(self) -> None:
        services = self.services
        services.slack_is_up = not self._lasts("Slack: unavailable", 0.02, (3, 15))
        services.database_is_up = not self._lasts("database: unavailable", 0.01, (3, 12))
        services.feed_is_up = not self._lasts("activity feed: unavailable", 0.01, (3, 30))
        if not self.plan.is_limited and services.occurs("clock: jumped", 0.01):
            services.time.wall += timedelta(seconds=services.rng.choice([-600, 600]))
        for place, bot in enumerate(self.bots):
            self._kill_or_start(place, bot)

    def _lasts(self, fault: str, chance: float, seconds: tuple[float, float]) -> bool:
        """Whether a fault lasts, or begins now."""
        if self._until.get(fault, 0.0) > self.services.time.elapsed:
            return True
        begins = self.services.occurs(fault, chance)
        if begins:
            self._begin_fault(fault, seconds)
        return begins

    def _begin_fault(self, fault: str, seconds: tuple[float, float]) -> None:
        services = self.services
        self._until[fault] = services.time.elapsed + services.rng.uniform(*seconds)

    def _kill_or_start(self, place: int, bot: SimulatedBot | None) -> None:
        services = self.services
        if bot and bot.alive:
            if services.occurs("bot: killed", 0.008):
                bot.kill()
            return
        if not self._lasts(f"bot {place + 1}: down", 0.5, (1, 15)):
            self._start_bot(place)

    def _stop_faults(self) -> None:
        self.services.has_faults = False
        self._until.clear()

    async def _ask(self, each: Download) -> None:
        """Request the cancellation as a person, which needs an approval."""
        shown = JobFingerprint.of(self.services.job(each.job_id))
        submission = Submission(
            key=f"V{each.job_id}",
            person=RINA,
            ask=an_ask(ref=each.ref, shown=shown, asked_in=CHANNEL),
            channel=CHANNEL,
            approver_members=frozenset({ADA.id, ABE.id}),
        )
        bot = self._bot()
        try:
            if bot:
                await bot.service.submit(submission)
        except CancellationError:
            return  # the bot was faster, or the database is unavailable

    async def _run_due_actions(self, requests: RequestStore) -> None:
        for each in self.downloads:
            if each.action != "nothing" and each.action_at <= self.services.time.elapsed:
                await self._run_action(each, requests)

    async def _run_action(self, each: Download, requests: RequestStore) -> None:
        if each.action == "end in Atlas":
            each.action = "nothing"
            if not self.services.job(each.job_id).is_over:
                self.services.change(each.job_id, failed=True)
            return
        request = await History(requests.database, requests.now).newest_request_for(each.ref)
        bot = self._bot()
        if request is None or bot is None or not self.services.slack_is_up:
            return
        if request.state is not State.QUARANTINED:
            each.action = "nothing"
        elif request.card:
            await self._click(each, request.id, bot)

    async def _click(self, each: Download, request_id: str, bot: SimulatedBot) -> None:
        """Click once; the next second tries again, unless the click was taken."""
        try:
            match each.action:
                case "keep":
                    await bot.service.keep(request_id, ADA, "audit", "ada@shop.example")
                    each.kept_at = self.services.time.elapsed
                case "own keep":
                    await bot.service.keep(request_id, ABE, "mine", STRANGER)
                    each.kept_at = self.services.time.elapsed
                case "cancel now":
                    await bot.service.approve(request_id, ADA)
                    each.by_person = True
        except CancellationError:
            return
        each.action = "nothing"

    def _bot(self) -> SimulatedBot | None:
        living = [bot for bot in self.bots if bot and bot.alive]
        return self.services.rng.choice(living) if living else None


async def play(plan: Plan, folder: Path, seed: int, downloads: int = DOWNLOADS) -> Simulation:
    """Run one simulation over a new database."""
    url = f"sqlite:///{folder}/quarantines-{seed}.db"
    engine = create_engine(url)
    with engine.begin() as connection:
        create_tables(connection)
    engine.dispose()
    policy = Policy(
        quarantine=Mode.ENFORCE,
        quarantine_grace=timedelta(seconds=GRACE),
        quarantine_expected=frozenset({EXPECTED}),
        quarantine_limit=plan.limit or 10 * DOWNLOADS,
    )
    services = Services(url, policy, random.Random(seed))  # noqa: S311 - the same at every run
    simulation = Simulation(plan, services, [None] * plan.bots)
    with captured_errors() as errors:
        await simulation.run(downloads)
    simulation.errors = [str(each) for each in errors]
    return simulation


@contextmanager
def captured_errors() -> Iterator[Sequence[EventDict]]:
    """Capture the errors that bots log meanwhile, and print nothing."""
    before, capture = structlog.get_config(), structlog.testing.LogCapture()
    wrapper = structlog.make_filtering_bound_logger(logging.ERROR)
    structlog.configure(processors=[capture], wrapper_class=wrapper)
    try:
        yield capture.entries
    finally:
        structlog.configure(**before)
