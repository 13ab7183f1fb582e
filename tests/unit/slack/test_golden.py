"""Every view and message, compared with golden files and checked against Slack's limits.

`golden/texts.txt` has all of them as text, and beside it three are compared as JSON. After an
intended change, write them with `UPDATE_GOLDEN=1 pytest tests/unit/slack/test_golden.py`,
and read the difference.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from bot.cancellation.lifecycle import State
from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.view_rules import checked_view
from bot.slack import plain_text
from tests.unit.slack import samples
from tests.unit.slack.block_text import as_text
from tests.unit.slack.fake_slack import LINKS

GOLDEN = Path(__file__).parent / "golden"
TEXTS = GOLDEN / "texts.txt"
VIEWS = samples.views()
MESSAGES = samples.messages()
SHOWN = {**VIEWS, **MESSAGES, **samples.finding()}

#: Compared block for block.
AS_JSON = ("card_awaiting", "home", "picker")


def words(shown: dict[str, Any]) -> str:
    return json.dumps(shown, ensure_ascii=False)


def compare(file: Path, built: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(built)

    assert file.read_text() == built


@pytest.mark.parametrize("name", AS_JSON)
def test_blocks_are_those_of_the_golden_file(name: str) -> None:
    compare(GOLDEN / f"{name}.json", json.dumps(SHOWN[name], ensure_ascii=False, indent=2) + "\n")


def test_texts_are_those_of_the_golden_file() -> None:
    compare(TEXTS, "\n".join(f"=== {name}\n{as_text(SHOWN[name])}\n" for name in sorted(SHOWN)))


def test_every_golden_file_is_compared() -> None:
    assert sorted(file.name for file in GOLDEN.iterdir()) == sorted(
        ["texts.txt", *(f"{name}.json" for name in AS_JSON)]
    )


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_view_is_valid_for_slack(name: str) -> None:
    view = VIEWS[name]

    assert checked_view(view) == view


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_message_is_valid_for_slack(name: str) -> None:
    message = MESSAGES[name]

    assert problems(message["blocks"], "message") == []
    assert 0 < len(message["text"]) <= 4000


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_action_id_of_an_input_is_its_block_id(name: str) -> None:
    inputs = [block for block in VIEWS[name]["blocks"] if block["type"] == "input"]

    assert [b["element"]["action_id"] for b in inputs] == [b["block_id"] for b in inputs]


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_at_most_one_button_of_a_view_says_cancel(name: str) -> None:
    labels = [VIEWS[name][part]["text"] for part in ("submit", "close") if part in VIEWS[name]]

    assert sum("cancel" in label.lower() for label in labels) <= 1


@pytest.mark.parametrize("name", sorted(name for name in SHOWN if "nasty" not in name))
def test_mentions_and_links_are_built_by_the_bot(name: str) -> None:
    """Only users, groups, channels, dates and the bot's links appear in angle brackets."""
    allowed = re.compile(
        r"@U\w+|#C\w+|!subteam\^S\w+|!date\^\d+\^[^|]*\|[^|]*"
        r"|https://(cloud\.mongodb\.com|shop\.slack\.com)/[^|]*\|[\w ]+"
    )

    assert [
        found
        for found in re.findall(r"<([^<>]*)>", words(SHOWN[name]))
        if not allowed.fullmatch(found)
    ] == []


def test_untrusted_text_makes_no_mention_and_no_link() -> None:
    drawn = words(MESSAGES["card_nasty"])

    assert "<!channel>" not in drawn
    assert "<https://evil" not in drawn
    assert "<@U0BOSS>" not in drawn
    assert "\u202e" not in drawn
    assert "&lt;!channel&gt; &amp;" in drawn


@pytest.mark.parametrize("state", sorted(set(State) - {State.CANCELLED, State.QUARANTINED}))
def test_card_says_cancelled_only_in_the_cancelled_state(state: State) -> None:
    drawn = words(MESSAGES[f"card_{state}"]["blocks"]) + MESSAGES[f"card_{state}"]["text"]

    assert "cancelled" not in drawn.lower()


@pytest.mark.parametrize(
    "name", sorted(n for n in MESSAGES if n.startswith("reply_") and n != "reply_cancelled")
)
def test_reply_says_cancelled_only_in_the_cancelled_state(name: str) -> None:
    assert "cancelled" not in MESSAGES[name]["text"].lower()


def test_text_of_a_card_in_quarantine_has_the_commands_of_its_buttons() -> None:
    text = plain_text.as_text(MESSAGES["card_quarantined"]["blocks"])

    assert f"Keep it: `/cancel-restore keep {'0' * 32} REASON`" in text
    assert f"Cancel it now: `/cancel-restore cancel {'0' * 32}`" in text


@pytest.mark.parametrize("state", [State.WITHDRAWN, State.EXPIRED, State.DENIED])
def test_card_of_a_request_that_ended_unapproved_waits_for_no_approval(state: State) -> None:
    card = samples.card_message(
        samples.waiting(state=state, approvals=()), samples.APPROVERS, LINKS, samples.JOB
    )

    assert "none yet" not in words(card)
