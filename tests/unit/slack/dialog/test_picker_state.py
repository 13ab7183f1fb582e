"""The state of a picker dialog: which jobs may be submitted, and how a selection changes it."""

from typing import Any

import pytest

from bot.slack import ids
from bot.slack.dialog.metadata import (
    DETAILS_NOT_SHOWN,
    NO_JOB_SELECTED,
    PickerState,
    read_picker,
    read_state,
    submit_problem,
    with_selection,
)
from bot.slack.grammar import job_value
from bot.slack.picker import views as picker_views
from tests.support.domain import PROJECT_ID
from tests.unit.slack import samples
from tests.unit.slack.long_samples import SELECTED, project


def shown(state: PickerState, **selected: str) -> dict[str, Any]:
    """Build a picker dialog with details and selected values."""
    details = samples.views()["details"]
    view = picker_views.with_details(details, state, [project(), project(1)])
    values = {
        block: {block: {"selected_option": {"value": value}}} for block, value in selected.items()
    }
    return {**view, "state": {"values": values}}


def selected_job() -> PickerState:
    ref = read_state(samples.views()["details"]).ref
    return PickerState(
        project_id=ref.project_id, cluster=ref.cluster_name, job_id=ref.job_id, asked_in="C0OPS"
    )


def test_selected_and_shown_job_may_be_submitted() -> None:
    state = selected_job()
    assert state.ref

    assert (
        submit_problem(shown(state, job=job_value(state.ref), cluster=state.cluster or "")) is None
    )
    assert submit_problem(samples.views()["details"]) is None


@pytest.mark.parametrize(
    ("selected", "why"),
    [
        ({}, NO_JOB_SELECTED),
        ({"job": "-"}, NO_JOB_SELECTED),
        ({"job": f"{PROJECT_ID} prod-eu {'0' * 24}"}, DETAILS_NOT_SHOWN),
        ({"job": "OK", "cluster": "other"}, DETAILS_NOT_SHOWN),
        ({"job": "OK", "project": "0" * 24}, DETAILS_NOT_SHOWN),
    ],
)
def test_job_that_is_not_selected_and_shown_is_refused(selected: dict[str, str], why: str) -> None:
    state = selected_job()
    assert state.ref
    picked = {name: value.replace("OK", job_value(state.ref)) for name, value in selected.items()}

    assert submit_problem(shown(state, **picked)) == (ids.JOB, why)


def test_without_a_job_picker_the_problem_is_at_the_first_input() -> None:
    view = picker_views.view(PickerState(asked_in="C0OPS"), [project(), project(1)], "note")

    assert submit_problem(view) == (ids.PROJECT, NO_JOB_SELECTED)


def test_selection_clears_the_later_ones() -> None:
    state = selected_job()
    cluster = with_selection(state, ids.CLUSTER, "other")
    other = with_selection(state, ids.PROJECT, "1" * 24)
    nothing = with_selection(state, ids.JOB, "-")

    assert (cluster.cluster, cluster.job_id) == ("other", None)
    assert (other.project_id, other.cluster, other.job_id) == ("1" * 24, None, None)
    assert (nothing.cluster, nothing.job_id) == (state.cluster, None)


def test_state_is_read_from_the_view() -> None:
    view = picker_views.view(SELECTED, [project()], "note")

    assert read_picker(view) == SELECTED
    assert read_picker(samples.views()["details"]) is None
    assert read_picker({"private_metadata": "garbage"}) is None
    assert read_picker({"private_metadata": '{"picker": true, "cluster": 7}'}) is None
