"""The rules of Slack for a view."""

from typing import Any

import pytest

from bot.sandbox.slack import ApiError
from bot.sandbox.slack.block_kit.view_rules import checked_view

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "text"}}
INPUT = {
    "type": "input",
    "block_id": "why",
    "label": plain("Why"),
    "element": {"type": "plain_text_input", "action_id": "why"},
}


def modal(**more: object) -> Json:
    return {"type": "modal", "title": plain("Title"), "blocks": [SECTION], **more}


@pytest.mark.parametrize(
    ("view", "what", "where"),
    [
        (modal(title=plain("x" * 25)), "must be less than 25 characters", "/title/text"),
        (modal(submit=plain("x" * 25)), "must be less than 25 characters", "/submit/text"),
        (
            modal(private_metadata="x" * 3001),
            "must be less than 3001 characters",
            "/private_metadata",
        ),
        (modal(private_metadata={"a": 1}), "must be a string", "/private_metadata"),
        (modal(blocks=[INPUT]), "submit is required when an input block is present", "/submit"),
        (modal(colour="red"), "invalid additional property: colour", ""),
        ({"type": "modal", "blocks": [SECTION]}, "missing required field: title", ""),
        (modal(type="home"), "must be one of: modal", "/type"),
        ("text", "must be an object", ""),
    ],
)
def test_invalid_view_is_rejected(view: object, what: str, where: str) -> None:
    with pytest.raises(ApiError) as refused:
        checked_view(view)

    assert refused.value.code == "invalid_arguments"
    assert refused.value.messages == [f"{what} [json-pointer:/view{where}]"]


def test_view_of_more_than_250_kilobytes_is_too_large() -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}] * 90
    with pytest.raises(ApiError) as refused:
        checked_view(modal(blocks=blocks))

    assert refused.value.code == "view_too_large"
