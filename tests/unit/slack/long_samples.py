"""Views, lists and jobs with the longest texts, for Slack's limits."""

from dataclasses import replace
from typing import Any

from bot.atlas import JobRef
from bot.cancellation.policy import Policies
from bot.services.projects import Project
from bot.services.search_results import CancellableJob, ClusterRef, Search, UnreadCluster
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.metadata import PickerState
from bot.slack.picker import views as picker_views
from tests.support.domain import JOB_ID, PROJECT_ID, a_job
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack import samples
from tests.unit.slack.samples import HOSTILE

LONG = "x" * 64
REF = JobRef(PROJECT_ID, LONG, JOB_ID)


def project(number: int = 0, name: str = HOSTILE * 3) -> Project:
    return Project(id=f"{number:024x}", name=name, policies=Policies(), atlas=FakeAtlas())


def found(number: int) -> CancellableJob:
    place = ClusterRef(project=project(), cluster=LONG)
    return CancellableJob(place=place, job=a_job(id=f"{number:024x}", deliveryUrl=["https://x"]))


def unseen(number: int) -> UnreadCluster:
    return UnreadCluster(
        project=HOSTILE, cluster=f"{LONG[:60]}{number:04}", reason=f"{HOSTILE} {number % 12}"
    )


FULL = Search(
    jobs=[found(number) for number in range(90)],
    unavailable=[unseen(number) for number in range(400)],
)
SELECTED = PickerState(project_id=PROJECT_ID, cluster=LONG, job_id=JOB_ID, asked_in="C0OPS")


def views() -> dict[str, dict[str, Any]]:
    many = [project(number) for number in range(250)]
    details = samples.views()["details_longest"]
    places = [ClusterRef(project=each, cluster=LONG) for each in many]
    result = Search(searched=places, unavailable=[*FULL.unavailable])
    return {
        "loading": picker_views.loading(),
        "nothing selected": picker_views.view(PickerState(asked_in="C0OPS"), many, HOSTILE),
        "one project": picker_views.view(
            PickerState(project_id=PROJECT_ID, asked_in="C0OPS"), many[:1], "x" * 9000
        ),
        "all selected": picker_views.view(SELECTED, many, "note"),
        "with details": picker_views.with_details(details, SELECTED, many),
        "with an error": picker_views.with_details(
            samples.views()["error_longest"], SELECTED, many
        ),
        "with a refusal": picker_views.with_details(dialog_views.refused("no"), SELECTED, many),
        "searching": dialog_views.searching(JOB_ID, LONG),
        "not found": dialog_views.not_found(samples.SEARCH, result),
        "not found in one": dialog_views.not_found(replace(samples.SEARCH, cluster=LONG), Search()),
    }
