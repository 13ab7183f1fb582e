"""The state of a dialog: decoded exactly or rejected, changed by selections, and submitted."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars

from bot.cancellation.lifecycle import JobFingerprint
from bot.cancellation.policy import Policy
from bot.log_config import new_request_id
from bot.slack import ids
from bot.slack.channels import Placement
from bot.slack.dialog import job_details
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.state import (
    DETAILS_NOT_SHOWN,
    NO_JOB_SELECTED,
    DialogState,
    Shown,
    UnreadableDialog,
    encode_state,
    read_state,
    selection,
    submit_problem,
)
from bot.slack.grammar import job_value
from tests.support.domain import PROJECT_ID, SHOWN, job_ref
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import LINKS

DETAILS = Shown(job=SHOWN, card_channel="C0OPS")
SEEN = replace(samples.asked(), shown=DETAILS)
OTHER = "1" * 24
#: The metadata of version 1.0.
FIRST_SEEN = {
    "ref": asdict(job_ref()),
    "asked_in": SEEN.asked_in,
    "project_name": "shop-prod",
    "shown": SHOWN.to_json(),
    "card_channel": "C0OPS",
    "because": "no way in",
}
FIRST_PICKERS = {
    "picker": True,
    "project_id": PROJECT_ID,
    "cluster": "prod-eu",
    "job_id": job_ref().job_id,
    "label": "x",
    "asked_in": SEEN.asked_in,
}


def view(metadata: str) -> dict[str, str]:
    return {"private_metadata": metadata}


MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC))
SHOWNS = st.builds(
    JobFingerprint,
    delivery_type=st.text(max_size=64),
    snapshot_id=st.just(SHOWN.snapshot_id),
    snapshot_time=MOMENTS,
    expires_at=MOMENTS,
    link_is_live=st.booleans(),
    cancellable=st.booleans(),
    target=st.none() | st.text(max_size=90),
)


@given(SHOWNS)
def test_state_survives_encoding(shown: JobFingerprint) -> None:
    seen = replace(SEEN, shown=replace(DETAILS, job=shown))

    assert read_state(view(encode_state(seen))) == seen


@pytest.mark.parametrize("has_pickers", [False, True])
def test_dialog_of_version_1_0_is_read(*, has_pickers: bool) -> None:
    metadata = json.dumps(FIRST_SEEN | (FIRST_PICKERS if has_pickers else {}))

    assert read_state(view(metadata)) == replace(SEEN, has_pickers=has_pickers)


@pytest.mark.parametrize(
    "change",
    [{"ref": {}}, {"shown": {"job": 1}}, {"card_channel": 7}, {"picker": 1}],
)
def test_invalid_field_of_version_1_0_is_rejected(change: dict[str, Any]) -> None:
    with pytest.raises(UnreadableDialog):
        read_state(view(json.dumps(FIRST_SEEN | change)))


def test_dialog_of_version_1_0_without_the_channel_of_the_card_shows_nothing() -> None:
    metadata = json.dumps(FIRST_SEEN | {"card_channel": None})

    assert read_state(view(metadata)).shown is None


@pytest.mark.parametrize("details", [{}, FIRST_SEEN])
def test_selection_in_a_dialog_of_version_1_0_asks_to_open_it_again(
    details: dict[str, Any],
) -> None:
    with pytest.raises(UnreadableDialog):
        selection(view(json.dumps(details | FIRST_PICKERS)))


def test_longest_state_fits_into_private_metadata() -> None:
    placement = Placement(channel="C" * 20)
    longest = replace(job_ref(), cluster_name="x" * 64)
    state = DialogState(asked_in="C" * 20, has_pickers=True).about(longest)
    with bound_contextvars(request=new_request_id()):
        content = job_details.details(samples.sight(), Policy(), placement, LINKS)
        written = dialog_views.view(state, content)["private_metadata"]

    assert "request" in json.loads(written)
    assert len(written) < 3000


@pytest.mark.parametrize(
    "change",
    [
        {"project_id": 7},
        {"project_id": "shop"},
        {"cluster": "../x"},
        {"cluster": None},
        {"job_id": "not-an-id"},
        {"asked_in": None},
        {"has_pickers": "yes"},
        *(
            {"shown": {"job": {}, "card_channel": "C0OPS"} | wrong}
            for wrong in ({}, {"card_channel": None})
        ),
    ],
)
def test_invalid_field_is_rejected(change: dict[str, Any]) -> None:
    values = json.loads(encode_state(SEEN)) | change
    with pytest.raises(UnreadableDialog, match="type the command again"):
        read_state(view(json.dumps(values)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((each, 7) for each in ("delivery_type", "snapshot_id", "snapshot_time")),
        *((each, 7) for each in ("cancellable", "link_is_live")),
        ("snapshot_time", "2026-11-25T12:00:00"),  # without a zone
    ],
)
def test_fingerprint_field_of_another_form_is_rejected(field: str, value: object) -> None:
    values = json.loads(encode_state(SEEN))
    values["shown"]["job"][field] = value
    with pytest.raises(UnreadableDialog):
        read_state(view(json.dumps(values)))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_text_that_is_not_a_json_object_is_rejected(text: str) -> None:
    with pytest.raises(UnreadableDialog):
        read_state(view(text))


def with_pickers(selected: Mapping[str, str], state: DialogState | None = None) -> dict[str, Any]:
    """Build a dialog with pickers and the details of a job, and the values that are selected."""
    content = job_details.details(samples.sight(), Policy(), samples.HERE, LINKS)
    shown = samples.with_pickers(content)
    if state:
        shown["private_metadata"] = encode_state(state)
    values = {
        block: {block: {"selected_option": {"value": value}}} for block, value in selected.items()
    }
    return {**shown, "state": {"values": values}}


ALL = {"project": PROJECT_ID, "cluster": "prod-eu", "job": job_value(job_ref())}


@pytest.mark.parametrize("selected", [ALL, {"job": ALL["job"]}])
def test_selected_and_shown_job_may_be_submitted(selected: dict[str, str]) -> None:
    shown = with_pickers(selected)

    assert submit_problem(shown, read_state(shown)) is None


@pytest.mark.parametrize(
    ("selected", "problem"),
    [
        ({}, (ids.JOB, NO_JOB_SELECTED)),
        ({"cluster": "prod-eu"}, (ids.JOB, NO_JOB_SELECTED)),
        ({"job": f"{PROJECT_ID} prod-eu {'0' * 24}"}, (ids.JOB, DETAILS_NOT_SHOWN)),
        # The update after the selection of a cluster removes the picker of jobs.
        (ALL | {"cluster": "other"}, (ids.CLUSTER, DETAILS_NOT_SHOWN)),
        (ALL | {"project": OTHER}, (ids.PROJECT, DETAILS_NOT_SHOWN)),
    ],
)
def test_job_that_is_not_selected_and_shown_is_refused_at_the_selection(
    selected: dict[str, str], problem: tuple[str, str]
) -> None:
    shown = with_pickers(selected)

    assert submit_problem(shown, read_state(shown)) == problem


def test_selected_job_without_its_details_is_refused() -> None:
    shown = with_pickers(ALL, replace(samples.asked(), has_pickers=True))

    assert submit_problem(shown, read_state(shown)) == (ids.JOB, DETAILS_NOT_SHOWN)


def test_without_a_job_picker_the_problem_is_at_the_first_input() -> None:
    shown = with_pickers({})
    shown["blocks"] = [each for each in shown["blocks"] if each.get("block_id") == ids.PROJECT]

    assert submit_problem(shown, read_state(shown)) == (ids.PROJECT, NO_JOB_SELECTED)


@pytest.mark.parametrize(
    ("last", "selected", "expected"),
    [
        (ids.JOB, ALL, (PROJECT_ID, "prod-eu", job_ref().job_id)),
        (ids.CLUSTER, ALL | {"cluster": "other"}, (PROJECT_ID, "other", None)),
        (ids.PROJECT, ALL | {"project": OTHER}, (OTHER, None, None)),
        (ids.JOB, ALL | {"cluster": "other"}, (PROJECT_ID, "other", None)),
        (ids.JOB, ALL | {"project": OTHER}, (OTHER, "prod-eu", None)),
        (ids.JOB, ALL | {"job": "x"}, (PROJECT_ID, "prod-eu", None)),
        (ids.CLUSTER, {"cluster": "../x"}, (PROJECT_ID, None, None)),
        (ids.CLUSTER, ALL | {"project": "1" * 25}, (None, "prod-eu", None)),
        (ids.JOB, {}, (PROJECT_ID, "prod-eu", None)),
    ],
)
def test_selection_clears_the_later_ones_and_a_job_of_another_cluster(
    last: str, selected: dict[str, str], expected: tuple[str | None, ...]
) -> None:
    state = selection(with_pickers(selected), last)

    assert (state.project_id, state.cluster, state.job_id) == expected
