"""Applies the app's response to a dialog: its `response_action`."""

from dataclasses import replace
from typing import Any

from bot.sandbox.slack.block_kit.view_rules import checked_view
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.views import View
from bot.sandbox.slack.world import World

Json = dict[str, Any]


def apply_response(world: World, view: View, ack: Ack) -> Ack:
    """Carry out the `response_action` of a submission's ack; an empty ack closes the view."""
    if not ack.body:
        close_view(world, view)
        return ack
    try:
        return _apply(world, view, ack, ack.body)
    except ApiError as error:
        return reject(world, ack, f"The answer to a submission is not valid: {error}")


def _apply(world: World, view: View, ack: Ack, body: Json) -> Ack:
    action = body.get("response_action")
    if action == "errors":
        return replace(ack, errors=_checked_errors(view, body.get("errors")))
    if action != "update":
        raise ApiError("invalid_arguments", [f"unknown response_action: {action}"])
    world.views.update(view, checked_view(body.get("view")))
    world.publish_view(view)
    return ack


def close_view(world: World, view: View) -> None:
    """Take a view off the person's screen."""
    world.views.close(view.user.id)
    world.events.publish("view_closed", user=view.user.id, view_id=view.id)


def reject(world: World, ack: Ack, sentence: str) -> Ack:
    """Record the violation, and mark the ack as one that Slack cannot show."""
    world.complain(sentence)
    return replace(ack, error="invalid_response")


def _checked_errors(view: View, errors: object) -> dict[str, str]:
    """Return the sentences for inputs of this view, by block_id."""
    inputs = {b["block_id"] for b in view.content["blocks"] if b["type"] == "input"}
    if not isinstance(errors, dict) or not errors or not set(errors) <= inputs:
        raise ApiError("invalid_arguments", [f"errors must name input blocks: {errors}"])
    if not all(isinstance(text, str) and text for text in errors.values()):
        raise ApiError("invalid_arguments", ["each error must be a text"])
    return dict(errors)
