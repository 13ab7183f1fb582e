"""The private lists."""

from bot.services.job_search import UnreadCluster
from bot.slack import lists
from bot.storage.tables import NO_JOB


def unseen(number: int) -> UnreadCluster:
    reason = f"Reason {number % 12}."
    return UnreadCluster(project="shop & co", cluster=f"c{number}", reason=reason)


def test_unavailable_clusters_are_grouped_by_reason_and_limited() -> None:
    (block,) = lists.unavailable_blocks(map(unseen, range(400)))
    (few,) = lists.unavailable_blocks([unseen(1), unseen(13)])

    assert block["text"]["text"].endswith("And 4 more reasons.")
    assert block["text"]["text"].count(":warning:") == lists.MAX_REASONS + 1
    assert few["text"]["text"].count(":warning:") == 1
    assert few["text"]["text"].count("`") == 4


def test_incomplete_result_is_shown_with_its_reason_only() -> None:
    part = UnreadCluster(
        project="shop", cluster="prod-eu", reason="1 job could not be read.", in_part=True
    )

    (block,) = lists.unavailable_blocks([part])

    assert block["text"]["text"] == ":warning: `prod-eu` in shop: 1 job could not be read."


def test_request_of_a_damaged_row_is_in_no_project() -> None:
    assert lists.offered_by([])(NO_JOB) is False
