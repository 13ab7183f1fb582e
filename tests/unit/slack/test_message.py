"""The message of a download: its first line, whom a post mentions, and its metadata."""

import pytest

from bot.cancellation.people import NO_ONE, People
from bot.cancellation.phase_words import headline
from bot.cancellation.text import plain
from bot.slack.message import mentioned_at_post, with_mentions
from tests.support.domain import START, users
from tests.unit.slack import samples

MOST_WORDS = 14  #: a first line is read on a phone at night
APPROVERS = users("U0ADA", "U0ALAN")
WITH_REQUESTER = users("U0ADA", "U0ALAN", "U0RINA")


@pytest.mark.parametrize("name", samples.CASES)
def test_first_line_is_short(name: str) -> None:
    words = plain(headline(samples.facts(name), START)).replace(" UTC", "").split()

    assert len(words) <= MOST_WORDS


@pytest.mark.parametrize(
    "name", [name for name, case in samples.CASES.items() if case[0].link_existed]
)
def test_first_line_says_that_the_link_was_live(name: str) -> None:
    first = plain(headline(samples.facts(name), START)).lower()

    assert "link" in first
    assert any(word in first for word in ("live", "used or withdrawn"))


@pytest.mark.parametrize(
    ("name", "at_first", "again"),
    [
        ("announced", NO_ONE, NO_ONE),
        ("announced_link_live", NO_ONE, APPROVERS),
        ("auto_cancel", APPROVERS, APPROVERS),
        ("auto_cancel_starter_exempt", APPROVERS, APPROVERS),
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


def test_mentions_stand_in_the_text_and_in_the_blocks() -> None:
    built = with_mentions(samples.download_message("auto_cancel"), APPROVERS)

    assert built["text"].startswith("<@U0ADA> and <@U0ALAN>: ")
    assert built["blocks"][1]["text"]["text"] == "<@U0ADA> and <@U0ALAN>"


def test_no_message_has_a_link_to_a_backup() -> None:
    assert "link.example" not in str([samples.messages(), samples.views()])
