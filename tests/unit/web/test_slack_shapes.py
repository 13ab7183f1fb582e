"""What is read of Slack's payloads has its shape before any listener sees it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.web.payload_schema import what_is_wrong

USER = {"id": "U1", "team_id": "T1"}
VIEW = {"id": "V1", "type": "modal", "callback_id": "cancel_restore"}
ACTION = {"action_id": "a", "block_id": "b", "value": "x"}


def submission(**view: Any) -> dict[str, Any]:
    return {"type": "view_submission", "user": USER, "view": {**VIEW, **view}}


def click(**changed: Any) -> dict[str, Any]:
    return {"type": "block_actions", "user": USER, "actions": [ACTION], **changed}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (submission(state=[{"values": {}}]), "The payload has a misshapen view."),
        (submission(state={"values": {"reason": "x"}}), "The payload has a misshapen view."),
        (submission(state={"values": {"r": {"r": {"value": 1}}}}), "a misshapen view."),
        (submission(blocks=["x"]), "The payload has a misshapen view."),
        (submission(private_metadata={}), "The payload has a misshapen view."),
        (submission(id=None), "The payload has no view.id."),
        (click(actions=[{**ACTION, "selected_option": "x"}]), "a misshapen actions."),
        (click(actions=[{"action_id": "a"}]), "The payload has no actions.block_id."),
        (click(actions=[]), "The payload has no actions.action_id."),
        (click(view={"type": "modal"}), "The payload has no view.id."),
        (click(container={"channel_id": 1}), "The payload has a misshapen container."),
        (click(response_url=7), "The payload has a misshapen response_url."),
        (click(user={"id": ""}), "The payload has no user.id."),
        (click(state={"values": "\ud800"}), "The payload has a misshapen state."),
        (click(token="\ud800"), "The payload has halves of characters."),
        ({"type": "dialog_submission"}, "The payload is of no type that is known here."),
    ],
)
def test_an_interaction_that_is_misshapen_is_told_so(payload: dict[str, Any], why: str) -> None:
    said = what_is_wrong("interactive", payload)

    assert said is not None
    assert said.endswith(why)


def test_null_is_as_good_as_missing() -> None:
    payload = click(view=None, container=None, state=None, team=None, response_url=None)

    assert what_is_wrong("interactive", payload) is None


def test_a_command_needs_a_name_and_a_person() -> None:
    whole = {"command": "/cancel-restore", "user_id": "U1", "text": ""}

    assert what_is_wrong("slash_commands", whole) is None
    assert what_is_wrong("slash_commands", {**whole, "text": 1}) is not None
    assert what_is_wrong("slash_commands", {"command": "/x"}) == "The payload has no user_id."


def test_an_envelope_of_an_unknown_type_is_told_so() -> None:
    assert what_is_wrong("nonsense", {}) == "The envelope is of no type that is known here."
