"""The services that simulated bots share: the time, Slack, Atlas and the database."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.atlas import DeliveryType, created_at
from tests.support.clock import NOON, SimulatedTime
from tests.support.domain import a_job
from tests.support.fake_atlas import event_near

if TYPE_CHECKING:
    import random

    from bot.atlas import ActivityEvent, RestoreJob
    from bot.cancellation.policy import Policy

CLUSTER = "prod-eu"
CHANNEL = "C0WATCH"

#: Turns of the event loop without a transaction after which all loops wait for the time.
QUIET_TURNS = 12


@dataclass(slots=True)
class Services:
    """The services of all bots: the time, Slack, Atlas's jobs and feed, and the database.

    Attributes:
        deletes: the job of each DELETE that arrived, when, and whether it took effect.
        feed: events of the activity feed, with the second from which it shows them.
        shown_at: when Slack took the card of the bot's own request for each job.
        posted: how often Slack took each message, by its `client_msg_id`.
        kinds: the kind and the event of the messages of each request.
        has_faults: whether calls to Atlas may fail, and kill bots.
    """

    url: str
    policy: Policy
    rng: random.Random
    time: SimulatedTime = field(default_factory=SimulatedTime)
    jobs: list[RestoreJob] = field(default_factory=list)
    deletes: list[tuple[str, float, bool]] = field(default_factory=list)
    feed: list[tuple[float, ActivityEvent]] = field(default_factory=list)
    shown_at: dict[str, float] = field(default_factory=dict)
    posted: Counter[str] = field(default_factory=Counter)
    kinds: dict[str, set[tuple[str, str, str]]] = field(default_factory=dict)
    slack_is_up: bool = True
    database_is_up: bool = True
    feed_is_up: bool = True
    has_faults: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    transactions: int = 0

    async def settle(self) -> None:
        """Wait until every loop waits for the time."""
        quiet = 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(0 if self.transactions == 0 else 0.0005)
            quiet = 0 if self.transactions else quiet + 1

    def begin(self, **changes: object) -> str:
        """Start a job; return its id, which begins with the time of Atlas: that does not jump."""
        job_id = f"{int(NOON.timestamp() + self.time.elapsed):08x}{1000 * len(self.jobs):016x}"
        values = {"id": job_id, "deliveryType": DeliveryType.DOWNLOAD, **changes}
        self.jobs.insert(0, a_job(**values))
        return job_id

    def show_starter(self, job_id: str, name: str, delay: float) -> None:
        """Add the starter of a job to the feed, after a delay."""
        event = event_near(job_id, name, created_at(job_id))
        self.feed.append((self.time.elapsed + delay, event))

    def change(self, job_id: str, **changes: object) -> None:
        self.jobs = [
            each.model_copy(update=changes) if each.id == job_id else each for each in self.jobs
        ]

    def job(self, job_id: str) -> RestoreJob:
        return next(each for each in self.jobs if each.id == job_id)

    def delete(self, job_id: str) -> None:
        takes_effect = not self.job(job_id).is_over
        self.deletes.append((job_id, self.time.elapsed, takes_effect))
        if takes_effect:
            self.change(job_id, cancelled=True)

    def occurs(self, fault: str, chance: float) -> bool:
        """Whether a fault begins now."""
        begins = self.has_faults and self.rng.random() < chance
        self.faults[fault] += begins
        return begins
