"""The longest views, lists and Home tab are valid for Slack."""

import json

import pytest

from bot.cancellation.lifecycle import State
from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.view_rules import checked_view
from bot.slack import home, lists
from tests.support.clock import NOON
from tests.support.domain import PROJECT_ID
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import LINKS
from tests.unit.slack.long_samples import FULL, LONG, views
from tests.unit.slack.samples import HOSTILE, VIEWER


@pytest.mark.parametrize("name", sorted(views()))
def test_longest_view_is_valid_for_slack(name: str) -> None:
    view = views()[name]

    assert checked_view(view) == view


@pytest.mark.parametrize("start", [0, 20, 80])
def test_page_of_the_longest_list_is_valid_for_slack(start: int) -> None:
    message = lists.job_list(FULL, LONG, start, {})

    assert problems(message["blocks"], "message") == []
    assert len(message["text"]) < 4000


def test_longest_history_is_valid_for_slack() -> None:
    past = [samples.past_of(samples.longest(state)) for state in State] * 5
    message = lists.request_list(past, {PROJECT_ID: HOSTILE * 9}, LINKS)

    assert problems(message["blocks"], "message") == []


def test_longest_home_tab_is_valid_for_slack() -> None:
    requests = [samples.longest(State.AWAITING)] * 40
    past = [samples.past_of(request) for request in requests[:5]]
    view = home.home_view(
        home.job_blocks(FULL, NOON, {}),
        [
            *home.waiting_blocks(requests, VIEWER, LINKS, {}),
            *home.unreviewed_blocks(requests, VIEWER, LINKS),
        ],
        lists.history_sections(past, {}, LINKS),
    )

    assert checked_view(view, "home") == view


@pytest.mark.parametrize("name", ["search scope", "not found"])
def test_untrusted_names_are_escaped(name: str) -> None:
    text = json.dumps(views()[name]["blocks"])

    assert "&lt;!channel&gt;" in text
    assert "<!channel>" not in text
    assert "<https://evil" not in text
