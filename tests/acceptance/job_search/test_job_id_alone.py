"""A job's id alone: the cluster is found with few calls, within the rate-limit reserve."""

from pathlib import Path

from tests.acceptance.environment import open_environment
from tests.acceptance.job_search.worlds import (
    backup_calls,
    job_in,
    long_name,
    slow,
    view_with,
    with_clusters,
)


async def test_job_search_makes_one_call_per_cluster(tmp_path: Path) -> None:
    async with open_environment(tmp_path, before=with_clusters(60, [59])) as env:
        env.atlas.faults.add(slow(0.02))
        before = len(env.atlas.calls)
        await env.send_command("rina", job_in(env, 59))
        details = await view_with(env, "Download link")
        calls = backup_calls(env.atlas.calls[before:])

        assert long_name(59) in env.slack.state.text_of(details)
        assert details["submit"]["text"] == "Cancel the job"
        assert len(calls) <= 61
