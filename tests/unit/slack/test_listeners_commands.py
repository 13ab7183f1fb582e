"""What a typed command leads to."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from bot.atlas import JobNotFound
from bot.cancellation.errors import NotRecorded
from bot.cancellation.policy import People, Policy
from bot.slack import ids
from tests.support.domain import JOB_ID, PROJECT_ID, a_job
from tests.unit.slack import payloads, samples
from tests.unit.slack.bench import Bench

TYPED = f"prod-eu {JOB_ID}"


def words(view: object) -> str:
    return json.dumps(view, ensure_ascii=False)


async def test_the_dialog_opens_first_and_then_shows_the_job() -> None:
    bench = Bench()
    answer = await bench.send(payloads.command(TYPED))

    assert (answer.status, answer.body) == (200, {})
    assert bench.slack.methods[0] == "views.open"
    assert bench.slack.methods[-1] == "views.update"
    assert "Looking up" in words(bench.shown[0])
    assert bench.shown[-1]["submit"]["text"] == "Cancel the job"
    assert len(bench.acks) == 1


async def test_the_ack_waits_for_nothing() -> None:
    bench = Bench()
    bench.desk.gate = asyncio.Event()
    answer = await bench.ack(payloads.command(TYPED))
    bench.desk.gate.set()
    await bench.background.drain(1.0)

    assert answer.status == 200


async def test_a_dialog_says_so_when_the_process_ends_before_the_job_was_found() -> None:
    bench = Bench()
    bench.desk.gate = asyncio.Event()
    await bench.ack(payloads.command(TYPED))
    await asyncio.sleep(0.01)
    await bench.background.drain(0.2)

    assert "Looking up" in words(bench.shown[0])
    assert "The bot is just being restarted: try again in a moment." in words(bench.shown[-1])
    assert ids.TRY_AGAIN in words(bench.shown[-1])
    assert bench.background.idle


async def test_two_hundred_pending_dialogs_all_report_the_restart_at_shutdown() -> None:
    bench = Bench()
    bench.desk.gate = asyncio.Event()
    many = 200
    for _ in range(many):
        await bench.ack(payloads.command(TYPED))
    await bench.background.drain(0.2)

    ends = [view for view in bench.shown if "just being restarted" in words(view)]
    assert len(ends) == many
    assert bench.background.idle


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("help", "Cancel a restore job"),
        ("prod_eu " + JOB_ID, f"Did you mean `{ids.COMMAND} prod-eu {JOB_ID}`"),
        ("<!a<b>&c " + JOB_ID, "not a cluster's name"),
        ("x" * 3001, "3001 characters"),
    ],
)
async def test_everything_else_gets_a_private_sentence_with_an_example(
    typed: str, said: str
) -> None:
    bench = Bench()
    answer = await bench.send(payloads.command(typed))

    assert answer.body["response_type"] == "ephemeral"
    assert said in answer.text
    assert ids.COMMAND in answer.text
    assert "<" not in answer.text
    assert bench.slack.calls == []


async def test_a_slip_is_told_from_a_cluster_of_that_name() -> None:
    bench = Bench()
    await bench.send(payloads.command("hepl"))
    other = Bench()
    other.desk.atlas[PROJECT_ID].jobs["lost"] = []
    await other.send(payloads.command("lost"))

    assert f"Did you mean `{ids.COMMAND} help`" in bench.private[0]
    assert bench.shown == []
    assert "No restore job of `lost` can be cancelled now." in words(other.shown[-1])


async def test_with_several_projects_a_named_one_is_taken_in_any_case() -> None:
    bench = Bench(Policy(), "shop-prod", "shop-dev")
    unknown = await bench.send(payloads.command(f"nosuch {TYPED}"))
    await bench.send(payloads.command(f"SHOP-PROD {TYPED}"))

    assert "does not know a project `nosuch`" in unknown.text
    assert "`shop-prod` and `shop-dev`" in unknown.text
    assert [ref.project_id for ref in bench.desk.looked_up] == [PROJECT_ID]


async def test_in_another_channel_the_command_does_not_work() -> None:
    bench = Bench(Policy(channels=frozenset({"C0ONLY"})))
    answer = await bench.send(payloads.command(TYPED))

    assert "<#C0ONLY>" in answer.text
    assert bench.slack.calls == []


async def test_who_may_not_ask_sees_nothing_of_the_job() -> None:
    bench = Bench(Policy(requesters=People(users=frozenset({"U0ADA"}))))
    await bench.send(payloads.command(TYPED))

    assert "<@U0ADA>" in words(bench.shown[-1])
    assert "submit" not in bench.shown[-1]
    assert "Snapshot" not in words(bench.shown[-1])


async def test_a_guest_may_not_ask() -> None:
    bench = Bench()
    user = {"id": "U0RINA", "team_id": "T0HOME", "is_restricted": True}
    bench.slack.says("users.info", {"user": user})
    await bench.send(payloads.command(TYPED))

    assert "may not ask" in words(bench.shown[-1])


async def test_what_nobody_could_approve_is_refused_in_the_dialog() -> None:
    bench = Bench(Policy(approvals=2, approvers=People(users=frozenset({"U0ADA", "U0RINA"}))))
    await bench.send(payloads.command(TYPED))

    assert "only 1 could give one" in words(bench.shown[-1])
    assert "submit" not in bench.shown[-1]


async def test_what_cannot_be_cancelled_is_shown_without_a_submit() -> None:
    bench = Bench()
    bench.desk.job = a_job(deliveryType="automated", targetClusterName="a")
    await bench.send(payloads.command(TYPED))

    assert "Atlas cancels downloads only" in words(bench.shown[-1])
    assert "submit" not in bench.shown[-1]


async def test_a_job_that_somebody_asked_for_shows_who() -> None:
    bench = Bench()
    bench.desk.put(samples.waiting(requester="U0ABE"))
    await bench.send(payloads.command(TYPED))

    assert "<@U0ABE> asked for this already" in words(bench.shown[-1])
    assert "https://shop.slack.com/archives/C0OPS/p1700000000000100" in words(bench.shown[-1])


async def test_what_atlas_refuses_can_be_tried_again_in_the_dialog() -> None:
    bench = Bench()
    bench.desk.job = JobNotFound("There is no such job.", asked="GET job", status=404)
    await bench.send(payloads.command(TYPED))
    trouble = bench.shown[-1]
    bench.desk.job = a_job()
    await bench.send(payloads.view_click(ids.TRY_AGAIN, trouble))

    assert ids.TRY_AGAIN in words(trouble)
    assert "submit" not in trouble
    assert "Looking up" in words(bench.shown[-2])
    assert bench.shown[-1]["submit"]["text"] == "Cancel the job"


async def test_a_ledger_that_is_away_can_be_tried_again_too() -> None:
    bench = Bench()
    bench.desk.job = NotRecorded()
    await bench.send(payloads.command(TYPED))

    assert ids.TRY_AGAIN in words(bench.shown[-1])


@pytest.mark.parametrize(
    ("code", "said"),
    [("expired_trigger_id", 1), ("trigger_expired", 1), ("exchanged_trigger_id", 0)],
)
async def test_a_trigger_that_came_too_late_is_told_and_a_used_one_is_not(
    code: str, said: int
) -> None:
    bench = Bench()
    bench.slack.says("views.open", code)
    await bench.send(payloads.command(TYPED))

    assert len(bench.private) == said
    assert bench.slack.called("views.update") == []


@pytest.mark.parametrize("text", ["", TYPED, JOB_ID])
@pytest.mark.parametrize("trigger", ["", None])
async def test_a_command_without_a_trigger_is_answered_and_opens_nothing(
    text: str, trigger: str | None
) -> None:
    bench = Bench()
    await bench.send(payloads.command(text) | {"trigger_id": trigger})

    assert bench.slack.called("views.open") == []
    assert len(bench.private) == 1
    assert "type the command again" in bench.private[0]


async def test_a_dialog_that_was_closed_meanwhile_needs_no_word() -> None:
    bench = Bench()
    bench.slack.says("views.update", "not_found")
    await bench.send(payloads.command(TYPED))

    assert bench.private == []


async def test_a_lost_update_is_repeated() -> None:
    bench = Bench()
    bench.slack.says("views.update", aiohttp.ServerDisconnectedError(), "ratelimited")
    await bench.send(payloads.command(TYPED))

    assert len(bench.slack.called("views.update")) == 3
    assert bench.private == []


async def test_when_no_update_arrives_the_person_is_told() -> None:
    bench = Bench()
    bench.slack.says("views.update", *["fatal_error"] * 3)
    await bench.send(payloads.command(TYPED))

    assert len(bench.private) == 1


async def test_an_unforeseen_error_after_the_ack_is_told_with_its_reference() -> None:
    bench = Bench()
    bench.desk.job = RuntimeError("a mistake of ours")
    await bench.send(payloads.command(TYPED))

    assert len(bench.private) == 1
    assert "the bot's log has the details under" in bench.private[0]
    assert "a mistake" not in bench.private[0]


async def test_an_unforeseen_error_before_the_ack_is_answered_in_private() -> None:
    bench = Bench()
    broken = payloads.command(TYPED)
    del broken["user_id"]
    answer = await bench.send(broken)

    assert answer.status == 200
    assert "Something went wrong" in answer.text
