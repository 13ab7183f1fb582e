"""Views, lists and jobs with the longest texts, for Slack's limits."""

from dataclasses import replace
from typing import Any

from bot.atlas import JobRef
from bot.cancellation.policy import Policies, Policy
from bot.services.job_search import CancellableJob, ClusterRef, Search, UnreadCluster
from bot.services.projects import Project
from bot.slack.dialog import job_details
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.state import DialogState, cluster_picker, job_picker, project_picker
from tests.support.clock import NOON
from tests.support.domain import JOB_ID, PROJECT_ID, a_job
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack import samples
from tests.unit.slack.fake_slack import LINKS
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
SELECTED = DialogState(asked_in="C0OPS", has_pickers=True).about(REF)


def views() -> dict[str, dict[str, Any]]:
    many = [project(number) for number in range(250)]
    refs = [replace(REF, job_id=f"{number:024x}") for number in range(120)]
    selects = [
        project_picker(many, many[0].id),
        cluster_picker([f"{LONG[:60]}{number:04}" for number in range(400)], LONG),
        job_picker([(ref, a_job(timestamp="2024-01-01T00:00:00Z")) for ref in refs], NOON),
    ]
    details = job_details.details(
        replace(samples.sight(**samples.LIVE), ref=REF, project_name=samples.LONG_NAME),
        Policy(approvals=5, approvers=samples.MANY),
        samples.ELSEWHERE,
        LINKS,
    )
    places = [ClusterRef(project=each, cluster=LONG) for each in many]
    result = Search(searched=places, unavailable=[*FULL.unavailable])
    named = replace(samples.SEARCH, cluster=LONG)
    return {
        "with details": dialog_views.view(SELECTED, details, selects, many),
        "with a note": dialog_views.view(SELECTED, dialog_views.note("x" * 9000), selects, many),
        "with an error": dialog_views.view(
            SELECTED, dialog_views.error(SELECTED, HOSTILE * 99), selects, many
        ),
        "searching": dialog_views.view(named, dialog_views.loading(named)),
        "not found": dialog_views.view(samples.SEARCH, dialog_views.not_found(named, result)),
        "not found in one": dialog_views.view(named, dialog_views.not_found(named, Search())),
    }
