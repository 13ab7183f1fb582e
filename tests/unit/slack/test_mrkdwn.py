"""Escaping and shortening of mrkdwn."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cancellation.people import EVERYONE, People
from bot.cancellation.text import Moment
from bot.slack import blockkit, mrkdwn
from tests.support.domain import START


@given(st.text(alphabet="&<>ab\n"), st.integers(min_value=2, max_value=60))
def test_shortened_text_keeps_escapes_whole_and_stays_within_the_limit(
    given_text: str, limit: int
) -> None:
    escaped = mrkdwn.escape(given_text, limit)
    whole, uncut = escaped.removesuffix("…"), mrkdwn.escape(given_text)

    assert len(escaped) <= limit
    assert escaped.endswith("…") if len(uncut) > limit else escaped == uncut
    assert html.escape(html.unescape(whole), quote=False) == whole


PARTS = st.lists(
    st.sampled_from(["ab ", "&amp;", "<@U0ADA>", "<!date^1^{time}|12:00 UTC>", "`x y`", "\n"])
)


@given(PARTS.map("".join), st.integers(min_value=2, max_value=60))
def test_cut_text_has_no_half_token_escape_or_code(text: str, limit: int) -> None:
    kept = blockkit.cut(text, limit)

    assert len(kept) <= max(limit, 1)
    assert kept.count("<") == kept.count(">")
    assert kept.count("`") % 2 == 0
    assert re.sub("&amp;", "", kept).count("&") == 0
    assert text.startswith(kept.removesuffix("…"))


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("*Call* security", "`*Call* security`"),
        ("(_now_)", "`(_now_)`"),
        ("~old~ ", "`~old~`"),
        ("a `b` c", "a 'b' c"),
        ("page :fire: them", "`page :fire: them`"),
        ("two\n\nlines", "two lines"),
        ("a\u202eb\u200b\x00", "ab"),
        *((text, text) for text in ("2 * 3", "db_prod_1", "12:30:45", "https://wiki/a_b")),
    ],
)
def test_what_people_typed_is_shown_in_one_line_and_not_formatted(typed: str, shown: str) -> None:
    assert mrkdwn.escape(typed) == shown


@pytest.mark.parametrize(
    ("moment", "token"),
    [
        (Moment(START), "{time}|12:00 UTC"),
        (Moment(START, has_seconds=True), "{time_secs}|12:00:00 UTC"),
        (Moment(START, has_date=True), "{date_short_pretty} at {time}|2026-12-02 12:00 UTC"),
    ],
)
def test_time_is_a_token_with_a_fallback_in_utc(moment: Moment, token: str) -> None:
    assert mrkdwn.date(moment) == f"<!date^{int(START.timestamp())}^{token}>"


def test_people_are_mentioned_as_far_as_slack_knows_them() -> None:
    some = People(users=frozenset({"U2", "cli:a<lice"}), groups=frozenset({"S1"}))
    many = People(users=frozenset(f"U{number:03d}" for number in range(40)))

    assert mrkdwn.people(some) == "<!subteam^S1>, <@U2> and cli:a&lt;lice"
    assert mrkdwn.people(EVERYONE) == "every full member"
    assert mrkdwn.people(People()) == "nobody"
    assert mrkdwn.people(many).endswith("<@U029> and 10 more")
