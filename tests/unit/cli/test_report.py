"""The report of doctor for others: known words and numbers, and nothing of the installation."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bot.atlas import KeyRefused
from bot.cancellation.events import Event, EventName, Recorded, chain
from bot.cli.report import READ_FIRST, History, report_lines
from bot.doctor.results import CheckResult
from bot.settings import Settings, load_settings
from tests.support.settings import ENOUGH

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
PLANTED = (
    *("xoxb-1-planted", "acme-prod", "Ada Lovelace", "ada@acme.example", "U0PLANTED1"),
    *("5b6212af90dc76637950a2c6", "203.0.113.7", "https://acme.example/x", "/srv/acme"),
)


@pytest.fixture
def settings() -> Settings:
    return load_settings(
        {
            **ENOUGH,
            "BOT_LABEL": "acme-prod",
            "BOT_APPROVALS": "2",
            "BOT_APPROVERS": "U0PLANTED1,U0PLANTED2,S0PLANTED1",
            "BOT_WATCH_CHANNEL": "C0PLANTED1",
            "BOT_QUARANTINE": "observe",
            "BOT_QUARANTINE_EXPECTED": "ada@acme.example",
        }
    )


def event(name: str, seconds: float, **detail: object) -> Recorded:
    at = (NOON + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    planted = {f"field_{n}": text for n, text in enumerate(PLANTED)}
    return chain(
        Event(
            name=EventName(name),
            request="5b6212af90dc76637950a2c6",
            number=1,
            at=at,
            actor="U0PLANTED1",
            detail={**planted, **detail},
        ),
        "",
    )


HISTORY = History(
    requests=[
        [
            event("request:created", 0, reason="for Ada Lovelace"),
            event("atlas:cancel_answered", 1.25, status=404, code="RESTORE_JOB_NOT_FOUND"),
            event("request:refused", 1.5, code="ada@acme.example"),
        ]
    ],
    downloads=[
        {
            "project": "acme-prod",
            "downloads": 3,
            "by": {"ada@acme.example": 2, "not known": 1},
            "seconds_to_announcement_median": 14.5,
        }
    ],
)


def test_report_has_roles_codes_errors_figures_and_the_shape_of_the_settings(
    settings: Settings,
) -> None:
    refused = CheckResult("atlas_project", "acme-prod").problem(f"{KeyRefused()} (acme)", "")
    roles = CheckResult("atlas_roles", "roles").warning("more than needed: GROUP_OWNER (acme)", "")
    channel = CheckResult("channel", "BOT_WATCH_CHANNEL, audit_channel: C0ACME").problem(
        "the channel does not exist (channel_not_found)", ""
    )
    group = CheckResult("group", "escalate_to").problem("it does not exist (no_such_subteam)", "")
    webhook = CheckResult("audit_webhook", "BOT_AUDIT_WEBHOOK_URL").problem(
        "none (ConnectError)", ""
    )
    results = [roles, roles, refused, channel, group, webhook]
    lines = [*report_lines(results, settings, HISTORY)]

    assert lines[0] == READ_FIRST
    assert "  Slack: Socket Mode; Atlas v2; sqlite" in lines
    assert (
        "  project: API key, approvals 2, approvers people 2, groups 1, approvers_named "
        "true, require_reason true, watch_channel set, quarantine observe, "
        "quarantine_expected 1 of them"
    ) in lines
    assert "  atlas_roles warning GROUP_OWNER, 2 ×" in lines
    assert "  atlas_project problem KeyRefused, 1 ×" in lines
    assert "  channel problem BOT_WATCH_CHANNEL audit_channel channel_not_found, 1 ×" in lines
    assert "  group problem escalate_to no_such_subteam, 1 ×" in lines
    assert "  audit_webhook problem BOT_AUDIT_WEBHOOK_URL ConnectError, 1 ×" in lines
    assert "  downloads 3, seconds_to_announcement_median 14.5, starter_known 2" in lines
    assert lines[-1] == (
        "  request:created 0.0 · atlas:cancel_answered 1.2 404 RESTORE_JOB_NOT_FOUND · "
        "request:refused 1.5"
    )


def test_report_has_the_events_of_damaged_rows_without_their_values(settings: Settings) -> None:
    whole = event("request:created", 0)
    late = replace(event("request:cancelled", 2), at="acme", detail="[1]")
    history = History(requests=[[whole, late], [late, whole]], damage="TypeError")
    lines = [*report_lines([], settings, history)]

    assert lines[-2] == "  request:created 0.0 · request:cancelled nan"
    assert lines[-1] == "  request:cancelled nan · request:created nan"
    assert "A row of the database is damaged (TypeError): see `audit verify`." in lines


def test_report_has_no_text_of_the_installation(settings: Settings) -> None:
    subjects = [CheckResult("group", planted, planted) for planted in PLANTED]
    results = [
        made(f"it is {planted}, in {planted}", planted)
        for subject, planted in zip(subjects, PLANTED, strict=True)
        for made in (subject.problem, subject.warning, subject.unchecked)
    ]
    results += [subject.ok(f"it is {subject.subject}") for subject in subjects]
    text = "\n".join(report_lines(results, settings, HISTORY))

    assert len(results) == 4 * len(PLANTED)
    assert [planted for planted in PLANTED if planted in text] == []
    assert "PLANTED" not in text
    assert "acme" not in text
