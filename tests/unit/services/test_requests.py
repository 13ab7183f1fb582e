"""What people ask for: the policy of the job's own cluster holds, and approved requests run."""

from dataclasses import replace

import pytest

from bot.cancellation.errors import UnknownProject
from bot.cancellation.policy import ClusterRule, Policies
from bot.cancellation.request import State
from bot.services.projects import Project, Projects
from bot.services.requests import RequestService
from tests.support.core import CoreEnvironment
from tests.support.domain import ADA, LINK, POLICY, PROJECT, REF, RINA, restore_job, submission

POLICIES = Policies(
    default=replace(POLICY, approvals=0), clusters=(ClusterRule(names=("prod-*",), approvals=1),)
)


@pytest.fixture
def started() -> list[str]:
    return []


@pytest.fixture
def service(env: CoreEnvironment, started: list[str]) -> RequestService:
    project = Project(id=PROJECT, name="shop", policies=POLICIES, gateway=env.atlas)
    return RequestService(
        env.requests,
        Projects([project]),
        started.append,
        lambda _project: True,
    )


@pytest.mark.parametrize(
    ("cluster", "state"), [("prod-eu", State.AWAITING), ("test-eu", State.APPROVED)]
)
async def test_submit_goes_by_the_policy_of_the_cluster_and_starts_what_is_approved(
    cluster: str, state: State, service: RequestService, started: list[str]
) -> None:
    asked = submission(ref=replace(REF, cluster_name=cluster))

    submitted = await service.submit(RINA, asked)

    assert submitted.request.state is state
    assert started == [submitted.request.id] * (state is State.APPROVED)


async def test_last_approval_starts_the_run(service: RequestService, started: list[str]) -> None:
    waiting = (await service.submit(RINA, submission())).request

    approved = await service.approve(waiting.id, ADA)

    assert approved.state is State.APPROVED
    assert started == [waiting.id]


async def test_project_that_the_settings_do_not_name_takes_no_request(
    service: RequestService, env: CoreEnvironment
) -> None:
    other = replace(REF, project_id="5b6212af90dc76637950a2ff")

    with pytest.raises(UnknownProject):
        await service.submit(RINA, submission(ref=other))


async def test_download_that_a_person_sees_first_is_reported_and_its_live_link_told(
    service: RequestService, env: CoreEnvironment
) -> None:
    await service.submit(RINA, submission(job=restore_job(**LINK)))

    changes = env.download_changes
    assert [(item.before is None, item.shows_link) for item in changes[:1]] == [(True, True)]
    assert not any(item.before is None or item.shows_link for item in changes[1:])
    assert await env.replies() == ["waits", "link_live"]
