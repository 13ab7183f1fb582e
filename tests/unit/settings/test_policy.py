"""Policies that cannot work are errors, and risky ones are warnings."""

import pytest

from bot.settings import starter_warnings
from tests.support.settings import PROJECT, load, problems

AUTO_CANCEL = {"BOT_CHANNEL": "C1", "BOT_APPROVERS": "U1", "BOT_AUTO_CANCEL_AFTER": "60"}


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"BOT_CHANNEL": ""}, ["BOT_AUTO_CANCEL_AFTER needs", "channel"]),
        ({"BOT_APPROVERS": ""}, ["BOT_AUTO_CANCEL_AFTER needs BOT_APPROVERS"]),
        ({"BOT_APPROVERS": "*"}, ["BOT_AUTO_CANCEL_AFTER needs BOT_APPROVERS", "not *"]),
        ({"BOT_APPROVERS": "*,U1"}, ["BOT_AUTO_CANCEL_AFTER needs BOT_APPROVERS", "not *"]),
        ({"BOT_READ_ONLY": "true"}, ["BOT_AUTO_CANCEL_AFTER and BOT_READ_ONLY"]),
    ],
)
def test_auto_cancel_that_cannot_work_is_a_problem(
    changes: dict[str, str], parts: list[str]
) -> None:
    (sentence,) = problems(**AUTO_CANCEL | changes)

    assert all(part in sentence for part in parts)


def test_named_requesters_are_named_approvers_of_auto_cancel() -> None:
    settings = load(**AUTO_CANCEL | {"BOT_APPROVERS": "", "BOT_REQUESTERS": "S1"})

    assert settings.projects[0].policies.default.auto_cancels


@pytest.mark.parametrize(
    ("after", "interval", "warnings"),
    [
        ("60", "60", []),
        ("61", "60", ["leave less than 30 s"]),
        ("119", "1", []),
        ("120", "1", ["leave less than 30 s"]),
        ("30", "60", []),
        ("29", "60", ["below 30 s"]),
        ("29", "100", ["leave less than 30 s", "below 30 s"]),
        (str(10**12), "3600", ["leave less than 30 s"]),
    ],
)
def test_auto_cancel_that_acts_too_late_or_too_early_is_a_warning(
    after: str, interval: str, warnings: list[str]
) -> None:
    settings = load(
        **AUTO_CANCEL | {"BOT_AUTO_CANCEL_AFTER": after, "BOT_WATCH_INTERVAL": interval}
    )

    assert len(settings.risks) == len(warnings)
    for sentence, part in zip(settings.risks, warnings, strict=True):
        assert part in sentence
        assert "BOT_AUTO_CANCEL_AFTER" in sentence
        assert " -" not in sentence


@pytest.mark.parametrize(
    ("approvals", "people", "is_enough"),
    [
        ("1", {"BOT_APPROVERS": "U1"}, True),
        ("2", {"BOT_APPROVERS": "U1"}, False),
        ("2", {"BOT_APPROVERS": "U1,U2"}, True),
        ("2", {"BOT_APPROVERS": "U1,S1"}, True),
        ("5", {"BOT_APPROVERS": "*"}, True),
        ("1", {"BOT_REQUESTERS": "U1", "BOT_APPROVERS": "U1"}, False),
        ("1", {"BOT_REQUESTERS": "U1"}, False),
        ("1", {"BOT_REQUESTERS": "U1,U2"}, True),
        ("2", {"BOT_REQUESTERS": "U1,U2"}, False),
        ("1", {"BOT_REQUESTERS": "S1", "BOT_APPROVERS": "U1"}, True),
        ("1", {"BOT_REQUESTERS": "U1", "BOT_BREAK_GLASS": "U9", "BOT_APPROVERS": "U1"}, True),
    ],
)
def test_too_few_approvers_that_are_all_listed_by_id_are_a_problem(
    approvals: str, people: dict[str, str], *, is_enough: bool
) -> None:
    if is_enough:
        assert load(BOT_APPROVALS=approvals, **people).warnings == ()
    else:
        (sentence,) = problems(BOT_APPROVALS=approvals, **people)
        assert f"BOT_APPROVALS is {approvals}, but BOT_APPROVERS lists only" in sentence


# Warnings of the start, from what it finds beside the settings


def test_starter_who_may_let_their_own_download_run_is_a_warning() -> None:
    (sentence,) = starter_warnings(load(**AUTO_CANCEL).projects)

    assert "users:read.email" in sentence
    assert PROJECT in sentence


def test_starters_are_not_compared_without_auto_cancel() -> None:
    assert [*starter_warnings(load().projects)] == []
