"""Formatting of mrkdwn, with untrusted text."""

import html
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cancellation.lifecycle import Approval, Outcome, State
from bot.cancellation.people import EVERYONE, People
from bot.slack import mrkdwn
from tests.support.clock import NOON
from tests.support.domain import a_request


@given(st.text())
def test_escaped_text_has_no_brackets_and_can_be_unescaped(given_text: str) -> None:
    escaped = mrkdwn.escape(given_text, limit=10**6)

    assert "<" not in escaped
    assert ">" not in escaped
    assert escaped.replace("&lt;", "<").replace("&gt;", ">").replace(
        "&amp;", "&"
    ) == mrkdwn.strip_invisible(given_text)


@given(st.text(alphabet="&<>ab\n"), st.integers(min_value=2, max_value=60))
def test_cut_text_keeps_escapes_whole_and_stays_within_the_limit(
    given_text: str, limit: int
) -> None:
    escaped = mrkdwn.escape(given_text, limit)
    whole, uncut = escaped.removesuffix("…"), mrkdwn.escape(given_text)

    assert len(escaped) <= limit
    assert escaped.endswith("…") if len(uncut) > limit else escaped == uncut
    assert html.escape(html.unescape(whole), quote=False) == whole


@given(st.text(alphabet="a\n \r\t>", max_size=400))
def test_every_line_of_a_quotation_is_marked(given_text: str) -> None:
    assert all(line.startswith(">") for line in mrkdwn.quote(given_text).split("\n"))


def test_quotation_of_many_line_breaks_stays_within_the_limit() -> None:
    assert len(mrkdwn.quote("a\n" * 5000)) < 3000


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("*Call* security", "`*Call* security`"),
        ("(_now_)", "`(_now_)`"),
        ("~old~ ", "`~old~`"),
        ("a `b` c", "`a 'b' c`"),
        ("page :fire: them", "`page :fire: them`"),
        *((each, each) for each in ("2 * 3", "db_prod_1", "12:30:45", "https://wiki/a_b")),
    ],
)
def test_what_people_typed_is_not_formatted(typed: str, shown: str) -> None:
    assert mrkdwn.note(typed) == [f":information_source: *Note* {shown}"]
    assert mrkdwn.quote(typed) == f">{shown}"


@pytest.mark.parametrize("hidden", ["\u202e", "\u2066", "\u200b", "\x00", "\x1b", "\ufeff"])
def test_invisible_characters_are_removed(hidden: str) -> None:
    assert mrkdwn.escape(f"a{hidden}b") == "ab"


def test_backticks_are_removed_from_code() -> None:
    assert mrkdwn.code("a`b") == "`ab`"


def test_date_is_a_token_with_a_fallback() -> None:
    moment = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)

    assert mrkdwn.date(moment) == (
        "<!date^1795608000^{date_short_pretty} at {time}|2026-11-25 12:00 UTC>"
    )


def test_people_are_mentioned_by_group_and_user() -> None:
    some = People(users=frozenset({"U2", "U1"}), groups=frozenset({"S1"}))

    assert mrkdwn.people(some) == "<!subteam^S1>, <@U1> and <@U2>"
    assert mrkdwn.people(EVERYONE) == "every full member of this workspace"
    assert mrkdwn.people(People()) == "no one"


def test_operator_is_named_without_a_mention() -> None:
    assert mrkdwn.person("cli:a<lice") == "cli:a&lt;lice"


def test_people_above_the_limit_are_counted() -> None:
    many = People(users=frozenset(f"U{number:03d}" for number in range(40)))

    assert mrkdwn.people(many).endswith("<@U029> and 10 more")


@pytest.mark.parametrize("state", sorted(State))
def test_only_the_cancelled_state_is_described_as_cancelled(state: State) -> None:
    text = mrkdwn.request_status(a_request(state=state, outcome=Outcome(by="U0ADA")))

    assert text.startswith("This request ")
    assert ("cancelled" in text) == (state is State.CANCELLED)


def test_request_status_names_who_ended_it_and_when() -> None:
    denied = a_request(state=State.DENIED, outcome=Outcome(by="U0ADA"))

    assert mrkdwn.request_status(denied) == (
        f"This request was denied by <@U0ADA> ({mrkdwn.date(denied.changed_at)}): "
        "the bot does not cancel the download."
    )


def test_request_status_names_the_approvers() -> None:
    approved = (Approval(user="U0ADA", at=NOON), Approval(user="U0ABE", at=NOON))
    running = a_request(state=State.CANCELLING, approvals=approved)
    failed = a_request(state=State.FAILED, approvals=approved)

    assert (
        "was approved by <@U0ADA> and <@U0ABE> and is being carried out"
        in mrkdwn.request_status(running)
    )
    assert mrkdwn.request_status(failed).endswith("<@U0ADA> and <@U0ABE> had approved it.")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-48, "0:48 min"), (599, "9:59 min"), (600, "10 min"), (3599, "59 min"), (3780, "1 h 3 min")],
)
def test_duration_has_seconds_below_ten_minutes_and_hours_from_one_on(
    seconds: int, shown: str
) -> None:
    assert mrkdwn.duration(timedelta(seconds=seconds)) == shown
