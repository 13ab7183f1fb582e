"""Quarantine in a project whose clusters have policies of their own, over a real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bot.atlas import JobRef
from bot.cancellation.job import StarterAnswer
from bot.cancellation.lifecycle import State
from bot.cancellation.people import People
from bot.cancellation.policy import ClusterPolicy, Mode, Policies, Policy, may_keep
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from tests.integration.storage.quarantine_environment import (
    ENFORCED,
    GRACE,
    TEST,
    QuarantineEnv,
    pass_seconds,
    quarantined,
)
from tests.support.domain import ADA, PROJECT_ID, RINA

if TYPE_CHECKING:
    from bot.storage.database import Database


pytestmark = pytest.mark.databases("sqlite")

OBSERVED = replace(ENFORCED, quarantine=Mode.OBSERVE)


def by(name: str) -> StartedBy:
    return StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name=name))


@pytest.mark.parametrize(
    ("changes", "watched", "state", "deletes"),
    [
        ({"quarantine": Mode.OFF}, True, None, 0),
        ({}, False, None, 0),
        ({"quarantine": Mode.OBSERVE}, True, State.OBSERVED, 0),
        ({"quarantine_expected": frozenset({"dana@shop.example"})}, True, State.KEPT, 0),
        ({"quarantine_limit": 1}, True, None, 0),
        ({"quarantine_limit": 2}, True, State.CANCELLED, 1),
        ({"quarantine_grace": timedelta(seconds=2 * GRACE)}, True, State.QUARANTINED, 0),
    ],
    ids=["off", "no channel", "observe", "expected", "limit reached", "below limit", "longer"],
)
async def test_quarantine_follows_the_policy_of_the_cluster_and_counts_the_project(
    database: Database, changes: dict[str, Any], state: State | None, deletes: int, *, watched: bool
) -> None:
    own = replace(ENFORCED, watch_channel="C0TEST" if watched else None, **changes)
    env = QuarantineEnv(database, ENFORCED, (ClusterPolicy(("TEST-*",), own),))
    await env.start()
    prod = await quarantined(env)
    await pass_seconds(env, GRACE + 10)
    job_id = env.begin(2, TEST)
    env.show_starter(job_id, "dana@shop.example")
    await env.read_jobs()
    await env.find_starters()
    await pass_seconds(env, GRACE + 10)
    request = await env.history.newest_request_for(JobRef(PROJECT_ID, TEST, job_id))

    assert (await env.state(prod), len(env.deletes(prod))) == (State.CANCELLED, 1)
    assert (request and request.state, len(env.deletes(job_id))) == (state, deletes)
    assert request is None or request.channel == "C0TEST"
    assert env.limited == ["shop-prod"] * (changes.get("quarantine_limit") == 1)


@pytest.mark.parametrize("approvers", ["U0ADA", "U0ABE"])
async def test_keep_is_of_the_approvers_of_the_cluster_as_the_settings_are_now(
    database: Database, approvers: str
) -> None:
    env = QuarantineEnv(database, ENFORCED)
    await env.start()
    request = await env.request(await quarantined(env))
    named = Policy(approvers=People(users=frozenset({approvers})))
    policies = Policies(Policy(approvers=People()), (ClusterPolicy(("prod-*",), named),))
    env.projects.update(PROJECT_ID, policies=policies)

    policy = env.projects.policy(request.ref)
    assert (may_keep(policy, ADA) is None) == (approvers == ADA.id)
    assert may_keep(policy, ADA, by("ada@shop.example"), "Ada@shop.example") is not None


@pytest.mark.parametrize(
    ("of_project", "of_cluster", "deletes"),
    [(Policy(), ENFORCED, 1), (ENFORCED, OBSERVED, 0), (ENFORCED, Policy(), 0)],
    ids=["enforced here", "observed here", "off here"],
)
async def test_disowned_download_is_cancelled_at_once_where_its_cluster_enforces(
    database: Database, of_project: Policy, of_cluster: Policy, deletes: int
) -> None:
    own = ClusterPolicy((TEST,), replace(of_cluster, watch_channel="C0TEST"))
    env = QuarantineEnv(database, of_project, (own,), emails={RINA.id: "dana@shop.example"})
    await env.start()
    ref = JobRef(PROJECT_ID, TEST, env.begin(1, TEST))
    env.show_starter(ref.job_id, "dana@shop.example")
    await env.read_jobs()
    await env.find_starters()
    await pass_seconds(env, 2, step=1)
    await env.replicas[0].service.answer(ref, RINA, StarterAnswer.NOT_MINE)
    await env.replicas[0].runs()

    assert len(env.deletes(ref.job_id)) == deletes
