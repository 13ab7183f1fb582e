"""Lists, pickers, search and Home tab: valid at their longest, harmless at their nastiest."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.atlas import JobRef
from bot.cancellation.lifecycle import State
from bot.cancellation.policy import Policy
from bot.cancellation.projects import Project
from bot.sandbox.slack.blocks import problems
from bot.sandbox.slack.view_rules import checked_view
from bot.services.search_results import CancellableJob, ClusterRef, Listing, Search, Unavailable
from bot.slack import ids
from bot.slack.command.grammar import job_value
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import read_state
from bot.slack.home import views as home_views
from bot.slack.lists import views as list_views
from bot.slack.picker import views as picker_views
from bot.slack.picker.state import (
    DETAILS_NOT_SHOWN,
    NO_JOB_SELECTED,
    PickerState,
    read_picker,
    submit_problem,
    with_selection,
)
from tests.support.domain import JOB_ID, NOON, PROJECT_ID, a_job, a_waiting_request
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import LINKS
from tests.unit.slack.samples import NASTY

LONG = "x" * 64
REF = JobRef(PROJECT_ID, LONG, JOB_ID)


def project(number: int = 0, name: str = NASTY * 3) -> Project:
    return Project(id=f"{number:024x}", name=name, policy=Policy(), atlas=FakeAtlas())


def found(number: int) -> CancellableJob:
    place = ClusterRef(project=project(), cluster=LONG)
    return CancellableJob(place=place, job=a_job(id=f"{number:024x}", deliveryUrl=["https://x"]))


def unseen(number: int) -> Unavailable:
    return Unavailable(
        project=NASTY, cluster=f"{LONG[:60]}{number:04}", reason=f"{NASTY} {number % 12}"
    )


FULL = Listing(
    jobs=tuple(found(number) for number in range(90)),
    unavailable=tuple(unseen(number) for number in range(400)),
)
CHOSEN = PickerState(project_id=PROJECT_ID, cluster=LONG, job_id=JOB_ID, asked_in="C0OPS")


def views() -> dict[str, dict[str, Any]]:
    many = [project(number) for number in range(250)]
    details = samples.views()["details_longest"]
    places = [ClusterRef(project=each, cluster=LONG) for each in many]
    result = Search(pending=places, searched=3, unavailable=[*FULL.unavailable])
    return {
        "loading": picker_views.loading(),
        "nothing picked": picker_views.view(PickerState(asked_in="C0OPS"), many, None, NASTY),
        "one project": picker_views.view(
            PickerState(project_id=PROJECT_ID, asked_in="C0OPS"), many[:1], Policy(), "x" * 9000
        ),
        "all picked": picker_views.view(CHOSEN, many, Policy(require_reason=True), "note"),
        "around details": picker_views.with_details(details, CHOSEN, many, Policy()),
        "around trouble": picker_views.with_details(
            samples.views()["error_longest"], CHOSEN, many, None
        ),
        "around refusal": picker_views.with_details(dialog_views.refused("no"), CHOSEN, many, None),
        "searching": dialog_views.searching(JOB_ID, [each.name for each in many], None),
        "counted": dialog_views.search_scope(JOB_ID, places),
        "nowhere": dialog_views.not_found(JOB_ID, places, result, None),
        "nowhere in one": dialog_views.not_found(JOB_ID, [], Search(), LONG),
    }


@pytest.mark.parametrize("name", sorted(views()))
def test_slack_takes_every_view(name: str) -> None:
    view = views()[name]

    assert checked_view(view) == view


@pytest.mark.parametrize("start", [0, 20, 80])
def test_slack_takes_every_page_of_the_longest_list(start: int) -> None:
    message = list_views.job_list(FULL, LONG, start)

    assert problems(message["blocks"], "message") == []
    assert len(message["text"]) < 4000


def test_slack_takes_the_longest_history() -> None:
    past = [samples.past_of(samples.longest(state)) for state in State] * 5
    message = list_views.history(past, {PROJECT_ID: NASTY * 9}, LINKS)

    assert problems(message["blocks"], "message") == []


@pytest.mark.parametrize(
    ("many", "says"), [(1, "*The last request*"), (2, "*The last 2 requests*")]
)
def test_the_history_counts_as_people_do(many: int, says: str) -> None:
    past = [samples.past_of(samples.longest(State.CANCELLED))] * many

    assert list_views.history(past, {}, LINKS)["text"] == says


def test_slack_takes_the_fullest_home_tab() -> None:
    requests = [samples.longest(State.AWAITING)] * 40
    past = [samples.past_of(request) for request in requests[:5]]
    view = home_views.view(
        home_views.jobs(FULL, NOON),
        home_views.waiting(requests, LINKS),
        home_views.past(past, {}, LINKS),
    )

    assert checked_view(view, "home") == view


@pytest.mark.parametrize("name", ["searching", "counted", "nowhere"])
def test_names_of_other_peoples_making_are_harmless(name: str) -> None:
    said = json.dumps(views()[name]["blocks"])

    assert "&lt;!channel&gt;" in said
    assert "<!channel>" not in said
    assert "<https://evil" not in said


def test_what_is_not_seen_is_named_by_reason_and_never_without_end() -> None:
    (block,) = list_views.unavailable_blocks(FULL.unavailable)
    few = list_views.unavailable_lines([unseen(1), unseen(13)])

    assert len(block["text"]["text"]) <= 3000
    assert len(few) == 1
    assert few[0].count("`") == 4


def test_every_options_text_fits_with_the_longest_names() -> None:
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


@pytest.mark.parametrize(
    ("job", "label", "age"),
    [
        (
            a_job(),
            "snapshot 25 Nov 09:00 UTC, 3 h old · no link yet · …e03f",
            "",
        ),
        (
            a_job(deliveryUrl=["https://x"], expiresAt="2026-11-25T12:40:00Z"),
            "snapshot 25 Nov 09:00 UTC, 3 h old · link live · …e03f",
            "link live for 20 min",
        ),
        (
            a_job(
                id=f"{int((NOON - timedelta(minutes=7)).timestamp()):08x}{'0' * 16}",
                timestamp="2025-01-02T03:04:00Z",
            ),
            "snapshot 2 Jan 2025 03:04 UTC, 692 days old · no link yet · …0000",
            "started 7 min ago",
        ),
        (a_job(timestamp=None), "snapshot of unknown time · no link yet · …e03f", ""),
    ],
)
def test_a_job_is_called_so_that_a_person_knows_it(job: Any, label: str, age: str) -> None:
    assert picker_views.label(job, NOON) == label
    assert picker_views.age(job, NOON) == age


def test_an_id_that_cannot_be_a_time_is_taken_for_none() -> None:
    future = a_job(id=f"{int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()):08x}{'0' * 16}")

    assert picker_views.started(future, NOON) is None


def test_clusters_that_begin_with_what_was_typed_come_first() -> None:
    assert picker_views.matching(["a-prod", "prod-a", "x"], "PROD") == ["prod-a", "a-prod"]


def shown(choice: PickerState, **selected: str) -> dict[str, Any]:
    """A dialog with a job's details and what is picked in its selects."""
    details = samples.views()["details"]
    view = picker_views.with_details(details, choice, [project(), project(1)], Policy())
    values = {
        block: {block: {"selected_option": {"value": value}}} for block, value in selected.items()
    }
    return {**view, "state": {"values": values}}


def chosen() -> PickerState:
    ref = read_state(samples.views()["details"]).target.ref
    return PickerState(
        project_id=ref.project_id, cluster=ref.cluster_name, job_id=ref.job_id, asked_in="C0OPS"
    )


def test_a_job_with_its_details_on_show_may_be_submitted() -> None:
    choice = chosen()
    assert choice.ref

    assert (
        submit_problem(shown(choice, job=job_value(choice.ref), cluster=choice.cluster or ""))
        is None
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
def test_whatever_is_not_both_picked_and_on_show_may_not(
    selected: dict[str, str], why: str
) -> None:
    choice = chosen()
    assert choice.ref
    picked = {name: value.replace("OK", job_value(choice.ref)) for name, value in selected.items()}

    assert submit_problem(shown(choice, **picked)) == (ids.JOB, why)


def test_without_a_job_to_pick_the_first_input_is_named() -> None:
    view = picker_views.view(PickerState(asked_in="C0OPS"), [project(), project(1)], None, "note")

    assert submit_problem(view) == (ids.PROJECT, NO_JOB_SELECTED)


def test_a_pick_forgets_what_hung_on_the_one_before() -> None:
    choice = chosen()
    cluster = with_selection(choice, ids.CLUSTER, "other")
    other = with_selection(choice, ids.PROJECT, "1" * 24)
    nothing = with_selection(choice, ids.JOB, "-")

    assert (cluster.cluster, cluster.job_id) == ("other", None)
    assert (other.project_id, other.cluster, other.job_id) == ("1" * 24, None, None)
    assert (nothing.cluster, nothing.job_id) == (choice.cluster, None)


def test_what_slack_never_sends_does_not_make_a_dialog_that_slack_refuses() -> None:
    """Metadata may have 3,000 characters, and a signed payload whatever somebody bent it to."""
    long = "a" * 4000
    bent = {"picker": True, "cluster": long, "label": long, "asked_in": "C0OPS"}
    read = read_picker({"private_metadata": json.dumps(bent)})

    assert read
    assert (read.cluster, read.label) == (None, None)
    assert with_selection(CHOSEN, ids.CLUSTER, long).cluster is None
    assert with_selection(CHOSEN, ids.JOB, long).job_id is None
    assert CHOSEN.ref
    picked = with_selection(CHOSEN, ids.JOB, job_value(CHOSEN.ref), long)
    assert picked.label == "a" * 74 + "…"


def test_the_choice_is_read_back_from_the_dialog() -> None:
    view = picker_views.view(CHOSEN, [project()], None, "note")

    assert read_picker(view) == CHOSEN
    assert read_picker(samples.views()["details"]) is None
    assert read_picker({"private_metadata": "garbage"}) is None


def test_the_home_tab_has_the_buttons_of_a_card() -> None:
    (said, buttons, *_) = home_views.waiting([a_waiting_request()], LINKS)

    assert said["type"] == "section"
    assert [button["action_id"] for button in buttons["elements"]] == [ids.APPROVE, ids.DENY]
