"""Routing of parsed commands."""

from dataclasses import replace

import pytest

from bot.atlas import JobRef
from bot.cancellation.policy import Policies
from bot.services.projects import Project, Projects
from bot.slack.command import route
from bot.slack.dialog.state import DialogState
from bot.slack.grammar import parse
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.fake_atlas import FakeAtlas

PROJECTS = Projects(
    Project(id=each, name=name, policies=Policies(), atlas=FakeAtlas())
    for each, name in ((PROJECT_ID, "shop-prod"), ("1" * 24, "shop dev"))
)


IN_OPS = DialogState(asked_in="C0OPS")
JOB = IN_OPS.about(JobRef(PROJECT_ID, "prod-eu", JOB_ID))
DEV = JOB.about(JobRef("1" * 24, "prod-eu", JOB_ID))
PICKERS = replace(IN_OPS, has_pickers=True)


@pytest.mark.parametrize(
    ("typed", "state"),
    [
        (f"prod-eu {JOB_ID}", replace(IN_OPS, cluster="prod-eu", job_id=JOB_ID)),
        (f"shop-prod prod-eu {JOB_ID}", JOB),
        (f"shop dev/prod-eu {JOB_ID}", DEV),
        (f"{PROJECT_ID} prod-eu {JOB_ID}", JOB),
        (JOB_ID, replace(IN_OPS, job_id=JOB_ID)),
        ("", PICKERS),
        ("prod-eu", replace(PICKERS, cluster="prod-eu")),
        ("shop-prod/prod-eu", replace(PICKERS, project_id=PROJECT_ID, cluster="prod-eu")),
    ],
)
def test_command_is_routed_among_several_projects(typed: str, state: DialogState) -> None:
    assert route(parse(typed), "C0OPS", PROJECTS) == state


def test_text_that_is_no_command_is_answered() -> None:
    assert isinstance(route(parse("no such thing"), "C0OPS", PROJECTS), str)
