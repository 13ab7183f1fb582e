"""The quorum: the number of people, who counts, and people whom Slack does not identify."""

import asyncio
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer, Kind
from bot.sandbox.atlas import Fault as AtlasFault
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack.faults import Fault
from tests.acceptance.approvals.actions import (
    ABE,
    ADA,
    APPROVE,
    DENY,
    GROUP,
    OLGA,
    ONE,
    OPS,
    RINA,
    TWO,
    WITHDRAW,
    Json,
    ask,
    cancelled,
    click,
    deny,
    job_of,
    open_approval_environment,
    reads,
    record_of,
    shows,
)
from tests.acceptance.environment import BotEnvironment, state_of

ANOTHER_TEAM = (
    "Slack knows this person in another workspace than the click names. "
    "So it could not be checked who may do this, and nothing was done."
)


async def test_concurrent_approvals_give_one_cancellation(tmp_path: Path) -> None:
    """The later click is answered with the name of the first person."""
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        acks = await asyncio.gather(
            *(env.slack.people.clicks(user, card, APPROVE, stale=True) for user in ("ada", "abe"))
        )
        ending = await env.wait_for_outcome(job_of(card))
        answer = await env.slack.until(lambda: env.ephemerals("ada") + env.ephemerals("abe"))

        assert all(ack.ok for ack in acks)
        assert ending.state == "cancelled"
        assert env.atlas_methods(job_of(card)).count("DELETE") == 1
        assert len(answer) == 1
        assert "approved by @Ada" in answer[0] or "approved by @Abe" in answer[0]


async def test_concurrent_approvals_of_a_quorum_of_two_both_count(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, TWO) as env:
        card = await ask(env)
        await asyncio.gather(
            *(env.slack.people.clicks(user, card, APPROVE, stale=True) for user in ("ada", "abe"))
        )
        ending = await env.wait_for_outcome(job_of(card))

        assert ending.state == "cancelled"
        assert "@Ada" in ending.reply
        assert "@Abe" in ending.reply
        assert env.ephemerals("ada") == env.ephemerals("abe") == []


async def test_repeated_approval_of_a_person_counts_once(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, TWO) as env:
        card = await ask(env)
        await asyncio.gather(
            *(env.slack.people.clicks("ada", card, APPROVE, stale=True) for _ in range(3))
        )
        await env.wait_for_ephemerals("ada", 2)
        await reads(env, card, "1 of 2")
        again = await click(env, "ada", card, APPROVE)
        waiting = await shows(env, job_of(card), "awaiting")

        answer = (
            "You have approved this request already; it needs another person too. "
            "This may be done by @approvers: please ask one of them."
        )
        assert {again.private, *env.ephemerals("ada")} == {answer}
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0
        assert "Approvals missing 1, until" in env.slack.state.text_of(waiting).replace("*", "")

        assert (await click(env, "abe", waiting, APPROVE)).changed_the_card
        await env.wait_for_outcome(job_of(card))

        assert cancelled(env, card)


async def test_denial_ends_a_partly_approved_request(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, TWO) as env:
        card = await ask(env)
        await click(env, "ada", card, APPROVE)
        denied = await deny(env, "abe", card, "the auditors need it")
        ending = await env.wait_for_outcome(job_of(card))

        assert state_of(denied) == "denied"
        assert "@Rina: denied by @Abe" in ending.reply
        assert "the auditors need it" in ending.reply
        assert "Approved before by @Ada" in ending.reply
        assert not cancelled(env, card)


@pytest.mark.parametrize("counts", [True, False])
async def test_approval_by_the_requester_counts_only_if_allowed(
    tmp_path: Path, counts: bool
) -> None:
    environ = ONE | {"BOT_APPROVERS": f"{RINA},{ADA}", "BOT_SELF_APPROVAL": str(counts).lower()}
    async with open_approval_environment(tmp_path, environ) as env:
        card = await ask(env)
        answer = await click(env, "rina", card, APPROVE)

        assert answer.changed_the_card is counts
        if counts:
            await env.wait_for_outcome(job_of(card))
        else:
            assert "another person must decide" in answer.private
            assert "@Ada" in answer.private
        assert cancelled(env, card) is counts


@pytest.mark.parametrize("user", ["gus", "uma", "ci-bot", "olga"])
async def test_approver_given_by_id_may_be_a_guest_or_another_organization(
    tmp_path: Path, user: str
) -> None:
    def named(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
        ops = slack.workspace.channel("ops")
        ops.members.add(OLGA)
        ops.connected_team_ids = ("T0OTHER001",)

    ids = {"gus": "U0GUS00001", "uma": "U0UMA00001", "ci-bot": "U0CIBOT001", "olga": OLGA}
    environ = ONE | {"BOT_APPROVERS": ids[user], "BOT_CHANNELS": OPS}
    async with open_approval_environment(tmp_path, environ, before=named) as env:
        card = await ask(env)

        assert (await click(env, user, card, APPROVE)).changed_the_card
        await env.wait_for_outcome(job_of(card))
        team = "T0OTHER001" if user == "olga" else "T0SANDBOX1"

        assert cancelled(env, card)
        approved = [e for [events] in [record_of(tmp_path).values()] for e in events]
        assert (ids[user], team) in {(e["actor"], e["team"]) for e in approved}


async def test_same_user_id_in_another_team_is_another_person(tmp_path: Path) -> None:
    """Ids of people are compared together with the team that Slack has for them."""

    def borrowed(slack: FakeSlackServer, _atlas: FakeAtlasServer) -> None:
        slack.workspace.channel("ops").connected_team_ids = ("T0OTHER001",)

    environ = ONE | {"BOT_APPROVERS": f"{ADA},{ABE}", "BOT_CHANNELS": OPS}
    async with open_approval_environment(tmp_path, environ, before=borrowed) as env:
        card = await ask(env)
        for user, action, answer in (
            ("ada", APPROVE, ANOTHER_TEAM),
            (
                "rina",
                WITHDRAW,
                "Only the person who asked can withdraw this request. That is @Rina.",
            ),
        ):
            assert await click_from_elsewhere(env, user, card, action) == answer
        assert state_of(await shows(env, job_of(card), "awaiting")) == "awaiting"


async def click_from_elsewhere(env: BotEnvironment, user: str, card: Json, action: str) -> str:
    """Deliver a click whose user has an id of the workspace and the team of another one."""
    person = env.slack.workspace.user(user)
    team, count = person.team_id, len(env.ephemerals(user))
    person.team_id = "T0OTHER001"
    clicking = asyncio.ensure_future(env.slack.people.clicks(user, card, action, stale=True))
    await asyncio.sleep(0)
    person.team_id = team
    await clicking
    return (await env.wait_for_ephemerals(user, count + 1))[-1]


async def test_removed_group_member_may_not_approve(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        env.slack.workspace.groups[GROUP].users.clear()
        for action in (APPROVE, DENY):
            answer = await click(env, "ada", card, action)

            assert answer.private == (
                "You may not approve or deny this request. "
                "This may be done by @approvers: please ask one of them."
            )
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0


async def test_group_member_removed_while_the_dialog_is_open_may_not_deny(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        dialog = (await click(env, "ada", card, DENY)).dialog
        env.slack.workspace.groups[GROUP].users.clear()
        await env.slack.people.submits("ada", dialog, {"reason": "still needed"})
        answer = env.slack.state.view_of("ada")

        assert answer is not None
        assert "You may not approve or deny this request." in env.slack.state.text_of(answer)
        assert state_of(await shows(env, job_of(card), "awaiting")) == "awaiting"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (Fault(kind="error", code="missing_scope"), "The bot lacks a scope"),
        (Fault(kind="error", code="plan_upgrade_required"), "plan has no user groups"),
        (Fault(kind="error", code="no_such_subteam"), "does not exist"),
        (Fault(kind="error", code="internal_error"), "Slack answered internal_error"),
        (Fault(kind="status", status=503), "Slack did not answer"),
        (Fault(kind="garbage"), "Slack did not answer"),
        (Fault(kind="reset_before"), "Slack did not answer"),
        (Fault(kind="delay", seconds=6.0), "Slack did not answer in time"),
    ],
    ids=lambda value: getattr(value, "code", "") if hasattr(value, "kind") else "",
)
async def test_unreadable_group_rejects_approvals_with_the_reason(
    tmp_path: Path, fault: Fault, why: str
) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        env.slack.faults.add("usergroups.users.list", fault, times=3)
        answer = await click(env, "ada", card, APPROVE)

        assert why in answer.private
        assert answer.private.endswith(
            "So it could not be checked who may do this, and nothing was done."
        )
        assert env.atlas_methods(job_of(card)).count("DELETE") == 0
        assert state_of(await shows(env, job_of(card), "awaiting")) == "awaiting"


async def test_cached_group_is_used_while_slack_limits_the_rate(
    tmp_path: Path,
) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        env.slack.faults.add("usergroups.users.list", Fault(kind="ratelimited", seconds=30.0))

        assert (await click(env, "ada", card, APPROVE)).changed_the_card
        await env.wait_for_outcome(job_of(card))


async def test_group_lookups_are_cached(tmp_path: Path) -> None:
    """Refusals come from the cache for a minute; only an approval reads Slack again."""
    async with open_approval_environment(tmp_path, ONE) as env:
        await env.slack.until(lambda: env.slack.called("usergroups.users.list"))  # the start's
        card = await ask(env)
        for _ in range(10):
            await click(env, "sam", card, APPROVE)

        assert len(env.slack.called("usergroups.users.list")) == 2

        await click(env, "ada", card, APPROVE)
        await env.wait_for_outcome(job_of(card))

        assert len(env.slack.called("usergroups.users.list")) == 3


async def test_click_on_a_running_request_shows_who_approved(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, ONE) as env:
        card = await ask(env)
        # Longer than until the card is drawn as running: due after a second, looked for every two.
        env.atlas.faults.add(AtlasFault(kind=Kind.DELAY, method="DELETE", seconds=6.0))
        await click(env, "ada", card, APPROVE)
        await shows(env, job_of(card), "cancelling")
        for user, action in (("abe", APPROVE), ("abe", DENY), ("rina", WITHDRAW)):
            answer = await click(env, user, card, action, stale=True)

            assert "This request was approved by @Ada and is running" in answer.private
        await env.wait_for_outcome(job_of(card))

        assert env.atlas_methods(job_of(card)).count("DELETE") == 1
