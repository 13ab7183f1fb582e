"""What no listener expects is answered too: odd payloads, and what is not for this bot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.slack import ids
from bot.slack.card.handlers import UNKNOWN
from bot.slack.fallbacks import SHORTCUT
from bot.slack.picker.handlers import UNKNOWN as UNKNOWN_DIALOG
from tests.unit.slack import payloads, samples
from tests.unit.slack.bench import Bench
from tests.unit.slack.fake_slack import HOME

USER = {"id": "U0RINA", "team_id": HOME}


@pytest.fixture
def bench() -> Bench:
    return Bench()


def suggestion(action_id: str) -> dict[str, Any]:
    return {
        "type": "block_suggestion",
        "user": USER,
        "action_id": action_id,
        "block_id": action_id,
        "value": "",
    }


@pytest.mark.parametrize("action_id", [ids.CLUSTER, ids.JOB])
async def test_a_list_that_is_opened_outside_of_a_dialog_says_so(
    bench: Bench, action_id: str
) -> None:
    answer = await bench.send(suggestion(action_id))

    assert "another version" in answer.body["options"][0]["text"]["text"]


async def test_a_list_of_somebody_else_offers_nothing(bench: Bench) -> None:
    answer = await bench.send(suggestion("no_such_action"))

    assert answer.body == {"options": []}


async def test_a_pick_outside_of_a_dialog_is_answered(bench: Bench) -> None:
    pick = payloads.click(ids.CLUSTER, "prod-eu")
    pick["actions"][0] |= {"block_id": ids.CLUSTER, "type": "external_select"}
    await bench.send(pick)

    assert bench.private == [UNKNOWN_DIALOG]


async def test_another_look_outside_of_a_dialog_is_answered(bench: Bench) -> None:
    answer = await bench.send(payloads.click(ids.TRY_AGAIN, "x"))

    assert answer.status == 200
    assert "another version" in bench.private[0]


@pytest.mark.parametrize("start", ["9" * 5000, "١٢٣", "²", "-1", ""])
async def test_a_page_that_begins_nowhere_is_answered(bench: Bench, start: str) -> None:
    await bench.send(payloads.click(ids.MORE, start))

    assert bench.private == [UNKNOWN]


@pytest.mark.parametrize(
    "carried",
    [
        "[" * 2900,
        json.dumps({"picker": True, "project": ["x"], "cluster": {}, "job": 7, "label": []}),
        json.dumps({"version": 1, "project": "[" * 100}),
    ],
)
@pytest.mark.parametrize("callback_id", [ids.DIALOG, ids.DENY_DIALOG])
async def test_forged_metadata_is_answered_in_the_dialog(
    bench: Bench, carried: str, callback_id: str
) -> None:
    view = samples.views()["details"] | {"private_metadata": carried, "callback_id": callback_id}
    answer = await bench.send(payloads.submission(view))

    assert answer.body["response_action"] in {"update", "errors"}
    assert bench.desk.requests == {}


async def test_another_command_is_answered(bench: Bench) -> None:
    answer = await bench.send(payloads.command("x") | {"command": "/other<!here>"})

    assert answer.text.startswith("/other&lt;!here&gt; is not known here.")


async def test_another_shortcut_is_answered(bench: Bench) -> None:
    shortcut = {"type": "shortcut", "user": USER, "callback_id": "other", "trigger_id": "1.2.3"}
    await bench.send(shortcut)

    assert bench.slack.called("chat.postMessage")[0]["text"] == SHORTCUT


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "view_closed", "user": USER, "view": {"id": "V1", "callback_id": "x"}},
        {"type": "event_callback", "event": {"type": "team_join", "user": {"id": "U1"}}},
        {"type": "event_callback", "event": {"type": "app_home_opened", "user": {"id": "U1"}}},
        {"type": "event_callback", "event": {"type": "app_home_opened", "user": ""}},
        {"type": "event_callback", "event": {"type": "app_home_opened"}},
    ],
)
async def test_what_nobody_waits_for_is_acknowledged(bench: Bench, payload: dict[str, Any]) -> None:
    answer = await bench.send(payload)

    assert (answer.status, answer.body) == (200, {})
    assert bench.slack.calls == []


async def test_a_command_without_a_channel_counts_as_typed_to_the_bot(bench: Bench) -> None:
    command = payloads.command(f"prod-eu {'6' * 24}") | {"channel_id": ""}
    await bench.send(command)

    assert json.loads(bench.shown[-1]["private_metadata"])["asked_in"] == "U0RINA"
