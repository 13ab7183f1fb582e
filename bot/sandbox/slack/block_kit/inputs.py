"""Values of input elements: initial, after a person filled them, and their validation."""

from typing import Any

from bot.sandbox.slack.block_kit.blocks import elements_of
from bot.sandbox.slack.block_kit.elements import all_options
from bot.sandbox.slack.errors import CannotDo

Json = dict[str, Any]
# Values of a view or message: block_id → action_id → the element's state, as Slack's payloads have.
Values = dict[str, dict[str, Json]]

_KEYS = {
    "plain_text_input": "value",
    "checkboxes": "selected_options",
    "static_select": "selected_option",
}


def keeps_state(element: Json) -> bool:
    """Whether the element has a value (buttons have none)."""
    return element["type"] in _KEYS


def initial(element: Json) -> Json:
    """The state of an untouched element."""
    key = _KEYS[element["type"]]
    empty = [] if key == "selected_options" else element.get("initial_option")
    return {"type": element["type"], key: empty}


def initial_values(blocks: list[Json], kept: Values | None = None) -> Values:
    """Values of all elements; those of `kept` survive where block_id and action_id stay."""
    values: Values = {}
    for block, element in elements_of(blocks):
        if keeps_state(element):
            before = (kept or {}).get(block["block_id"], {}).get(element["action_id"])
            same = before is not None and before["type"] == element["type"]
            state = before if same and before else initial(element)
            values.setdefault(block["block_id"], {})[element["action_id"]] = state
    return values


def value_of(state: Json) -> object:
    return state[_KEYS[state["type"]]]


def is_empty(state: Json) -> bool:
    return value_of(state) in (None, "", [])


def filled_state(element: Json, value: object) -> Json:
    """Return the element's state after a person entered `value`.

    A text for text inputs; for selects the value (or the visible text) of an option, for
    checkboxes a list of them; None empties it.

    Raises:
        CannotDo: there is no such option, or the text does not fit.
    """
    kind = element["type"]
    key = _KEYS[kind]
    if kind == "static_select":
        value = None if value is None else _option(element, str(value))
    elif kind == "checkboxes":
        listed = value if isinstance(value, list | tuple) else [] if value is None else [value]
        value = [_option(element, str(one)) for one in listed]
    elif key == "value" and value is not None:
        value = str(value)
    return {"type": kind, key: value}


def _option(element: Json, wanted: str) -> Json:
    options = all_options(element)
    for option in options:
        if wanted in (option.get("value"), option["text"]["text"]):
            return option
    seen = ", ".join(str(option.get("value")) for option in options) or "none"
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
