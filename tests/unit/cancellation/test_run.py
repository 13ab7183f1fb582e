"""The next step of a run by what a GET shows, and the one verdict about how a download ended."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.cancellation.download import Fingerprint
from bot.cancellation.request import Attempts, State
from bot.cancellation.run import Step, end_of_download, is_over_time, next_step, verdict
from tests.support.domain import LINK, START, download, request, restore_job

NONE = Attempts()
#: The clock was set back since the last one.
LONG_ACCEPTED, ACCEPTED_LATER = (
    Attempts(count=1, accepted_at=START + timedelta(seconds=seconds)) for seconds in (-60, 60)
)
UNKNOWN = Attempts(count=1, is_unknown=True)
ACCEPTED = Attempts(count=1, accepted_at=START)
OTHER = {"snapshotId": "5b622f7087d9d6039fafe0ff"}

STEPS = [
    # attempts, changes of the job → step, state
    (NONE, {}, Step.SEND, None),
    (UNKNOWN, {}, Step.SEND, None),
    (ACCEPTED, {}, Step.READ, None),
    (LONG_ACCEPTED, {}, Step.SEND, None),
    (LONG_ACCEPTED, OTHER, Step.READ, None),
    (ACCEPTED_LATER, {}, Step.SEND, None),
    (NONE, LINK, Step.SEND, None),
    (NONE, OTHER, Step.END, State.CHANGED),
    (UNKNOWN, OTHER, Step.READ, None),
    (NONE, {"cancelled": True}, Step.END, State.OVER),
    (UNKNOWN, {"cancelled": True}, Step.END, State.CANCELLED),
    (ACCEPTED, {"cancelled": True, **LINK}, Step.END, State.CANCELLED),
    (ACCEPTED, {"cancelled": True, "failed": True}, Step.END, State.CANCELLED),
    (ACCEPTED, {"failed": True}, Step.END, State.OVER),
    (ACCEPTED, {"expired": True}, Step.END, State.OVER),
    (ACCEPTED, {"finishedAt": START}, Step.END, State.OVER),
]


@pytest.mark.parametrize(("attempts", "changes", "step", "state"), STEPS)
def test_next_step_after_a_get(
    attempts: Attempts, changes: dict[str, Any], step: Step, state: State | None
) -> None:
    running = request(State.CANCELLING, attempts=attempts)
    found = next_step(running, restore_job(**changes), START)

    assert found.step is step
    assert (found.ending.state if found.ending else None) is state


def test_value_that_was_absent_and_is_present_now_is_no_change() -> None:
    shown = Fingerprint(delivery_type="download", snapshot_id="", snapshot_time=None)
    running = request(State.CANCELLING, shown=shown)

    assert next_step(running, restore_job(), START).step is Step.SEND


def test_changed_request_says_what_changed() -> None:
    ending = next_step(request(State.CANCELLING), restore_job(**OTHER), START).ending

    assert ending is not None
    assert ending.outcome.changes == {
        "snapshot_id": ("5b622f7087d9d6039fafe03f", "5b622f7087d9d6039fafe0ff")
    }


@pytest.mark.parametrize(
    ("attempts", "flags", "state"),
    [
        (NONE, {"cancelled": True}, State.OVER),
        (UNKNOWN, {"cancelled": True}, State.CANCELLED),
        (UNKNOWN, {"cancelled": True, "failed": True}, State.OVER),
        (ACCEPTED, {"cancelled": True, "failed": True}, State.CANCELLED),
        (ACCEPTED, {"failed": True}, State.OVER),
        (ACCEPTED, {"expired": True}, State.OVER),
    ],
)
def test_run_and_watch_give_the_same_verdict(
    attempts: Attempts, flags: dict[str, bool], state: State
) -> None:
    ended = {name: flags.get(name, False) for name in ("cancelled", "failed")}
    waiting = request(attempts=attempts)

    assert verdict(attempts, **ended) is state
    assert end_of_download(waiting, download(**flags)) is state
    ending = next_step(waiting, restore_job(**flags), START).ending
    assert ending is not None
    assert ending.state is state


def test_changed_snapshot_time_is_named_as_iso_8601() -> None:
    moved = {"timestamp": START - timedelta(hours=1)}

    ending = next_step(request(State.CANCELLING), restore_job(**moved), START).ending

    assert ending is not None
    assert ending.outcome.changes == {
        "snapshot_time": ("2026-12-02T11:20:00+00:00", "2026-12-02T11:00:00+00:00")
    }


def test_run_ends_three_hours_after_its_stored_start() -> None:
    running = replace(request(State.CANCELLING), run_started_at=START)

    assert not is_over_time(running, START + timedelta(hours=2, minutes=59, seconds=59))
    assert is_over_time(running, START + timedelta(hours=3))
    assert not is_over_time(request(), START + timedelta(hours=3))
