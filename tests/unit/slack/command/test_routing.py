"""Routing of parsed commands."""

import pytest

from bot.cancellation.policy import Policies
from bot.services.projects import Project, Projects
from bot.slack.command.handlers import route
from bot.slack.dialog.flow import SearchQuery
from bot.slack.dialog.metadata import JobTarget
from bot.slack.grammar import parse
from bot.slack.picker.handlers import PickerQuery
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.fake_atlas import FakeAtlas

PROJECTS = Projects(
    Project(id=each, name=name, policies=Policies(), atlas=FakeAtlas())
    for each, name in ((PROJECT_ID, "shop-prod"), ("1" * 24, "shop dev"))
)


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        (f"prod-eu {JOB_ID}", SearchQuery),
        (f"shop-prod prod-eu {JOB_ID}", JobTarget),
        (f"shop dev/prod-eu {JOB_ID}", JobTarget),
        (f"{PROJECT_ID} prod-eu {JOB_ID}", JobTarget),
        (JOB_ID, SearchQuery),
        ("", PickerQuery),
        ("prod-eu", PickerQuery),
        ("shop-prod/prod-eu", PickerQuery),
        ("shop dev", PickerQuery),
        ("no such thing here", str),
    ],
)
def test_command_is_routed_among_several_projects(typed: str, kind: type) -> None:
    assert isinstance(route(parse(typed), "C0OPS", PROJECTS, typed), kind)
