"""Values of input elements: initial, after a person filled them, and their validation."""

from typing import Any

from bot.sandbox.slack.block_kit.blocks import elements_of
from bot.sandbox.slack.errors import CannotDo

Json = dict[str, Any]
# Values of a view or message: block_id → action_id → the element's state, as Slack's payloads have.
Values = dict[str, dict[str, Json]]

#: The key of the value in an element's state; buttons have no state.
_KEYS = {"plain_text_input": "value", "checkboxes": "selected_options"}


def _untouched(element: Json) -> Json:
    """Return the state of an untouched element."""
    kind = element["type"]
    return {"type": kind, _KEYS[kind]: [] if kind == "checkboxes" else None}


def initial_values(blocks: list[Json], kept: Values | None = None) -> Values:
    """Values of all elements; those of `kept` survive where block_id and action_id stay."""
    values: Values = {}
    for block, element in elements_of(blocks):
        if element["type"] in _KEYS:
            before = (kept or {}).get(block["block_id"], {}).get(element["action_id"])
            same = before is not None and before["type"] == element["type"]
            state = before if same and before else _untouched(element)
            values.setdefault(block["block_id"], {})[element["action_id"]] = state
    return values


def value_of(state: Json) -> object:
    return state[_KEYS[state["type"]]]


def is_empty(state: Json) -> bool:
    return value_of(state) in (None, "", [])


def filled_state(element: Json, value: object) -> Json:
    """Return the element's state after a person entered `value`.

    A text for text inputs (None empties it), for checkboxes a list of values of their options.

    Raises:
        CannotDo: there is no such option.
    """
    kind = element["type"]
    if kind == "checkboxes":
        ticked = value if isinstance(value, list) else []
        return {"type": kind, _KEYS[kind]: [_option(element, str(one)) for one in ticked]}
    return {"type": kind, _KEYS[kind]: None if value is None else str(value)}


def _option(element: Json, wanted: str) -> Json:
    for option in element["options"]:
        if wanted == option["value"]:
            return dict(option)
    seen = ", ".join(option["value"] for option in element["options"])
    raise CannotDo(f"There is no option {wanted!r} to choose (there are: {seen}).")


def _length(value: str, element: Json) -> str:
    if len(value) > element.get("max_length", 3000):
        return f"Enter at most {element.get('max_length', 3000)} characters."
    return ""


def validation_error(block: Json, state: Json) -> str:
    """Return the error that Slack's client shows under an invalid input, or an empty string."""
    if is_empty(state):
        return "" if block.get("optional") else "Please complete this required field."
    is_text = state["type"] == "plain_text_input"
    return _length(str(value_of(state)), block["element"]) if is_text else ""
