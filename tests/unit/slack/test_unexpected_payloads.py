"""Unexpected payloads are answered too: malformed ones, and those of other apps."""

import json
from typing import Any

import pytest

from bot.slack import ids
from bot.slack.errors import other_version
from tests.unit.slack import payloads, samples
from tests.unit.slack.fake_slack import HOME
from tests.unit.slack.harness import BoltHarness

USER = {"id": "U0RINA", "team_id": HOME}


@pytest.mark.parametrize(
    "carried",
    [
        "[" * 2900,
        json.dumps({"has_pickers": True, "project_id": ["x"], "cluster": {}, "job_id": 7}),
        json.dumps({"version": 1, "project": "[" * 100}),
    ],
)
@pytest.mark.parametrize("callback_id", [ids.DIALOG, ids.DENY_DIALOG])
async def test_forged_metadata_is_answered_in_the_dialog(
    bolt: BoltHarness, carried: str, callback_id: str
) -> None:
    view = samples.views()["details"] | {"private_metadata": carried, "callback_id": callback_id}
    answer = await bolt.send(payloads.submission(view))

    assert answer.body["response_action"] in {"update", "errors"}
    assert await bolt.requests() == []


async def test_unknown_command_is_answered(bolt: BoltHarness) -> None:
    answer = await bolt.send(payloads.command("x") | {"command": "/other<!here>"})

    assert answer.text.startswith("/other&lt;!here&gt; is not known here.")


async def test_unknown_shortcut_is_answered(bolt: BoltHarness) -> None:
    shortcut = {"type": "shortcut", "user": USER, "callback_id": "other", "trigger_id": "1.2.3"}
    await bolt.send(shortcut)

    assert bolt.slack.called("chat.postMessage")[0]["text"] == other_version("shortcut")


async def test_picker_of_another_version_has_an_option_that_says_what_to_do(
    bolt: BoltHarness,
) -> None:
    picker = {"type": "block_suggestion", "user": USER, "action_id": "job", "block_id": "job"}
    answer = await bolt.send(picker | {"value": ""})

    (option,) = answer.body["options"]
    assert "type the command again" in option["text"]["text"]
    assert len(option["text"]["text"]) <= 75


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
async def test_irrelevant_payload_is_acked_without_a_call(
    bolt: BoltHarness, payload: dict[str, Any]
) -> None:
    answer = await bolt.send(payload)

    assert (answer.status, answer.body) == (200, {})
    assert bolt.slack.calls == []
