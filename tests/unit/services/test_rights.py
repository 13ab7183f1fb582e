"""The check of rights right before a DELETE: people by Slack, and the time without Slack."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from bot.atlas.errors import Unavailable
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import ActingPerson, Kind, People, Person
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request, State
from bot.cancellation.run import RUN_LIMIT
from bot.services.rights import Rights, nobody_answers
from tests.support.core import CoreEnvironment
from tests.support.domain import ADA, ALAN, AUTO_CANCEL, GIL, OPERATOR, POLICY, RINA, START, users

DECISION_HOLDS = timedelta(minutes=10)


def kind_of(user: str, kind: Kind) -> dict[str, Any]:
    return {user: Person(id=user, team="T0ACME", kind=kind)}


@dataclass(frozen=True)
class Change:
    """What is different at the DELETE from what was at the decision, and what follows."""

    state: State
    deletes_sent: int
    people: dict[str, Person] | None = None
    policy: Policy = POLICY


CHANGES = {
    "nothing": Change(State.CANCELLED, 1),
    "requester deactivated": Change(State.WITHDRAWN, 0, kind_of("U0RINA", Kind.DEACTIVATED)),
    "requester is a guest now, named by id": Change(
        State.CANCELLED, 1, kind_of("U0RINA", Kind.GUEST)
    ),
    "requester not named any more": Change(
        State.WITHDRAWN, 0, policy=replace(POLICY, requesters=users("U0EVE"))
    ),
    "approver deactivated": Change(State.AWAITING, 0, kind_of("U0ADA", Kind.DEACTIVATED)),
    "approver not named any more": Change(
        State.AWAITING, 0, policy=replace(POLICY, approvers=users("U0ALAN"))
    ),
    "more approvals wanted": Change(State.AWAITING, 0, policy=replace(POLICY, approvals=2)),
    "fewer approvals wanted": Change(State.CANCELLED, 1, policy=replace(POLICY, approvals=0)),
    "read-only": Change(State.WITHDRAWN, 0, policy=replace(POLICY, read_only=True)),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_rights_of_today_decide_about_the_delete(name: str, env: CoreEnvironment) -> None:
    change = CHANGES[name]
    request = await env.approved()
    env.directory.people |= change.people or {}
    env.policy = change.policy
    env.build()

    after = await env.run(request)

    assert (after.state, env.atlas.delete_count) == (change.state, change.deletes_sent)
    is_read_only, has_lost = after.outcome.is_read_only, after.outcome.lost_right
    assert (is_read_only or has_lost) is (change.state is State.WITHDRAWN)
    assert after.outcome.by is None
    assert env.errors == []  # a run that ends does nothing more


@pytest.mark.parametrize(("person", "approved_by"), [(GIL, {"U0GIL"}), (RINA, set())])
async def test_submit_of_who_may_ask_starts_what_waits_where_no_approvals_are_wanted_any_more(
    person: ActingPerson, approved_by: set[str], env: CoreEnvironment
) -> None:
    waiting = await env.ask()
    env.policy = replace(POLICY, approvals=0)
    env.build()
    request = await env.ask(person, key="V2")

    ended = await env.run(request)

    assert (ended.id, ended.state) == (waiting.id, State.CANCELLED)
    assert (set(ended.approved_by), env.atlas.delete_count) == (approved_by, 1)
    assert ("approval" in await env.replies()) is bool(approved_by)


async def test_request_whose_approver_lost_the_right_waits_on_and_runs_anew_when_approved_again(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()
    env.directory.people |= kind_of("U0ADA", Kind.DEACTIVATED)
    waiting = await env.run(request)
    assert waiting.approved_by == frozenset()
    assert (await env.events())[-2:] == ["request:approval_voided", "request:awaiting"]
    assert (await env.replies())[-1] == "waits_again"

    env.clock.advance(1200)
    await env.service.approve(request.id, ALAN)
    ended = await env.run(request)

    assert ended.state is State.CANCELLED
    assert ended.run_started_at == START + timedelta(seconds=1200)


@pytest.mark.parametrize(
    ("person", "alone", "asked"),
    [(RINA, False, {"U0RINA", "U0ADA"}), (GIL, True, {"U0GIL"}), (OPERATOR, True, None)],
)
async def test_only_those_who_decided_are_checked(
    person: ActingPerson, alone: bool, asked: set[str] | None, env: CoreEnvironment
) -> None:
    request = await env.ask(person, alone=alone)
    if not alone:
        await env.service.approve(request.id, ADA)

    await env.run(request)

    assert env.atlas.delete_count == 1
    assert env.directory.asked == ([] if asked is None else [asked])


async def test_groups_of_requesters_approvers_and_break_glass_are_read_before_the_delete(
    env: CoreEnvironment,
) -> None:
    policy = Policy(
        requesters=People(groups=frozenset({"S0DEV"})),
        approvers=People(groups=frozenset({"S0OPS"})),
        break_glass=People(groups=frozenset({"S0LEAD"})),
    )
    read: list[Collection[str]] = []

    async def resolve(users: Collection[str], groups: Collection[str]) -> Mapping[str, Person]:
        read.append(groups)
        return await env.directory.resolve(users, groups)

    await Rights(resolve).judge(await env.approved(), await env.download(), policy, START)

    assert read == [{"S0DEV", "S0OPS", "S0LEAD"}]


async def test_person_who_acted_alone_and_may_not_any_more_cancels_nothing(
    env: CoreEnvironment,
) -> None:
    request = await env.ask(GIL, alone=True)
    env.policy = replace(POLICY, break_glass=users("U0EVE"))
    env.build()

    ended = await env.run(request)

    assert (ended.state, env.atlas.delete_count) == (State.WITHDRAWN, 0)


async def test_request_of_another_waits_on_where_who_acted_alone_on_it_may_not_any_more(
    env: CoreEnvironment,
) -> None:
    env.policy = replace(POLICY, approvals=2)
    env.build()
    request = await env.approved()
    await env.ask(GIL, key="V2", alone=True)
    env.policy = replace(env.policy, break_glass=users("U0EVE"))
    env.build()

    waiting = await env.run(request)

    assert (waiting.state, env.atlas.delete_count) == (State.AWAITING, 0)
    assert (waiting.alone, set(waiting.approved_by), waiting.missing) == (None, {"U0ADA"}, 1)
    assert (await env.replies())[-1] == "waits_again"


async def test_nobody_is_checked_for_what_auto_cancel_approved(env: CoreEnvironment) -> None:
    env.policy = AUTO_CANCEL
    env.build()
    download = await env.list_new()
    env.clock.advance(90)
    await env.requests.auto_cancel(download.ref, AUTO_CANCEL)
    (request,) = await env.runs.running()
    env.directory.is_silent = True

    ended = await env.run(request)

    assert (ended.state, ended.requester, env.atlas.delete_count) == (State.CANCELLED, None, 1)


# While Slack does not answer.


async def run_while_atlas_is_down(env: CoreEnvironment, down_for: timedelta) -> Request:
    """Run a request with an Atlas that answers only after some time; Slack is silent."""
    request = await env.approved()
    env.directory.is_silent = True

    def fail(method: str) -> None:
        if method == "GET" and env.clock.now < START + down_for:
            env.atlas.gets.append(Unavailable(status=503))

    env.atlas.on_call = fail
    return await env.run(request)


async def test_what_held_at_the_decision_counts_for_ten_minutes(env: CoreEnvironment) -> None:
    ended = await run_while_atlas_is_down(env, DECISION_HOLDS - timedelta(seconds=20))

    assert (ended.state, env.atlas.delete_count) == (State.CANCELLED, 1)


async def test_silence_of_slack_saves_no_approval_that_the_policy_of_today_wants(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()
    env.policy = replace(POLICY, approvals=2)
    env.build()
    env.directory.is_silent = True

    waiting = await env.run(request)

    assert (waiting.state, waiting.missing, env.atlas.delete_count) == (State.AWAITING, 1, 0)


async def test_after_ten_minutes_the_run_waits_for_slack_however_long(
    env: CoreEnvironment,
) -> None:
    request = await run_without_slack(env)

    async def answer() -> None:
        env.directory.is_silent = False
        env.clock.advance(RUN_LIMIT.total_seconds())

    while_it_waits(env, answer)

    ended = await env.run(request)

    assert (ended.state, env.atlas.delete_count) == (State.CANCELLED, 1)
    assert env.clock.now >= START + RUN_LIMIT


async def test_run_does_not_wait_for_slack_once_its_auto_cancel_time_has_come(
    env: CoreEnvironment,
) -> None:
    """Auto-cancel asks nobody: a person's request must not make it later."""
    env.policy = AUTO_CANCEL
    env.build()
    await env.list_new()
    request = await env.approved()
    env.directory.is_silent = True
    env.clock.advance(DECISION_HOLDS.total_seconds())

    ended = await env.run(request)

    assert (ended.state, env.atlas.delete_count) == (State.CANCELLED, 1)
    assert env.clock.now < START + DECISION_HOLDS + timedelta(seconds=10)


async def test_run_that_begins_long_after_the_decision_goes_on_when_slack_answers(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()
    env.directory.is_silent = True
    env.clock.advance(DECISION_HOLDS.total_seconds())

    def answer_later(_method: str) -> None:
        if env.clock.now > START + timedelta(minutes=12):
            env.directory.is_silent = False

    env.atlas.on_call = answer_later

    ended = await env.run(request)

    assert (ended.state, env.atlas.delete_count) == (State.CANCELLED, 1)
    assert env.clock.now > START + timedelta(minutes=12)


async def test_request_that_ends_while_its_run_waits_for_slack_is_not_cancelled(
    env: CoreEnvironment,
) -> None:
    request = await run_without_slack(env)

    async def end() -> None:
        await env.requests.apply_policy(request.id, replace(POLICY, read_only=True))
        env.directory.is_silent = False

    while_it_waits(env, end)

    ended = await env.run(request)

    assert (ended.state, env.atlas.delete_count) == (State.WITHDRAWN, 0)


def while_it_waits(env: CoreEnvironment, act: Callable[[], Awaitable[object]]) -> None:
    """Let something happen once, in a wait of a run, twelve minutes after the start."""
    sleep = env.runner.sleep

    async def act_and_sleep(seconds: float) -> None:
        if env.clock.now > START + timedelta(minutes=12):
            env.runner.sleep = sleep
            await act()
        await sleep(seconds)

    env.runner.sleep = act_and_sleep


async def run_without_slack(env: CoreEnvironment) -> Request:
    """Return a request whose run began more than ten minutes ago, while Slack is silent."""
    request = await env.approved()
    await env.runs.begin(request.id)
    env.directory.is_silent = True
    env.clock.advance(DECISION_HOLDS.total_seconds() + 1)
    return request


async def test_read_only_project_cancels_nothing_also_while_slack_is_silent(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()
    env.directory.is_silent = True
    env.policy = replace(POLICY, read_only=True)
    env.build()

    ended = await env.run(request)

    assert (ended.state, env.atlas.delete_count) == (State.WITHDRAWN, 0)


async def test_command_line_asks_slack_about_nobody() -> None:
    with pytest.raises(RightsNotChecked):
        await nobody_answers(["U0RINA"], [])
