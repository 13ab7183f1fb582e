"""Downloads of each cluster and link state are cancelled, with what the dialog shows of each."""

import pytest

from tests.acceptance.environment import LIVE, RUNNING, BotEnvironment


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
