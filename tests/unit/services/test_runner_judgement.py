"""The judgement before each DELETE: a run reads the people from Slack, and waits for them."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

import pytest

from bot.atlas import JobNotFound, JobRef, RateLimited, RestoreJob
from bot.cancellation.errors import ReadOnly, RightsNotChecked
from bot.cancellation.lifecycle import Approval, Request, State
from bot.cancellation.people import NO_ONE, Kind, People, Person
from bot.cancellation.policy import ClusterPolicy, Policies, Policy
from bot.services.runner import (
    APPROVALS_MISSING,
    CHECK_BACKOFF,
    CHECK_REPORT_DELAY,
    NOTHING_DONE,
    NOTHING_MORE_SENT,
)
from bot.timings import Timings
from tests.support.clock import NOON
from tests.support.domain import a_request
from tests.unit.services.runner_environment import (
    ACCEPTED,
    CANCELLED,
    EXPIRED,
    THERE,
    UNKNOWN,
    FakeLeaseStore,
    ScriptedAtlas,
    ScriptedSlack,
    a_runner,
    run,
)

ADA_ONLY = Approval(user="U0ADA", at=NOON)
GLASS = Policy(approvals=1, break_glass=People(users=frozenset({"U0RINA"})))
AWAY = RightsNotChecked("Slack did not answer in time.")


@pytest.mark.parametrize(
    ("request_", "kind", "policy", "why", "voided"),
    [
        (a_request(), Kind.DEACTIVATED, Policy(), "may not ask for this any more", set()),
        (
            a_request(approvals_needed=1, approvals=(ADA_ONLY,)),
            Kind.GUEST,
            Policy(requesters=People(users=frozenset({"U0RINA"})), approvals=1),
            f"{NOTHING_DONE} {APPROVALS_MISSING}",
            {"U0ADA"},
        ),
        (a_request(), Kind.MEMBER, Policy(approvals=1), APPROVALS_MISSING, set()),
        (a_request(acted_alone=True), Kind.MEMBER, Policy(approvals=1), "", set()),
        (a_request(), Kind.MEMBER, Policy(read_only=True), f"{NOTHING_DONE} {ReadOnly()}", set()),
    ],
    ids=[
        "requester without rights",
        "approver without rights",
        "more approvals than given",
        "right to act alone is lost",
        "read-only project",
    ],
)
async def test_request_that_the_current_policy_does_not_allow_waits_again_without_a_delete(
    request_: Request, kind: Kind, policy: Policy, *, why: str, voided: set[str]
) -> None:
    atlas, store = ScriptedAtlas(reads=[THERE]), FakeLeaseStore(request_)
    state, outcome = await run(atlas, store, kind, policy=policy)

    assert (state, atlas.calls, store.written) == (State.AWAITING, ["GET"], [])
    assert why in outcome.sentence
    assert store.judgement
    assert store.judgement.voided == voided
    assert store.judgement.approvals_needed == max(policy.approvals, request_.approvals_needed)


RAISED = {
    "approvals": (Policy(approvals=1), a_request()),
    "requesters": (Policy(requesters=NO_ONE), a_request()),
    "read only": (Policy(read_only=True), a_request()),
    "no acting alone": (Policy(approvals=1), a_request(acted_alone=True)),
}


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize(
    ("names", "state"), [("PROD-*", State.AWAITING), ("test-*", State.CANCELLED)]
)
async def test_policy_of_the_cluster_holds_at_the_delete(
    raised: str, names: str, state: State
) -> None:
    policy, request = RAISED[raised]
    policies = Policies(
        GLASS if request.acted_alone else Policy(), (ClusterPolicy((names,), policy),)
    )
    atlas, store = ScriptedAtlas(reads=[THERE, CANCELLED]), FakeLeaseStore(request)
    found, _ = await run(atlas, store, Kind.MEMBER, policy=policies)

    assert (found, atlas.calls.count("DELETE")) == (state, state is State.CANCELLED)


async def test_rights_are_judged_before_each_delete() -> None:
    atlas = ScriptedAtlas([THERE], [RateLimited(retry_after=1.0, status=429), ACCEPTED])
    store = FakeLeaseStore()
    state, outcome = await run(atlas, store, Kind.MEMBER, Kind.DEACTIVATED)

    assert state is State.AWAITING
    assert outcome.sentence.startswith(NOTHING_MORE_SENT)
    assert atlas.calls.count("DELETE") == 1


async def test_delete_waits_until_slack_answers_and_the_job_is_read_again() -> None:
    atlas = ScriptedAtlas(reads=[THERE, THERE, THERE, CANCELLED])
    store = FakeLeaseStore()
    state, _ = await run(atlas, store, AWAY, AWAY, Kind.MEMBER)

    assert state is State.CANCELLED
    assert atlas.calls == ["GET", "GET", "GET", "DELETE", "GET"]
    assert store.written == ["sent", "answered 204"]  # a short failure is not reported
    assert all(timeout and timeout > 0 for timeout in atlas.timeouts)


@pytest.mark.parametrize(("seconds", "settled"), [(1.0, State.CANCELLED), (1.1, State.AWAITING)])
async def test_people_who_were_read_beside_the_job_count_for_a_second(
    seconds: float, settled: State
) -> None:
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED], seconds=seconds)
    state, _ = await run(atlas, None, Kind.MEMBER, Kind.DEACTIVATED)

    assert state is settled


@dataclass(slots=True)
class AnsweringLast(ScriptedAtlas):
    """An Atlas whose last read lets Slack answer that was asked beside the first."""

    slack_answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        if len(self.reads) == 1:
            self.slack_answers.set()
            for _ in range(10):
                await asyncio.sleep(0)
        return await ScriptedAtlas.restore_job(self, ref, timeout=timeout)


async def test_late_answer_about_people_does_not_count_as_one_of_the_last_read() -> None:
    atlas = AnsweringLast(reads=[*[JobNotFound(status=404)] * 4, THERE])
    first = [True]

    async def resolve(users: Collection[str], _groups: Collection[str]) -> dict[str, Person]:
        kind = Kind.DEACTIVATED
        if first and first.pop():
            await atlas.slack_answers.wait()
            kind = Kind.MEMBER
        return {user: Person(id=user, team="T1", kind=kind) for user in users}

    await run(atlas, resolve=resolve)

    assert "DELETE" not in atlas.calls


async def test_slack_that_takes_more_than_a_second_lets_no_delete_be_sent() -> None:
    """A right that was lost at the begin of the read would count more than 1.5 s later."""
    atlas, store = ScriptedAtlas(reads=[THERE, THERE, CANCELLED]), FakeLeaseStore()
    await run(atlas, store, Kind.MEMBER, slack_seconds=1.1)

    assert "DELETE" not in atlas.calls


async def test_people_are_not_read_once_a_delete_was_sent() -> None:
    atlas, slack = ScriptedAtlas(reads=[CANCELLED]), ScriptedSlack([Kind.MEMBER])
    store = FakeLeaseStore(a_request(sent=UNKNOWN))
    await a_runner(store, atlas, slack=slack).run(store.request.id)

    assert atlas.calls == ["GET"]
    assert not slack.was_asked.is_set()


async def test_run_after_a_delete_whose_answer_was_lost_goes_on_once_slack_answers() -> None:
    atlas = ScriptedAtlas(reads=[*[THERE] * 9, CANCELLED])
    store = FakeLeaseStore(a_request(sent=UNKNOWN))
    state, _ = await run(atlas, store, AWAY, Kind.MEMBER)

    assert (state, atlas.calls.count("DELETE")) == (State.CANCELLED, 1)


async def test_slack_is_asked_for_people_while_atlas_answers() -> None:
    slack = ScriptedSlack([Kind.MEMBER])

    class SlowAtlas(ScriptedAtlas):
        async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
            await asyncio.wait_for(slack.was_asked.wait(), 5)
            return await super().restore_job(ref, timeout=timeout)

    atlas, store = SlowAtlas(reads=[THERE, CANCELLED]), FakeLeaseStore()
    await a_runner(store, atlas, slack=slack).run(store.request.id)

    assert atlas.calls == ["GET", "DELETE", "GET"]


async def test_lasting_failure_of_slack_is_reported_once_and_sends_nothing() -> None:
    atlas = ScriptedAtlas(reads=[*[THERE] * 30, EXPIRED])
    store = FakeLeaseStore()
    began = atlas.clock.monotonic()
    state, _ = await run(atlas, store, AWAY)

    assert state is State.OVER
    assert "DELETE" not in atlas.calls
    assert atlas.clock.monotonic() - began > Timings.run_timeout
    assert atlas.clock.sleeps[:6] == [*CHECK_BACKOFF, CHECK_BACKOFF[-1]]
    [report] = store.written
    assert report == f"check failed for {store.request.id}: {AWAY.why}"


@pytest.mark.parametrize(("seconds", "reported"), [(30.0, True), (CHECK_REPORT_DELAY, False)])
async def test_longer_wait_that_slack_asks_for_is_reported_before_it(
    seconds: float, *, reported: bool
) -> None:
    atlas = ScriptedAtlas(reads=[THERE, THERE, CANCELLED])
    store = FakeLeaseStore()
    limited = RightsNotChecked("Slack allows no more calls.", retry_after=seconds)
    await run(atlas, store, limited, Kind.MEMBER)

    assert atlas.clock.sleeps[0] == seconds
    expected = [*["check failed"] * reported, "sent", "answered 204"]
    assert [each.partition(" for ")[0] for each in store.written] == expected
