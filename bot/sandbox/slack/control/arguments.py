"""Validates the arguments of the control API against the called function's signature."""

import inspect
import json
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.world import World

Json = dict[str, Any]

#: Arguments that are a message or a view as the person saw it.
VIEW_ARGUMENTS = ("thing", "view", "message")

#: JSON's names for the types of arguments.
_KINDS: Mapping[object, tuple[str, type | tuple[type, ...]]] = {
    str: ("a text", str),
    Literal: ("a text", str),
    bool: ("true or false", bool),
    int: ("a whole number", int),
    float: ("a number", (int, float)),
    dict: ("an object", dict),
    Mapping: ("an object", dict),
    NoneType: ("null", NoneType),
    object: ("anything", object),
}


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
    """Return `given` unchanged when it fits the parameters of `called`.

    Raises:
        CannotDo: an argument is missing, unknown or of another type; `what` begins the sentence.
    """
    known = inspect.signature(called).parameters
    missing = [n for n, p in known.items() if p.default is p.empty and n not in given]
    unknown = [name for name in given if name not in known]
    if missing or unknown:
        wrong = f"needs {_listed(missing)}" if missing else f"takes no {_listed(unknown)}"
        raise CannotDo(f"{what} {wrong} (its fields: {', '.join(known)}).")
    for name, value in given.items():
        _check_kind(what, name, known[name].annotation, value)
    return given


def _listed(names: list[str]) -> str:
    return " and ".join(names)


def _check_kind(what: str, name: str, annotation: object, value: object) -> None:
    parts = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
    kinds = [_KINDS[get_origin(part) or part] for part in parts]
    if not any(isinstance(value, kind) for _, kind in kinds):
        raise CannotDo(f"{what}: {name} must be {' or '.join(word for word, _ in kinds)}.")


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
