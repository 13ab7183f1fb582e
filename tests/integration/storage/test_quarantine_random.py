"""Random quarantines: each due download is cancelled once and in time, and no other.

A hundred downloads a seed; QUARANTINE_SEEDS=10 simulates a thousand.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from bot.cancellation.lifecycle import State
from bot.cancellation.quarantine import Mode, QuarantinePolicy
from bot.storage.audit_log import AuditLog
from tests.integration.storage.quarantine_bench import QuarantineBench, Replica
from tests.support.domain import ADA

if TYPE_CHECKING:
    from bot.cancellation.errors import NotAllowed
    from bot.cancellation.lifecycle import Request
    from bot.storage.database import Database

GRACE = 20
DOWNLOADS = 100
SEEDS = range(int(os.environ.get("QUARANTINE_SEEDS", "2")))
POLICY = QuarantinePolicy(
    mode=Mode.ENFORCE,
    grace=timedelta(seconds=GRACE),
    expected=frozenset({"etl@shop.example"}),
    limit=1000,
)


@dataclass(slots=True)
class Download:
    """One download: whether its starter is expected, and when an approver keeps it."""

    job_id: str
    expected: bool
    keep_at: float | None


@dataclass(slots=True)
class Simulation:
    """One project in which downloads begin while Slack and the clock come and go.

    Attributes:
        others: the ids of jobs that are no downloads, or were there at the first look.
        away: the seconds in which Slack was away.
    """

    bench: QuarantineBench
    rng: random.Random
    downloads: list[Download] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Begin all downloads, then let every grace time pass."""
        self.others = [self.bench.begin(number) for number in range(3)]
        await self.bench.start()
        for number in range(DOWNLOADS):
            self._begin(1000 + 20 * number)
            for _ in range(self.rng.choice([0, 0, 0, 1, 3])):
                await self._second()
        self.bench.slack_is_up = True
        for _ in range(GRACE + 12):
            await self._second(undisturbed=True)

    def _begin(self, number: int) -> None:
        if self.rng.random() < 0.1:
            self.others.append(self.bench.begin(number, deliveryType="automated"))
        job_id = self.bench.begin(number + 10)
        expected, is_kept = self.rng.random() < 0.2, self.rng.random() < 0.3
        if expected or self.rng.random() < 0.5:
            name = "etl@shop.example" if expected else "mallory@shop.example"
            self.bench.show_starter(job_id, name, delay=self.rng.uniform(0, GRACE - 5))
        keep_at = self.bench.clock.elapsed + self.rng.uniform(0, GRACE) if is_kept else None
        self.downloads.append(Download(job_id, expected, keep_at))

    async def _second(self, *, undisturbed: bool = False) -> None:
        bench, rng = self.bench, self.rng
        if not undisturbed and rng.random() < 0.03:
            bench.slack_is_up = not bench.slack_is_up
        if not undisturbed and bench.policy.limit > DOWNLOADS and rng.random() < 0.02:
            bench.clock.jump(rng.choice([-600, 600]))
        if rng.random() < 0.4:
            await bench.read_jobs()
        await self._keep()
        await bench.second()
        if not bench.slack_is_up:
            self.outages.append(bench.clock.elapsed)

    async def _keep(self) -> None:
        for each in self.downloads:
            if each.keep_at is None or each.keep_at > self.bench.clock.elapsed:
                continue
            request = await self.bench.request(each.job_id)
            if request and request.state is State.QUARANTINED:
                each.keep_at = None
                await self.bench.requests.decide(request.id, State.KEPT, ADA, allow, reason="audit")

    def seen_from(self, job_id: str, until: float) -> float:
        """Return since when people could see a card without interruption."""
        back = [at for at in self.outages if at < until]
        return max(self.bench.shown_at[job_id], *back, 0.0)


def allow(_request: Request) -> NotAllowed | None:
    return None


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_due_downloads_are_cancelled_once_in_time_and_no_others(
    database: Database, seed: int
) -> None:
    policy = replace(POLICY, limit=5 if seed % 5 == 4 else 1000)
    bench = QuarantineBench(database, policy)
    if seed % 2:
        bench.replicas.append(Replica(bench, "two"))
    simulation = Simulation(bench, random.Random(seed))  # noqa: S311 - no secret
    await simulation.run()

    cancelled = [job_id for job_id, _ in bench.atlas.deleted]
    assert len(set(cancelled)) == len(cancelled) <= policy.limit
    assert not {*simulation.others} & {*cancelled}
    for each in simulation.downloads:
        state, deletes = await bench.state(each.job_id), bench.deletes(each.job_id)
        assert state in {None, State.KEPT, State.CANCELLED}
        assert (state is None) <= (policy.limit == 5)
        assert len(deletes) == (state is State.CANCELLED)
        assert not (each.expected and deletes)
        for at in deletes:
            assert GRACE <= at - simulation.seen_from(each.job_id, at) <= GRACE + 10
    assert await AuditLog(database).verify() == []
