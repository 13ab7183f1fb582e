"""The id of a request in its payloads, for the log."""

import json
from typing import Any

import pytest
import structlog
from structlog.contextvars import merge_contextvars

from bot.slack import ids
from bot.slack.bolt_app import request_in
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.service import CLUSTER
from tests.unit.slack import payloads, samples
from tests.unit.slack.harness import BoltHarness

ID = "1d32b111eb0842bd9cbaa67cd741e651"
TYPED = f"prod-eu {JOB_ID}"
IN_A_DIALOG = {"view": {"private_metadata": json.dumps({"version": 1, "request": ID})}}
OF_A_DENIAL = {"type": "view_submission", "view": {"private_metadata": json.dumps({"request": ID})}}


@pytest.mark.parametrize(
    "body",
    [
        *(payloads.click(each, ID) for each in (ids.APPROVE, ids.DENY, ids.KEEP)),
        payloads.click(ids.WITHDRAW, ID),
        payloads.click(ids.RETRY, ID),
        payloads.click(ids.REVIEW, ID),
        {"type": "view_submission", **IN_A_DIALOG},
        {"type": "block_suggestion", "action_id": ids.JOB, **IN_A_DIALOG},
        payloads.view_click(ids.TRY_AGAIN, IN_A_DIALOG["view"]),
        OF_A_DENIAL,
    ],
)
def test_payload_names_its_request(body: dict[str, Any]) -> None:
    assert request_in(body) == ID


@pytest.mark.parametrize(
    "body",
    [
        payloads.command(TYPED),
        payloads.click(ids.OPEN, ID),
        payloads.click(ids.APPROVE, "not an id"),
        payloads.click(ids.APPROVE, ID.upper()),
        {"type": "view_submission", "view": {"private_metadata": json.dumps({"request": 7})}},
        {"type": "view_submission", "view": {"private_metadata": "[1]"}},
        {"type": "view_submission", "view": {"private_metadata": ID}},
        {"type": "block_actions", "actions": []},
        {},
    ],
)
def test_invalid_request_id_is_ignored(body: dict[str, Any]) -> None:
    assert request_in(body) is None


async def test_unexpected_errors_are_logged_with_their_request(bolt: BoltHarness) -> None:
    with structlog.testing.capture_logs([merge_contextvars]) as log:
        bolt.atlas[PROJECT_ID].faults[CLUSTER] = RuntimeError("a bug")
        await bolt.send(payloads.command(TYPED))
        bolt.database.write_error = RuntimeError("a bug")
        view = samples.views()["details"]
        known = json.loads(view["private_metadata"]) | {"request": ID}
        await bolt.send(payloads.submission(view | {"private_metadata": json.dumps(known)}))
    errors = [line for line in log if line["log_level"] == "error"]

    assert [line["event"] for line in errors] == ["background work failed", "listener failed"]
    assert [line.get("request") for line in errors] == [None, ID]
