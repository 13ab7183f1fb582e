"""Audit events: the closed list of names, and the hash chain."""

from hypothesis import given
from hypothesis import strategies as st

from bot.cancellation.events import EventName, canonical, chain
from bot.cancellation.request import TRANSITIONS, State

JSON = st.dictionaries(st.text(), st.none() | st.text() | st.integers())


def test_each_state_has_the_event_that_enters_it() -> None:
    assert {EventName.entering(state) for state in State} <= set(EventName)


def test_every_state_is_reached_and_only_open_ones_are_left() -> None:
    reached = {state for targets in TRANSITIONS.values() for state in targets}

    assert reached == set(State)
    assert {state for state in State if not state.has_ended} == set(TRANSITIONS)


@given(JSON, JSON)
def test_changed_event_has_another_hash(
    first: dict[str, object], second: dict[str, object]
) -> None:
    hashes = [chain("", canonical(fields)) for fields in (first, second)]

    assert (hashes[0] == hashes[1]) is (canonical(first) == canonical(second))


def test_hash_covers_the_event_before() -> None:
    assert chain("a", "{}") != chain("b", "{}")
