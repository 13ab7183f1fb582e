"""The calls that open and update a dialog: their order, their faults, and lost answers."""

import asyncio
import copy
import json
from typing import Any

import aiohttp
import pytest

from bot.atlas import JobNotFound
from bot.slack import ids
from bot.slack.dialog.state import DETAILS_NOT_SHOWN, PICKERS
from bot.slack.grammar import job_value
from tests.support.domain import JOB_ID, PROJECT_ID, a_job, job_ref
from tests.support.service import CLUSTER
from tests.unit.slack import payloads
from tests.unit.slack.harness import BoltHarness, NewBolt

OTHER_ID = f"{JOB_ID[:-1]}0"
TYPED = f"{CLUSTER} {JOB_ID}"


def pick(view: dict[str, Any], job_id: str) -> dict[str, Any]:
    """Select a job in a dialog with pickers."""
    value = job_value(job_ref(job_id=job_id))
    option: dict[str, Any] = {"value": value, "text": {"type": "plain_text", "text": job_id}}
    cluster = {"value": CLUSTER}
    states = {
        name: {name: {"selected_option": each}}
        for name, each in {ids.CLUSTER: cluster, ids.JOB: option}.items()
    }
    action = {"action_id": ids.JOB, "selected_option": option}
    click = payloads.view_click(ids.JOB, view | {"state": {"values": states}})
    return click | {"actions": [action]}


async def with_pickers(bolt: BoltHarness) -> dict[str, Any]:
    """Open a dialog with pickers, in which two jobs can be selected."""
    bolt.atlas[PROJECT_ID].jobs[CLUSTER] = [a_job(), a_job(id=OTHER_ID)]
    await bolt.send(payloads.command(CLUSTER))
    return bolt.slack.views["V1"]


def shown(bolt: BoltHarness) -> str:
    return json.dumps(bolt.slack.views["V1"], ensure_ascii=False)


async def test_update_for_an_earlier_selection_does_not_replace_a_later_one(
    bolt: BoltHarness,
) -> None:
    view = await with_pickers(bolt)  # the first update
    updates = bolt.slack.scripts["views.update"]
    held = updates.gate = asyncio.Event()
    await bolt.ack(pick(view, JOB_ID))
    await bolt.slack.until_called("views.update", 2)
    updates.gate = None
    await bolt.ack(pick(view, OTHER_ID))
    await bolt.slack.until_called("views.update", 4)
    held.set()
    await bolt.finish()

    assert f"`{OTHER_ID}`" in shown(bolt)
    assert f"`{JOB_ID}`" not in shown(bolt)
    assert bolt.private == []


async def test_pickers_are_sent_again_without_what_the_bot_does_not_know(bolt: BoltHarness) -> None:
    view = await with_pickers(bolt)
    built = [each for each in view["blocks"] if each.get("block_id") in {ids.CLUSTER, ids.JOB}]
    payload = copy.deepcopy(pick(view, JOB_ID))
    for block in payload["view"]["blocks"]:
        block["added"] = {"x": 1}
        block["element"] = block.get("element", {}) | {"type": {}, "placeholder": "x"}
    await bolt.send(payload)
    sent = [each for each in bolt.slack.views["V1"]["blocks"] if each.get("block_id") in PICKERS]

    assert sent[0] == built[0]
    selected = sent[1]["element"].pop("initial_option")
    assert sent[1] == built[1]
    assert selected["value"] == job_value(job_ref())


async def test_submission_shows_the_selected_job_if_the_dialog_shows_another(
    bolt: BoltHarness,
) -> None:
    """As after two selections that two replicas read concurrently."""
    view = await with_pickers(bolt)
    await bolt.send(pick(view, JOB_ID))
    chosen = pick(bolt.slack.views["V1"], OTHER_ID)["view"]
    answer = await bolt.send(payloads.submission(chosen) | {"view": chosen})

    assert answer.body["errors"] == {ids.JOB: DETAILS_NOT_SHOWN}
    assert f"`{OTHER_ID}`" in shown(bolt)
    assert await bolt.requests() == []


async def test_view_that_was_replaced_while_the_job_was_read_stays(bolt: BoltHarness) -> None:
    """As by the answer to a submission, or by another replica."""
    gate = bolt.atlas[PROJECT_ID].gates[CLUSTER] = asyncio.Event()
    await bolt.ack(payloads.command(TYPED))
    await bolt.slack.until_called("views.open", 1)
    bolt.slack.replace_view("V1", {"blocks": "The request is recorded."})
    gate.set()
    await bolt.finish()

    assert "The request is recorded." in shown(bolt)
    assert bolt.private == []


async def test_details_stay_at_shutdown_while_their_starter_is_read(bolt: BoltHarness) -> None:
    bolt.atlas[PROJECT_ID].feed_gate = asyncio.Event()
    await bolt.ack(payloads.command(TYPED))
    await bolt.slack.until_called("views.update", 1)
    await bolt.background.drain(0.2)

    assert bolt.slack.views["V1"]["submit"]["text"] == "Cancel the job"
    assert bolt.private == []


async def test_dialog_that_slack_has_not_opened_at_shutdown_is_not_opened_again(
    bolt: BoltHarness,
) -> None:
    bolt.slack.scripts["views.open"].gate = asyncio.Event()
    await bolt.ack(payloads.command(TYPED))
    await bolt.slack.until_called("views.open", 1)
    await bolt.background.drain(0.2)

    assert len(bolt.slack.called("views.open")) == 1


async def test_update_waits_as_long_as_slack_says(new_bolt: NewBolt) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    bolt = new_bolt(sleep=sleep)
    updates = bolt.slack.scripts["views.update"]
    updates.headers["Retry-After"] = "7"
    updates.answers.append("ratelimited")
    await bolt.send(payloads.command(TYPED))

    assert waits == [7.0]
    assert f"`{JOB_ID}`" in shown(bolt)


async def test_dialog_whose_opening_was_not_answered_shows_the_job(bolt: BoltHarness) -> None:
    bolt.slack.scripts["views.open"].lost = 1
    await bolt.send(payloads.command(TYPED))

    assert bolt.slack.views["V1"]["submit"]["text"] == "Cancel the job"
    assert bolt.private == []


async def test_update_follows_another_whose_answer_was_lost(bolt: BoltHarness) -> None:
    view = await with_pickers(bolt)
    bolt.slack.scripts["views.update"].lost = 1
    await bolt.send(pick(view, JOB_ID))

    assert bolt.slack.views["V1"]["submit"]["text"] == "Cancel the job"
    assert "Looking up" not in shown(bolt)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("expired_trigger_id", 1),
        ("trigger_expired", 1),
        ("invalid_trigger_id", 1),
        ("exchanged_trigger_id", 0),
    ],
)
async def test_expired_trigger_is_reported_and_a_used_trigger_is_not(
    bolt: BoltHarness, code: str, expected: int
) -> None:
    bolt.slack.respond("views.open", code)
    await bolt.send(payloads.command(TYPED))

    assert len(bolt.private) == expected
    assert bolt.slack.called("views.update") == []


@pytest.mark.parametrize("trigger", ["", None])
async def test_command_without_a_trigger_is_answered_and_opens_nothing(
    bolt: BoltHarness, trigger: str | None
) -> None:
    await bolt.send(payloads.command(TYPED) | {"trigger_id": trigger})

    assert bolt.slack.called("views.open") == []
    assert len(bolt.private) == 1
    assert "type the command again" in bolt.private[0]


@pytest.mark.parametrize("code", ["not_found", "hash_conflict"])
async def test_update_of_a_closed_or_changed_dialog_is_ignored(
    bolt: BoltHarness, code: str
) -> None:
    bolt.slack.respond("views.update", code)
    await bolt.send(payloads.command(TYPED))

    assert bolt.private == []


async def test_failed_view_update_is_retried(bolt: BoltHarness) -> None:
    bolt.slack.respond("views.update", aiohttp.ServerDisconnectedError(), "ratelimited")
    await bolt.send(payloads.command(TYPED))

    assert len(bolt.slack.called("views.update")) == 3
    assert bolt.private == []


async def test_exhausted_view_updates_are_reported_in_private(bolt: BoltHarness) -> None:
    bolt.slack.respond("views.update", *["fatal_error"] * 3)
    await bolt.send(payloads.command(TYPED))

    assert len(bolt.private) == 1


async def test_refused_dialog_is_shown_as_a_plain_dialog_and_as_a_private_message(
    bolt: BoltHarness,
) -> None:
    bolt.slack.respond("views.update", "invalid_arguments")
    await bolt.send(payloads.command(TYPED))

    for shown in (json.dumps(bolt.shown[-1], ensure_ascii=False), bolt.private[0]):
        assert JOB_ID in shown
        assert "invalid_arguments" in shown
        assert "Looking up" not in shown
    (sent,) = bolt.slack.called("chat.postEphemeral")
    assert ids.OPEN in str(sent["blocks"])
    assert f"{PROJECT_ID} {CLUSTER} {JOB_ID}" in str(sent["blocks"])


async def test_error_of_atlas_is_shown_with_its_status_and_code(bolt: BoltHarness) -> None:
    error = JobNotFound(status=404, code="RESTORE_JOB_NOT_FOUND")
    bolt.atlas[PROJECT_ID].faults[CLUSTER] = error
    await bolt.send(payloads.command(TYPED))

    assert "Atlas answered HTTP 404, `RESTORE_JOB_NOT_FOUND`." in str(bolt.shown[-1]["blocks"])


@pytest.mark.parametrize("code", ["invalid_auth", "invalid_arguments"])
async def test_dialog_that_takes_no_update_is_replaced_by_a_private_message(
    bolt: BoltHarness, code: str
) -> None:
    bolt.atlas[PROJECT_ID].faults[CLUSTER] = JobNotFound()
    bolt.slack.respond("views.update", *[code] * 9)
    await bolt.send(payloads.command(TYPED))
    (expected,) = bolt.private
    assert JOB_ID in expected
    assert code in expected
    assert not bolt.background.tasks


async def test_two_dialogs_have_different_external_ids(bolt: BoltHarness) -> None:
    for _ in range(2):
        await bolt.send(payloads.command(TYPED))
    one, other = (call["view"]["external_id"] for call in bolt.slack.called("views.open"))

    assert one != other
