"""Malformed payloads are found before a handler reads them."""

import json
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.socket_mode.request import SocketModeRequest

from bot.slack.blockkit import read_object
from bot.slack.client import Identity
from bot.slack.dependencies import interaction_of
from bot.slack.dialog.state import PICKERS, UnreadableDialog, read_state, selection, submit_problem
from bot.slack.receivers.connections import read_envelope
from bot.slack.receivers.payloads import InvalidPayload, read_body, read_payload

IDENTITY = Identity(user="U0BOT", bot="B0BOT", team="T0HOME", enterprise=None, url="https://x/")
FORM = "application/x-www-form-urlencoded"
USER = {"id": "U1", "team_id": "T1"}
VIEW = {"id": "V1", "type": "modal", "callback_id": "cancel_restore"}
UNREADABLE_BY_BOLT = {"type": "event_callback", "event": {"type": "x", "channel": 5, "user": {}}}
ACTION = {"action_id": "a", "value": "x"}


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
        (submission(id=None), "view.id"),
        (submission(callback_id=7), "view.callback_id"),
        (submission() | {"view": []}, "view.id"),
        (click(actions=["x"]), "actions.action_id"),
        (click(actions=[]), "actions.action_id"),
        (click(user={"id": ""}), "user.id"),
        (click(user=None), "user.id"),
        (click(user=USER | {"team_id": ["T1"]}), "user.team_id"),
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
    assert (
        problem_of("slash_commands", {"command": "/x"})
        == "The payload has a missing or invalid user_id."
    )


def read_as_listeners_do(payload: dict[str, Any]) -> None:
    assert interaction_of(payload, IDENTITY).channel
    view = payload.get("view") or {}
    with suppress(UnreadableDialog):
        submit_problem(view, read_state(view))
    for last in PICKERS:
        with suppress(UnreadableDialog):
            selection(view, last)


@pytest.mark.parametrize(
    "whole",
    [
        b"command=%2Fcancel-restore&text=list&user_id=U1&team_id=T1&channel_id=C1",
        b"payload=" + quote(json.dumps(submission())).encode(),
        json.dumps({"type": "event_callback", "event": {"type": "app_home_opened"}}).encode(),
        json.dumps({"type": "interactive", "envelope_id": "e", "payload": click()}).encode(),
        *(b"payload=%ED%A0%80", b"payload=NaN", b"[" * 50_000, b'{"a":' * 20_000, b"&=&=&"),
        b'{"type":"event_callback","event":{"type":"x","n":' + b"9" * 5000 + b"}}",
    ],
)
@given(st.integers(0, 300), st.binary(max_size=9), st.sampled_from(("", FORM, "application/json")))
def test_damaged_body_or_frame_is_read_or_refused(
    whole: bytes, place: int, damage: bytes, content_type: str
) -> None:
    for data in (whole, whole[:place] + damage + whole[place:], whole[:place] + damage):
        with suppress(InvalidPayload):
            body = read_body(content_type, None, data).body
            if "user" in body or "user_id" in body:
                read_as_listeners_do(body)
        with suppress(InvalidPayload):
            if envelope := read_envelope(read_object(data)):
                read_payload(envelope)
