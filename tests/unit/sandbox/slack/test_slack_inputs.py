"""The value of an input before and after a person changed it."""

from typing import Any

import pytest

from bot.sandbox.slack import CannotDo
from bot.sandbox.slack.block_kit.inputs import filled_state, initial_values, validation_error

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


A, B = {"text": plain("Apple"), "value": "a"}, {"text": plain("Beet"), "value": "b"}
SELECT = {"type": "static_select", "action_id": "s", "options": [A, B]}
TEXT = {"type": "plain_text_input", "action_id": "t"}


def block(element: Json, **more: object) -> Json:
    return {"type": "input", "block_id": "b", "label": plain("L"), "element": element, **more}


def test_untouched_inputs_have_initial_values() -> None:
    blocks = [block(TEXT), {**block(SELECT), "block_id": "c"}]

    assert initial_values(blocks) == {
        "b": {"t": {"type": "plain_text_input", "value": None}},
        "c": {"s": {"type": "static_select", "selected_option": None}},
    }


def test_value_survives_where_block_and_action_stay_the_same() -> None:
    kept = {"b": {"t": {"type": "plain_text_input", "value": "typed"}}}

    assert initial_values([block(TEXT)], kept) == kept
    assert initial_values([{**block(TEXT), "block_id": "new"}], kept) == {
        "new": {"t": {"type": "plain_text_input", "value": None}}
    }


def test_option_is_chosen_by_its_value_or_its_text() -> None:
    chosen = {"type": "static_select", "selected_option": B}

    assert filled_state(SELECT, "b") == chosen
    assert filled_state(SELECT, "Beet") == chosen


def test_option_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(CannotDo, match=r"no option 'c' to choose \(there are: a, b\)"):
        filled_state(SELECT, "c")


def test_several_options_can_be_chosen_where_allowed() -> None:
    boxes = {"type": "checkboxes", "action_id": "s", "options": [A, B]}

    assert filled_state(boxes, ["a", "b"]) == {"type": "checkboxes", "selected_options": [A, B]}


@pytest.mark.parametrize(
    ("element", "value", "sentence"),
    [
        (TEXT, None, "Please complete this required field."),
        (TEXT, "", "Please complete this required field."),
        (TEXT, "fine", ""),
        ({**TEXT, "max_length": 3}, "abcd", "Enter at most 3 characters."),
        (SELECT, None, "Please complete this required field."),
    ],
)
def test_client_side_validation_prevents_the_submit(
    element: Json, value: object, sentence: str
) -> None:
    assert validation_error(block(element), filled_state(element, value)) == sentence


def test_optional_input_may_stay_empty() -> None:
    assert validation_error(block(TEXT, optional=True), filled_state(TEXT, None)) == ""
