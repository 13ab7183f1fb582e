"""What a message names, wherever in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cancellation.policy import Policy
from bot.cancellation.projects import Project, Projects
from bot.slack.command.grammar import parse
from bot.slack.dialog.flow import SearchQuery
from bot.slack.dialog.metadata import JobTarget
from bot.slack.picker.flow import PickerQuery
from bot.slack.routing import route
from bot.slack.shortcut.handlers import NO_JOB_IN_MESSAGE, route_message
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.fake_atlas import FakeAtlas

PROJECTS = Projects(
    Project(id=each, name=name, policy=Policy(), atlas=FakeAtlas())
    for each, name in ((PROJECT_ID, "shop-prod"), ("1" * 24, "shop dev"))
)
API = f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT_ID}/clusters/prod-eu"
URL = f"{API}/backup/restoreJobs/{JOB_ID}"


def read(message: dict[str, Any]) -> Any:
    return route_message(message, "C0OPS", PROJECTS)


@pytest.mark.parametrize(
    "message",
    [
        {"text": URL},
        {"text": f"<{URL}|look here>"},
        {"text": f"the job ({URL})."},
        {"text": f"{'f' * 24} <{URL}>"},
        {"text": f"<{API}> and {JOB_ID}"},
        {"text": "", "attachments": [{"title": "Alert", "title_link": URL}]},
        {
            "blocks": [
                {
                    "type": "rich_text",
                    "elements": [
                        {"type": "rich_text_section", "elements": [{"type": "link", "url": URL}]}
                    ],
                }
            ]
        },
        {"blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": f"*<{URL}>*"}]}]},
    ],
)
def test_an_address_leads_to_its_job(message: dict[str, Any]) -> None:
    found = read(message)

    assert isinstance(found, JobTarget)
    assert (found.ref.project_id, found.ref.cluster_name, found.ref.job_id) == (
        PROJECT_ID,
        "prod-eu",
        JOB_ID,
    )


def test_without_an_address_the_words_are_hints_for_a_search() -> None:
    found = read({"text": f"cancel *shop-prod/prod-eu* `{JOB_ID}`, project {PROJECT_ID}"})

    assert isinstance(found, SearchQuery)
    assert found.job_id == JOB_ID
    assert {"shop-prod", "prod-eu"} <= set(found.hints)


def test_a_projects_id_is_no_jobs_id() -> None:
    assert read({"text": f"project {PROJECT_ID}"}) == NO_JOB_IN_MESSAGE


def test_an_address_of_something_else_is_passed_over() -> None:
    found = read({"text": f"<https://example.com/{'a' * 24}> {JOB_ID}"})

    assert isinstance(found, SearchQuery)
    assert found.job_id == JOB_ID


@given(
    st.recursive(
        st.text() | st.none() | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["text", "blocks", "elements", "url", "attachments"]), inner
            )
        ),
        max_leaves=20,
    )
)
def test_no_message_breaks_the_reading(part: Any) -> None:
    assert read({"text": part, "blocks": part, "attachments": part}) is not None


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
def test_what_is_typed_leads_there_with_several_projects(typed: str, kind: type) -> None:
    assert isinstance(route(parse(typed), "C0OPS", PROJECTS, typed), kind)
