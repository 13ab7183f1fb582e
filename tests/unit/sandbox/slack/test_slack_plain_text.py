"""Messages and views as plain text."""

from typing import Any

import pytest

from bot.sandbox.slack import text_of

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


@pytest.mark.parametrize(
    ("markup", "seen"),
    [
        ("<@U1> and <@U2|x>", "@Rina and @U2"),
        ("<!subteam^S1>", "@approvers"),
        ("<#C1>", "#ops"),
        ("until <!date^1700000000^{date_short} at {time}|14 Nov>", "until 14 Nov"),
        ("<https://example.org/a?b=1|the job>", "the job"),
        ("<https://example.org>", "https://example.org"),
        ("a &lt;!channel&gt; &amp;amp;", "a <!channel> &amp;"),
    ],
)
def test_markup_is_shown_as_the_reader_sees_it(markup: str, seen: str) -> None:
    names = {"U1": "Rina", "S1": "approvers", "C1": "ops"}

    assert text_of({"text": markup}, names) == seen


def test_blocks_hide_the_text_that_only_notifications_show() -> None:
    message = {"text": "for notifications", "blocks": [{"type": "header", "text": plain("Seen")}]}

    assert text_of(message) == "Seen"


def test_text_of_every_block_type_is_rendered() -> None:
    button = {"type": "button", "text": plain("Go"), "action_id": "go"}
    blocks = [
        {"type": "alert", "text": plain("Mind.")},
        {"type": "section", "text": plain("Said"), "fields": [plain("F1")], "accessory": button},
        {"type": "divider"},
        {"type": "context", "elements": [plain("small"), plain("print")]},
        {"type": "actions", "elements": [button, button]},
    ]

    lines = text_of({"blocks": blocks}).splitlines()

    assert lines == ["Mind.", "Said", "F1", "[Go]", "---", "small print", "[Go] [Go]"]


def test_text_of_a_view_has_title_inputs_and_buttons() -> None:
    element = {"type": "plain_text_input", "action_id": "why", "placeholder": plain("Say")}
    view = {
        "title": plain("Title"),
        "submit": plain("Go"),
        "close": plain("Back"),
        "blocks": [{"type": "input", "block_id": "b", "label": plain("Why"), "element": element}],
        "state": {"values": {"b": {"why": {"type": "plain_text_input", "value": "because"}}}},
    }

    assert text_of(view) == "Title\nWhy: because\n[Back] [Go]"
    assert text_of({**view, "state": {"values": {}}}) == "Title\nWhy: (Say)\n[Back] [Go]"
