"""Validates the arguments of the control API against the called function's signature."""

import inspect
import json
from collections.abc import Callable
from typing import Any

from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.world import World

Json = dict[str, Any]

#: Arguments that are a message or a view as the person saw it.
VIEW_ARGUMENTS = ("thing", "view", "message")


def parse_object(text: str) -> Json:
    """Parse the body of a request; an empty body is an empty object.

    Raises:
        CannotDo: the body is not a JSON object.
    """
    try:
        body = json.loads(text or "{}")
    except ValueError:
        raise CannotDo("The body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise CannotDo("The body must be a JSON object.")
    return body


def check_arguments(what: str, called: Callable[..., object], given: Json) -> Json:
    """Return `given` unchanged when `called` has parameters of these names.

    Raises:
        CannotDo: an argument is missing or unknown.
    """
    try:
        inspect.signature(called).bind(**given)
    except TypeError as error:
        raise CannotDo(f"{what}: {error}.") from None
    return given


def resolve_views(world: World, given: Json) -> Json:
    """Replace ids of views by the views: `"view": "V…"` or `"view": {"id": "V…"}`.

    Raises:
        CannotDo: the view is not open, or an object is neither a message nor a view.
    """
    return {n: _resolve(world, n, v) if n in VIEW_ARGUMENTS else v for n, v in given.items()}


def _resolve(world: World, name: str, seen: object) -> object:
    known = seen if isinstance(seen, dict) else {"id": seen}
    if seen is None or "root_view_id" in known or {"channel", "ts"} <= known.keys():
        return seen
    view_id = known.get("id")
    if name == "message" or not isinstance(view_id, str):
        raise CannotDo(f"{name} must be a view, its id, or a message with channel and ts.")
    try:
        return world.views.as_json(world.views.find(view_id=view_id))
    except ApiError:
        raise CannotDo(f"View {view_id} is not open.") from None
