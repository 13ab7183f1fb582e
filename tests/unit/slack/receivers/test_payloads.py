"""Malformed payloads are found before a handler reads them."""

from typing import Any

import pytest
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack.receivers.payloads import InvalidPayload, read_payload

USER = {"id": "U1", "team_id": "T1"}
VIEW = {"id": "V1", "type": "modal", "callback_id": "cancel_restore"}
UNREADABLE_BY_BOLT = {"type": "event_callback", "event": {"type": "x", "channel": 5, "user": {}}}
ACTION = {"action_id": "a", "block_id": "b", "value": "x"}


def problem_of(kind: str, payload: dict[str, Any]) -> str | None:
    try:
        read_payload(SocketModeRequest(kind, "e1", payload))
    except InvalidPayload as error:
        return str(error)
    return None


def submission(**view: Any) -> dict[str, Any]:
    return {"type": "view_submission", "user": USER, "view": {**VIEW, **view}}


def click(**changed: Any) -> dict[str, Any]:
    return {"type": "block_actions", "user": USER, "actions": [ACTION], **changed}


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (submission(state=[{"values": {}}]), "view.state"),
        (submission(state={"values": {"reason": "x"}}), "view.state.values.reason"),
        (submission(state={"values": {"r": {"r": {"value": 1}}}}), "view.state.values.r.r.value"),
        (submission(blocks=["x"]), "view.blocks.0"),
        (submission(private_metadata={}), "view.private_metadata"),
        (submission(id=None), "view.id"),
        (click(actions=[{**ACTION, "selected_option": "x"}]), "actions.0.selected_option"),
        (click(actions=[{"action_id": "a"}]), "actions.0.block_id"),
        (click(actions=[]), "actions"),
        (click(view={"type": "modal"}), "view.id"),
        (click(container={"channel_id": 1}), "container.channel_id"),
        (click(response_url=7), "response_url"),
        (click(user={"id": ""}), "user.id"),
        (click(state={"values": "x"}), "state.values"),
        (submission(callback_id=None), "view.callback_id"),
        (click(event=None), "event"),
        (click(user=None), "user"),
    ],
)
def test_malformed_interaction_is_reported_with_its_field(
    payload: dict[str, Any], field: str
) -> None:
    problem = problem_of("interactive", payload)

    assert problem == f"The payload has a missing or invalid {field}."


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        ("interactive", click(token="\ud800"), "The payload has unpaired surrogates."),
        (
            *("interactive", click(state={"values": "\ud800"})),
            "The payload has unpaired surrogates.",
        ),
        ("interactive", {"type": "dialog_submission"}, "The payload has an unknown type."),
        ("events_api", UNREADABLE_BY_BOLT, "Bolt cannot read this payload."),
        ("nonsense", {}, "The envelope has an unknown type."),
    ],
)
def test_unreadable_payload_is_reported_with_the_reason(
    kind: str, payload: dict[str, Any], why: str
) -> None:
    assert problem_of(kind, payload) == why


def test_null_in_an_optional_field_is_valid() -> None:
    payload = click(view=None, container=None, state=None, team=None, response_url=None)

    assert problem_of("interactive", payload) is None


def test_command_needs_its_name_and_a_user() -> None:
    whole = {"command": "/cancel-restore", "user_id": "U1", "text": ""}

    assert problem_of("slash_commands", whole) is None
    assert problem_of("slash_commands", {**whole, "text": 1}) is not None
    assert (
        problem_of("slash_commands", {"command": "/x"})
        == "The payload has a missing or invalid user_id."
    )
