"""The message of a download: whom a post mentions."""

import pytest

from bot.cancellation.people import NO_ONE, People
from bot.slack.message import mentioned_at_post
from tests.support.domain import users
from tests.unit.slack import samples

APPROVERS = users("U0ADA", "U0ALAN")
WITH_REQUESTER = users("U0ADA", "U0ALAN", "U0RINA")


@pytest.mark.parametrize(
    ("name", "at_first", "again"),
    [
        ("announced", NO_ONE, NO_ONE),
        ("announced_link_live", NO_ONE, APPROVERS),
        ("auto_cancel", APPROVERS, APPROVERS),
        ("waiting", NO_ONE, APPROVERS),
        ("waiting_with_auto_cancel", APPROVERS, APPROVERS),
        ("waiting_everybody_may_approve", NO_ONE, NO_ONE),
        ("cancelling", NO_ONE, NO_ONE),
        ("cancelled", NO_ONE, users("U0RINA")),
        ("cancelled_at_its_time", NO_ONE, APPROVERS),
        ("refused", NO_ONE, WITH_REQUESTER),
        ("expired", NO_ONE, WITH_REQUESTER),
        ("denied", NO_ONE, users("U0RINA")),
        ("ended_cancelled", NO_ONE, NO_ONE),
        ("ended_link_live", NO_ONE, APPROVERS),
    ],
)
def test_post_mentions_approvers_with_an_auto_cancel_and_a_new_one_those_of_its_state(
    name: str, at_first: People, again: People
) -> None:
    facts = samples.facts(name)

    assert mentioned_at_post(facts, is_repost=False) == at_first
    assert mentioned_at_post(facts, is_repost=True) == again


def test_no_message_has_a_link_to_a_backup() -> None:
    assert "link.example" not in str([samples.messages(), samples.views()])
