"""The dialog for each job of the example world: its details, and whether it has a submit."""

from pathlib import Path

import pytest

from bot.sandbox.slack import CannotDo
from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment, open_environment

AUTOMATED = "Atlas cancels downloads only, and this is an automated restore to a cluster."
POINT_IN_TIME = "Atlas cancels downloads only, and this is a point-in-time restore to a cluster."

#: Cluster and job, the type in words, the state in words, and why it cannot be cancelled.
REFUSED = [
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80103", "automated", "The job is running.", AUTOMATED),
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80104", "automated", "The job has finished.", AUTOMATED),
    (
        "prod-eu",
        "65f0a1c2d3e4f5a6b7c80105",
        "download",
        "The job is cancelled.",
        "There is nothing left to cancel: the job is cancelled.",
    ),
    ("prod-us", "65f0a1c2d3e4f5a6b7c80202", "point-in-time", "running", POINT_IN_TIME),
    (
        "prod-us",
        "65f0a1c2d3e4f5a6b7c80203",
        "download",
        "The download link has expired.",
        "There is nothing left to cancel: the download link has expired.",
    ),
    (
        "prod-us",
        "65f0a1c2d3e4f5a6b7c80204",
        "download",
        "The job has failed.",
        "There is nothing left to cancel: the job has failed.",
    ),
]


@pytest.mark.parametrize("version", ["v2", "v1.0"])
async def test_dialog_shows_why_a_job_cannot_be_cancelled(tmp_path: Path, version: str) -> None:
    async with open_environment(tmp_path, {"MONGODB_ATLAS_API_VERSION": version}) as env:
        for cluster, job, kind, state, why in REFUSED:
            view = await env.open_dialog((cluster, job))
            shown = env.slack.state.text_of(view)

            assert all(part in shown for part in (cluster, job, kind, state))
            assert why in shown.splitlines()
            assert not view["submit"]
            with pytest.raises(CannotDo):
                await env.slack.people.submits("rina", view)

        assert env.atlas.deletes() == []
        assert env.slack.state.messages("ops") == []


@pytest.mark.parametrize(
    ("cluster", "job"),
    [
        RUNNING,
        LIVE,
        ("prod-us", "65f0a1c2d3e4f5a6b7c80201"),
        ("staging-eu", "65f0a1c2d3e4f5a6b7c80301"),
        ("orders-sharded", "65f0a1c2d3e4f5a6b7c80401"),
        ("orders-sharded", "65f0a1c2d3e4f5a6b7c80403"),
    ],
)
async def test_download_is_cancelled_for_each_cluster_and_link_state(
    env: BotEnvironment, cluster: str, job: str
) -> None:
    live = env.atlas.world.job(job).state == "live"
    view = await env.open_dialog((cluster, job))
    shown = env.slack.state.text_of(view)

    assert shown.count("live since") == live
    assert "live until" not in shown
    assert ("the backup may have been fetched already" in shown) is live
    assert ("2, one for each shard" in shown) is (cluster == "orders-sharded")

    await env.slack.people.submits("rina", view, {"reason": ""})
    ending = await env.wait_for_outcome(job)
    assert ending.state == "cancelled"
    assert env.atlas.world.job(job).state == "cancelled"
    assert ("link had been live" in ending.reply) is live
