"""What Slack demands of a view."""

from typing import Any

import pytest

from bot.sandbox.slack import ApiError
from bot.sandbox.slack.view_rules import checked_view

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


SECTION = {"type": "section", "text": plain("text")}
INPUT = {
    "type": "input",
    "block_id": "why",
    "label": plain("Why"),
    "element": {"type": "plain_text_input", "action_id": "why"},
}


def modal(**more: object) -> Json:
    return {"type": "modal", "title": plain("Title"), "blocks": [SECTION], **more}


def test_view_within_all_limits_is_accepted() -> None:
    view = modal(
        title=plain("x" * 24),
        submit=plain("x" * 24),
        private_metadata="x" * 3000,
        callback_id="x" * 255,
        blocks=[INPUT],
    )

    assert checked_view(view) is view


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (
            modal(title=plain("x" * 25)),
            "must be less than 25 characters [json-pointer:/view/title/text]",
        ),
        (
            modal(submit=plain("x" * 25)),
            "must be less than 25 characters [json-pointer:/view/submit/text]",
        ),
        (
            modal(private_metadata="x" * 3001),
            "must be less than 3001 characters [json-pointer:/view/private_metadata]",
        ),
        (
            modal(private_metadata={"a": 1}),
            "must be a string [json-pointer:/view/private_metadata]",
        ),
        (
            modal(blocks=[INPUT]),
            "submit is required when an input block is present [json-pointer:/view/submit]",
        ),
        (modal(colour="red"), "invalid additional property: colour [json-pointer:/view]"),
        (
            {"type": "modal", "blocks": [SECTION]},
            "missing required field: title [json-pointer:/view]",
        ),
        (
            {"type": "home", "title": plain("a"), "blocks": [SECTION]},
            "must be one of: modal [json-pointer:/view/type]",
        ),
        ("text", "must be an object [json-pointer:/view]"),
    ],
)
def test_invalid_view_is_rejected(view: object, sentence: str) -> None:
    with pytest.raises(ApiError) as refused:
        checked_view(view)

    assert (refused.value.code, refused.value.messages) == ("invalid_arguments", [sentence])


def test_view_of_more_than_250_kilobytes_is_too_large() -> None:
    blocks = [{"type": "section", "text": plain("x" * 2900)}] * 90
    with pytest.raises(ApiError) as refused:
        checked_view(modal(blocks=blocks))

    assert refused.value.code == "view_too_large"


def test_home_tab_has_no_title_and_no_submit() -> None:
    with pytest.raises(ApiError) as refused:
        checked_view({"type": "home", "submit": plain("Go"), "blocks": [SECTION]}, "home")

    assert refused.value.messages == ["invalid additional property: submit [json-pointer:/view]"]
