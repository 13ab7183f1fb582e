"""The longest messages, dialogs and Home tab are valid for Slack."""

import pytest

from bot.doctor.blocks import Sample, samples
from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.view_rules import checked_view
from tests.unit.slack.fake_slack import LINKS


@pytest.mark.parametrize("sample", [*samples(LINKS)], ids=lambda sample: sample.name)
def test_what_doctor_shows_slack_is_valid_for_slack(sample: Sample) -> None:
    text, blocks = sample.payload.get("text", ""), sample.payload["blocks"]

    if sample.kind == "view":
        assert checked_view(sample.payload, sample.payload["type"]) == sample.payload
    else:
        assert problems(blocks, "message") == []
        assert 0 < len(text) < 4000
