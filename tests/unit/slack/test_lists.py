"""The private lists."""

import pytest

from bot.cancellation.lifecycle import State
from bot.services.job_search import UnreadCluster
from bot.slack import lists
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import LINKS
from tests.unit.slack.long_samples import FULL, unseen


@pytest.mark.parametrize(
    ("many", "headline"), [(1, "*The last request*"), (2, "*The last 2 requests*")]
)
def test_history_headline_counts_the_requests(many: int, headline: str) -> None:
    past = [samples.past_of(samples.longest(State.CANCELLED))] * many

    assert lists.request_list(past, {}, LINKS)["text"] == headline


def test_unavailable_clusters_are_grouped_by_reason_and_limited() -> None:
    (block,) = lists.unavailable_blocks(FULL.unavailable)
    (few,) = lists.unavailable_blocks([unseen(1), unseen(13)])

    assert len(block["text"]["text"]) <= 3000
    assert few["text"]["text"].count(":warning:") == 1
    assert few["text"]["text"].count("`") == 4


def test_incomplete_result_is_shown_with_its_reason_only() -> None:
    part = UnreadCluster(
        project="shop", cluster="prod-eu", reason="1 job could not be read.", in_part=True
    )

    (block,) = lists.unavailable_blocks([part])

    assert block["text"]["text"] == ":warning: `prod-eu` in shop: 1 job could not be read."
