"""One id from the command to the request: made, kept in the dialog, found again in each payload."""

import json
from typing import Any

import pytest
import structlog
from structlog.contextvars import merge_contextvars

from bot.log_config import is_request_id
from bot.slack import ids
from bot.slack.bolt_app import may_begin, request_in
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.service import CLUSTER
from tests.unit.slack import payloads, samples
from tests.unit.slack.harness import BoltHarness

ID = "1d32b111eb0842bd9cbaa67cd741e651"
TYPED = f"prod-eu {JOB_ID}"
HOME_OPENED = {"type": "event_callback", "event": {"type": "app_home_opened"}}
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


@pytest.mark.parametrize(
    ("body", "begins"),
    [
        (payloads.command("help"), True),
        (payloads.click(ids.OPEN, TYPED), True),
        ({"type": "message_action", "callback_id": ids.SHORTCUT}, True),
        (payloads.click(ids.MORE, "10"), False),
        (HOME_OPENED, False),
    ],
)
def test_payload_that_may_open_a_dialog_gets_a_new_id(
    body: dict[str, Any], *, begins: bool
) -> None:
    assert may_begin(body) is begins


async def test_dialog_submits_the_id_of_its_command(bolt: BoltHarness) -> None:
    with structlog.testing.capture_logs([merge_contextvars]) as log:
        await bolt.send(payloads.command(TYPED))
        (shown,) = bolt.slack.called("views.update")
        await bolt.send(payloads.submission(shown["view"] | {"callback_id": ids.DIALOG}))
    (typed,) = [line["request"] for line in log if line["event"] == "command typed"]

    assert [each.id for each in await bolt.requests()] == [typed]


async def test_two_commands_get_two_ids(bolt: BoltHarness) -> None:
    with structlog.testing.capture_logs([merge_contextvars]) as log:
        for _ in range(2):
            await bolt.send(payloads.command(TYPED))

    assert len({line["request"] for line in log}) == 2


async def test_dialog_without_an_id_gets_one_from_the_service(bolt: BoltHarness) -> None:
    await bolt.send(payloads.submission(samples.views()["details"]))
    (request,) = await bolt.requests()
    assert is_request_id(request.id)


async def test_unexpected_errors_are_logged_with_their_request(bolt: BoltHarness) -> None:
    with structlog.testing.capture_logs([merge_contextvars]) as log:
        bolt.atlas[PROJECT_ID].faults[CLUSTER] = RuntimeError("a bug")
        await bolt.send(payloads.command(TYPED))
        bolt.database.write_error = RuntimeError("a bug")
        view = samples.views()["details"]
        known = json.loads(view["private_metadata"]) | {"request": ID}
        await bolt.send(payloads.submission(view | {"private_metadata": json.dumps(known)}))
    errors = [line for line in log if line["log_level"] == "error"]
    (typed,) = [line["request"] for line in log if line["event"] == "command typed"]

    assert [line["event"] for line in errors] == ["background work failed", "listener failed"]
    assert [line["request"] for line in errors] == [typed, ID]
