"""The facts of a download: what later answers change, the link's line, newness, the time."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cancellation.download import (
    Download,
    Ended,
    Fingerprint,
    LetRun,
    LinkPhase,
    auto_cancel_time,
    is_new,
    new_download,
)
from bot.cancellation.policy import Policy
from tests.support.domain import AUTO_CANCEL, LINK, POLICY, REF, START, download, restore_job

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


def after(*answers: dict[str, Any]) -> Download:
    """Return the download after answers that were read a minute apart."""
    stored = download()
    for number, changes in enumerate(answers, 1):
        stored = stored.observed(restore_job(**changes), START + number * MINUTE)
    return stored


GONE_LINK = {**LINK, "deliveryUrl": []}
LINES = [
    # answers, minutes after the start → phase
    ([], 2, LinkPhase.EXPECTED),
    ([], 3, LinkPhase.ANY_MOMENT),
    ([LINK], 4, LinkPhase.LIVE),
    ([LINK, GONE_LINK], 4, LinkPhase.GONE),
    ([GONE_LINK], 4, LinkPhase.GONE),
    ([{"cancelled": True}], 4, LinkPhase.NEVER_SEEN),
    ([LINK, {"cancelled": True}], 4, LinkPhase.WAS_LIVE),
    ([{"expired": True, **GONE_LINK}], 4, LinkPhase.WAS_LIVE),
]


@pytest.mark.parametrize(("answers", "minutes", "phase"), LINES)
def test_link_line_says_what_the_answers_showed(
    answers: list[dict[str, Any]], minutes: int, phase: LinkPhase
) -> None:
    assert after(*answers).link(START + minutes * MINUTE).phase is phase


def test_link_is_live_for_the_hour_before_it_expires() -> None:
    link = after(LINK).link(START + 4 * MINUTE)

    assert (link.since, link.until) == (START + 3 * MINUTE, START + 63 * MINUTE)


ENDS = [
    ({"cancelled": True}, Ended.CANCELLED),
    ({"cancelled": True, "failed": True}, Ended.CANCELLED_AND_FAILED),
    ({"failed": True, "finishedAt": START}, Ended.FAILED),
    ({"expired": True}, Ended.EXPIRED),
    ({"finishedAt": START}, Ended.FINISHED),
    (LINK, None),
]


@pytest.mark.parametrize(("changes", "ended"), ENDS)
def test_flags_of_atlas_say_how_a_download_ended(
    changes: dict[str, Any], ended: Ended | None
) -> None:
    assert after(changes).ended is ended


ANSWERS = st.lists(
    st.sampled_from([{}, LINK, GONE_LINK, {"cancelled": True}, {"failed": True}]), max_size=5
)


def test_value_that_atlas_adds_later_is_shown_and_kept() -> None:
    absent = restore_job(snapshotId=None, timestamp=None)
    stored = new_download(REF, absent, read_at=START, now=START)
    added = stored.observed(restore_job(), START)
    other = restore_job(snapshotId="5" * 24, timestamp=START)

    assert stored.shown.changes(added.shown) == {}
    assert added.shown == Fingerprint.of(restore_job())
    assert added.observed(other, START).shown == added.shown


@given(ANSWERS)
def test_nothing_that_was_seen_is_forgotten(answers: list[dict[str, Any]]) -> None:
    before = after(*answers)
    later = before.observed(restore_job(), START + 9 * MINUTE)

    assert later.link_existed == before.link_existed
    assert (later.cancelled, later.failed) == (before.cancelled, before.failed)


def test_answer_that_began_earlier_only_adds_what_it_showed() -> None:
    ended = after({}, {"cancelled": True})
    lost = replace(download(read_at=START + 2 * MINUTE), is_gone=True)

    later = ended.observed(restore_job(**LINK), START + MINUTE)

    assert later.link(START + 9 * MINUTE).phase is LinkPhase.WAS_LIVE
    assert later.read_at == ended.read_at
    assert lost.observed(restore_job(), START + MINUTE) == lost


@pytest.mark.parametrize(
    ("stored", "earlier", "phase"),
    [
        ({}, LINK, LinkPhase.LIVE),  # a clock that is behind: the link exists
        (GONE_LINK, LINK, LinkPhase.GONE),
        (LINK, GONE_LINK, LinkPhase.LIVE),
    ],
)
def test_answer_that_began_earlier_may_show_the_link_first(
    stored: dict[str, Any], earlier: dict[str, Any], phase: LinkPhase
) -> None:
    later = after({}, stored).observed(restore_job(**earlier), START + MINUTE)

    assert later.link(START + 9 * MINUTE).phase is phase


def test_answer_after_the_clock_was_set_back_counts() -> None:
    stored = after({}, {}, {})

    later = stored.observed(restore_job(**LINK), stored.read_at - 2 * MINUTE)

    assert later.link_existed


@pytest.mark.parametrize("later", [timedelta(0), MINUTE])
def test_download_that_atlas_lists_again_goes_on(later: timedelta) -> None:
    stored = replace(download(), is_gone=True)

    assert stored.ended is Ended.GONE
    assert stored.observed(restore_job(), stored.read_at + later).ended is None


NEW = START - MINUTE
TIMES = [
    (AUTO_CANCEL, NEW, {}, START + timedelta(seconds=95)),
    # the clock was ahead at the first start, and until now
    (AUTO_CANCEL, START + DAY, {}, START + timedelta(seconds=95)),
    (AUTO_CANCEL, START + DAY, {"stored_at": START + DAY}, None),
    # the same second: ids have whole seconds
    (AUTO_CANCEL, START + timedelta(seconds=0.9), {}, START + timedelta(seconds=95)),
    # it ran already at the first start
    (AUTO_CANCEL, START + timedelta(seconds=1), {"stored_at": START + timedelta(seconds=5)}, None),
    (AUTO_CANCEL, None, {}, None),
    (POLICY, NEW, {}, None),
    (replace(AUTO_CANCEL, read_only=True), NEW, {}, None),
    (AUTO_CANCEL, NEW, {"failed": True}, None),
]


@pytest.mark.parametrize(("policy", "watch_started_at", "changes", "time"), TIMES)
def test_new_download_gets_its_time_when_it_is_stored(
    policy: Policy,
    watch_started_at: datetime | None,
    changes: dict[str, Any],
    time: datetime | None,
) -> None:
    stored = download(**changes)

    assert auto_cancel_time(stored, policy, watch_started_at, START + timedelta(seconds=5)) == time


def test_newness_follows_from_the_id_and_the_first_start_of_the_watch() -> None:
    assert is_new(REF, START - MINUTE, START)
    assert not is_new(REF, START + MINUTE, START + MINUTE)


@pytest.mark.parametrize(
    ("watch_started_at", "hours", "expected"),
    [
        (START + DAY, 3, True),
        (START + DAY, 4, False),
        (START + timedelta(seconds=1), 0, True),
        (START + timedelta(seconds=1), 1, False),
    ],
)
def test_download_that_may_go_on_is_new_where_the_first_start_is_later_than_now(
    watch_started_at: datetime, hours: int, *, expected: bool
) -> None:
    assert is_new(REF, watch_started_at, START + timedelta(hours=hours)) is expected


def test_time_stands_until_it_is_used_or_let_run() -> None:
    timed = download(auto_cancel_at=START)

    assert timed.auto_cancel(AUTO_CANCEL) == START
    assert replace(timed, auto_cancelled_at=START).auto_cancel(AUTO_CANCEL) is None
    assert replace(timed, let_run=LetRun(by="U0ADA", at=START)).auto_cancel(AUTO_CANCEL) is None
