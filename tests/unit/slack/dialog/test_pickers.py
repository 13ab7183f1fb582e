"""The pickers: their options, and the submit button below them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.cancellation.policy import Policies, Policy
from bot.services.projects import Project
from bot.slack import ids
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.state import (
    DialogState,
    cluster_picker,
    job_age,
    job_label,
    project_picker,
    read_state,
)
from tests.support.clock import NOON
from tests.support.domain import a_job
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack.samples import JOB


def test_four_hundred_clusters_are_offered_in_groups_with_the_selected_one() -> None:
    picker = cluster_picker([f"c{number:03}" for number in range(400)], "gone")
    groups = [group["options"] for group in picker["element"]["option_groups"]]

    assert [len(group) for group in groups] == [100, 100, 100, 100, 1]
    assert picker["element"]["initial_option"]["value"] == "gone"
    assert groups[4][0]["value"] == "gone"


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
    assert job_label(JOB.observe(NOON, job), job, NOON) == label
    assert job_age(JOB.observe(NOON, job), job, NOON) == age


def test_implausible_start_time_is_not_shown() -> None:
    future = a_job(id=f"{int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()):08x}{'0' * 16}")

    assert job_age(JOB, future, NOON) == ""


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
    state = DialogState(project_id=chosen, asked_in="C1", has_pickers=True)
    select = project_picker(projects, chosen)
    offered = [each for each in projects if chosen in {None, each.id}]
    view = dialog_views.view(state, dialog_views.note("Choose one."), [select], offered)

    assert view["submit"]["text"] == submit
    assert (ids.REASON in str(view["blocks"])) is asks_reason
    assert read_state(view).only_closes is not asks_reason
