"""Routing of messages by the URL or the id in them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.atlas import JobRef
from bot.cancellation.policy import Policies
from bot.services.projects import Project, Projects
from bot.slack.command import no_job_in_message, route_message
from bot.slack.dialog.state import DialogState
from tests.support.domain import JOB_ID, PROJECT_ID
from tests.support.fake_atlas import FakeAtlas

PROJECTS = Projects(
    Project(id=each, name=name, policies=Policies(), atlas=FakeAtlas())
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
def test_url_in_a_message_routes_to_its_job(message: dict[str, Any]) -> None:
    found = read(message)

    assert isinstance(found, DialogState)
    assert found.ref == JobRef(PROJECT_ID, "prod-eu", JOB_ID)


def test_id_without_url_routes_to_a_search() -> None:
    found = read({"text": f"cancel *shop-prod/prod-eu* `{JOB_ID}`, project {PROJECT_ID}"})

    assert isinstance(found, DialogState)
    assert (found.job_id, found.cluster) == (JOB_ID, None)


def test_project_id_is_not_taken_for_a_job_id() -> None:
    assert read({"text": f"project {PROJECT_ID}"}) == no_job_in_message()


def test_url_without_a_job_is_ignored() -> None:
    found = read({"text": f"<https://example.com/{'a' * 24}> {JOB_ID}"})

    assert isinstance(found, DialogState)
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
def test_malformed_message_does_not_raise(part: Any) -> None:
    assert read({"text": part, "blocks": part, "attachments": part}) is not None
