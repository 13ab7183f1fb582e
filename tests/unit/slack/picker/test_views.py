"""The options of the pickers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.cancellation.policy import Policies, Policy
from bot.services.projects import Project
from bot.slack import ids
from bot.slack.dialog.metadata import PickerState
from bot.slack.picker import views as picker_views
from tests.support.clock import NOON
from tests.support.domain import JOB_ID, a_job
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack.long_samples import LONG, REF


def test_options_with_the_longest_names_are_within_slacks_limits() -> None:
    job = a_job(id=f"{int(NOON.timestamp()):08x}{'0' * 16}", timestamp="2024-01-01T00:00:00Z")
    options = picker_views.job_options([(REF, job)], "", NOON)
    clusters = picker_views.cluster_options(
        [f"{LONG[:60]}{number:04}" for number in range(400)], "X"
    )

    for option in [*options, *clusters]:
        assert 0 < len(option["text"]["text"]) <= 75
        assert 0 < len(option["value"]) <= 150
        assert len(option.get("description", {}).get("text", "")) <= 75
    assert JOB_ID in options[0]["value"]
    assert len(clusters) == 100


OLD = "5b622f7087d9d6039fafe03f"  #: a job of 2018


@pytest.mark.parametrize(
    ("job", "label", "age"),
    [
        (a_job(), "snapshot 25 Nov 09:00 UTC, 3 h old · no link yet · …e03f", "started 0 min ago"),
        (
            a_job(deliveryUrl=["https://x"], expiresAt="2026-11-25T12:40:00Z"),
            "snapshot 25 Nov 09:00 UTC, 3 h old · link live · …e03f",
            "link live for 20 min",
        ),
        (
            a_job(deliveryUrl=[], expiresAt="2026-11-25T12:40:00Z"),
            "snapshot 25 Nov 09:00 UTC, 3 h old · link used · …e03f",
            "link went live 20 min ago",
        ),
        (
            a_job(
                id=f"{int((NOON - timedelta(minutes=7)).timestamp()):08x}{'0' * 16}",
                timestamp="2025-01-02T03:04:00Z",
            ),
            "snapshot 2 Jan 2025 03:04 UTC, 692 days old · no link yet · …0000",
            "started 7 min ago",
        ),
        (a_job(id=OLD, timestamp=None), "snapshot of unknown time · no link yet · …e03f", ""),
    ],
)
def test_job_option_has_label_and_age(job: Any, label: str, age: str) -> None:
    assert picker_views.label(job, NOON) == label
    assert picker_views.age(job, NOON) == age


def test_implausible_start_time_is_not_shown() -> None:
    future = a_job(id=f"{int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()):08x}{'0' * 16}")

    assert picker_views.age(future, NOON) == ""


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("PROD", ["prod-eu", "a-prod"]),
        ("PROD eu", ["prod-eu"]),
        ("  eu ", ["eu", "prod-eu"]),
        ("ｐｒｏｄ", ["prod-eu", "a-prod"]),
        ("\u202eprod", ["prod-eu", "a-prod"]),
        *((literal, []) for literal in ("*", '"; DROP', "<!channel>", "é\x00", "x" * 3000)),
    ],
)
def test_typed_text_is_literal_and_clusters_that_start_with_it_come_first(
    typed: str, found: list[str]
) -> None:
    options = picker_views.cluster_options(["a-prod", "prod-eu", "eu"], typed)

    assert [option["value"] for option in options] == found


@pytest.mark.parametrize(
    ("typed", "matches"),
    [
        ("value", False),
        ("emoji", False),
        ("true", False),
        ("plain_text", False),
        (REF.project_id, False),
        ("no LINK yet", True),
        ("·", True),
        ("…E03F", True),
        (JOB_ID, True),
        ("7 min ago", True),
        ("7 min ago tomorrow", False),
    ],
)
def test_job_matches_the_text_that_people_read_and_its_id(typed: str, *, matches: bool) -> None:
    job = a_job(id=f"{int((NOON - timedelta(minutes=7)).timestamp()):08x}{'0' * 12}e03f")

    assert bool(picker_views.job_options([(REF, job)], typed, NOON)) is matches


def test_at_most_a_hundred_jobs_are_offered() -> None:
    assert len(picker_views.job_options([(REF, a_job())] * 120, "", NOON)) == 100


def a_project(number: int, *, read_only: bool) -> Project:
    policy = Policy(read_only=read_only)
    return Project(
        id=f"{number:024x}", name=f"p{number}", policies=Policies(policy), atlas=FakeAtlas({})
    )


@pytest.mark.parametrize(
    ("read_only", "selected", "submit", "asks_reason"),
    [
        ((True,), 0, "Done", False),
        ((True, False), 0, "Done", False),
        ((True, False), 1, "Cancel the job", True),
        ((True, False), None, "Cancel the job", True),
        ((True, True), None, "Done", False),
    ],
)
def test_picker_of_a_read_only_project_is_only_closed(
    read_only: tuple[bool, ...], selected: int | None, submit: str, *, asks_reason: bool
) -> None:
    projects = [a_project(n, read_only=each) for n, each in enumerate(read_only)]
    chosen = None if selected is None else projects[selected].id
    state = PickerState(project_id=chosen, asked_in="C1")
    view = picker_views.view(state, projects, "Choose one.")

    assert view["submit"]["text"] == submit
    assert (ids.REASON in str(view["blocks"])) is asks_reason
