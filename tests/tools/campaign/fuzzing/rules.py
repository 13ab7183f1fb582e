"""Slack's own rules for the bot's answers: an answer that Slack would not show is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.sandbox.slack.block_kit.view_rules import checked_view
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.people.responses import respond
from bot.sandbox.slack.triggers import ResponseTarget

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bot.sandbox.slack.world import Call, World

#: Errors of the Web API for calls whose content the bot made invalid. Other errors
#: (no such channel, an expired trigger) follow from mutated payloads.
OUR_FAULT = frozenset(
    {
        *("invalid_blocks", "invalid_arguments", "invalid_arg_name", "invalid_array_arg"),
        *("msg_blocks_too_long", "msg_too_long", "no_text", "view_too_large", "invalid_form_data"),
        *("unknown_method", "not_authed", "invalid_auth", "invalid_json", "json_not_object"),
    }
)


def faults_in_answer(world: World, kind: str, body: object) -> Iterator[str]:
    """Return the parts of an ack's body that Slack would not show."""
    if not isinstance(body, dict):
        return
    try:
        if kind == "slash_commands" and body:
            respond(world, ResponseTarget(user="U0RINA0001", channel="C0OPS00001"), body)
        if body.get("response_action") == "update":
            checked_view(body.get("view"))
    except ApiError as error:
        yield str(error)
    if body.get("response_action") == "errors" and not _are_sentences(body.get("errors")):
        yield f"no errors: {body}"


def faults_in_calls(calls: Sequence[Call]) -> list[str]:
    """Return the calls that Slack refused for their content."""
    return [
        f"{call.method}: {call.error}: {call.args}" for call in calls if call.error in OUR_FAULT
    ]


def _are_sentences(errors: Any) -> bool:
    return isinstance(errors, dict) and bool(errors) and all(errors.values())
