"""A job's id alone: the cluster is found with few calls, within the rate-limit reserve."""

from pathlib import Path

import pytest

from tests.acceptance.environment import RUNNING, open_environment
from tests.acceptance.job_search.worlds import (
    NOWHERE,
    backup_calls,
    job_in,
    long_name,
    open_two_projects,
    slow,
    view_with,
    with_clusters,
)


@pytest.mark.parametrize("count", [1, 60])
async def test_job_search_makes_one_call_per_cluster(tmp_path: Path, count: int) -> None:
    async with open_environment(tmp_path, before=with_clusters(count, [count - 1])) as env:
        env.atlas.faults.add(slow(0.02))
        before = len(env.atlas.calls)
        await env.send_command("rina", job_in(env, count - 1))
        details = await view_with(env, "Download link")
        calls = backup_calls(env.atlas.calls[before:])

        assert long_name(count - 1) in env.slack.state.text_of(details)
        assert details["submit"]["text"] == "Cancel the job"
        assert len(calls) <= count + 1
        assert env.slack.complaints == []


async def test_dialog_names_what_was_searched(tmp_path: Path) -> None:
    async with open_environment(tmp_path, before=with_clusters(60)) as env:
        await env.send_command("rina", NOWHERE)
        found = await view_with(env, "was not found")

        assert "in 60 clusters of shop-prod" in env.slack.state.text_of(found)
        assert found["submit"] is None


async def test_project_of_a_cluster_is_found_among_several(tmp_path: Path) -> None:
    async with open_two_projects(tmp_path) as env:
        before = len(env.atlas.calls)
        await env.send_command("rina", " ".join(RUNNING))
        details = env.slack.state.text_of(await view_with(env, "Download link"))
        asked = {call.path for call in backup_calls(env.atlas.calls[before:])}

        assert "shop-prod" in details
        assert len(asked) <= 2
