"""On a phone, cluster, starter and link are in the first three lines of a view or entry."""

from typing import Any

import pytest

from bot.slack.plain_text import as_text
from tests.support.domain import JOB_ID
from tests.unit.slack import samples

SHOWN = {**samples.views(), **samples.messages(), **samples.finding()}
OPEN = sorted(
    name
    for name in SHOWN
    if name.startswith(
        ("details", "card_awaiting", "announcement_in_progress", "announcement_link")
    )
)


def lines_of(shown: dict[str, Any]) -> list[str]:
    blocks = [block for block in shown["blocks"] if block["type"] != "input"]
    return as_text(blocks).splitlines()


def assert_cluster_starter_and_link_come_first(lines: list[str]) -> None:
    assert "`prod-eu`" in lines[0]
    assert lines[1].startswith("*Started* ")
    assert JOB_ID not in "\n".join(lines[:3])


@pytest.mark.parametrize("name", OPEN)
def test_cluster_starter_and_link_come_first_and_the_job_id_last(name: str) -> None:
    lines = lines_of(SHOWN[name])
    assert_cluster_starter_and_link_come_first(lines)
    if name != "card_awaiting_right":  # made before the bot knew more about the job
        assert lines[2].startswith("*Download link* ")
