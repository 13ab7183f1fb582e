"""A dialog's metadata: decoded exactly or rejected."""

import json
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.contextvars import bound_contextvars

from bot.cancellation.lifecycle import JobFingerprint
from bot.cancellation.policy import Policy
from bot.cancellation.request_context import new_request_id
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import (
    DialogState,
    JobTarget,
    UnreadableDialog,
    encode_target,
    read_state,
    read_target,
)
from bot.slack.placement import Placement
from tests.support.domain import SHOWN
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import LINKS
from tests.unit.slack.samples import asked, longest_asked


def state_of(target: JobTarget, project_name: str, because: str) -> DialogState:
    return DialogState(
        ref=target.ref,
        asked_in=target.asked_in,
        project_name=project_name,
        shown=SHOWN,
        card_channel="C0OPS",
        because=because,
    )


SEEN = state_of(asked(), "shop-prod", "no way in")


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
    seen = replace(SEEN, shown=shown)

    assert read_state(view(encode_target(seen))) == seen


def test_target_is_read_from_both_kinds_of_metadata() -> None:
    assert read_target(view(encode_target(asked()))) == asked()
    assert read_target(view(encode_target(SEEN))) == asked()


def test_longest_names_fit_into_private_metadata() -> None:
    placement = Placement(channel="C0OPS", because="x" * 4000)
    with bound_contextvars(request=new_request_id()):
        sight = replace(samples.sight(), project_name=samples.LONG_NAME)
        view = dialog_views.details(sight, longest_asked(), Policy(), placement, LINKS)

    written = view["private_metadata"]
    assert "request" in json.loads(written)
    assert len(written) < 3000


@pytest.mark.parametrize(
    "change",
    [
        {"ref": None},
        {"ref": {"project_id": 7, "cluster_name": "prod-eu", "job_id": "0" * 24}},
        {"ref": {"project_id": "0" * 24, "cluster_name": "../x", "job_id": "0" * 24}},
        {"ref": {"project_id": "0" * 24, "cluster_name": "prod-eu", "job_id": "not-an-id"}},
        {"shown": {}},
        {"shown": None},
        {"card_channel": None},
        {"asked_in": None},
        {"project_name": 7},
        {"because": 1},
    ],
)
def test_invalid_field_is_rejected(change: dict[str, Any]) -> None:
    values = json.loads(encode_target(SEEN)) | change
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
    values = json.loads(encode_target(SEEN))
    values["shown"][field] = value
    with pytest.raises(UnreadableDialog):
        read_state(view(json.dumps(values)))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null"])
def test_text_that_is_not_a_json_object_is_rejected(text: str) -> None:
    with pytest.raises(UnreadableDialog):
        read_target(view(text))
