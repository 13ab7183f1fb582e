"""The longest views, lists and Home tab are valid for Slack."""

import json

import pytest

from bot.doctor.blocks import Sample, samples
from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.view_rules import checked_view
from tests.unit.slack.fake_slack import LINKS
from tests.unit.slack.long_samples import views


@pytest.mark.parametrize("name", sorted(views()))
def test_longest_view_is_valid_for_slack(name: str) -> None:
    view = views()[name]

    assert checked_view(view) == view


@pytest.mark.parametrize("sample", [*samples(LINKS)], ids=lambda sample: sample.name)
def test_what_doctor_shows_slack_is_valid_for_slack(sample: Sample) -> None:
    text, blocks = sample.payload.get("text", ""), sample.payload["blocks"]

    if sample.kind == "view":
        assert checked_view(sample.payload, sample.payload["type"])
    else:
        assert problems(blocks, "message") == []
        assert 0 < len(text) < 4000


def test_untrusted_names_are_escaped() -> None:
    text = json.dumps(views()["not found"]["blocks"])

    assert "&lt;!channel&gt;" in text
    assert "<!channel>" not in text
    assert "<https://evil" not in text
