"""What the sources of Atlas leave open: a job is cancelled under each alternative."""

from pathlib import Path
from typing import Any

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import LIVE, BotEnvironment, open_environment

CLUSTER, JOB = LIVE

#: Envelopes have more alternatives: see test_one_cancellation.py.
ALTERNATIVES: dict[str, dict[str, Any]] = {
    "a 401 with a code": {"auth_error_code": True},
    "digests with SHA-256": {"algorithm": "SHA-256"},
    "counts of a nonce must rise": {"nc_must_rise": True},
    "a cancelled job keeps its link": {"cancelled_keeps_link": True},
    "flex clusters among the others": {"flex_in_cluster_list": True},
}


@pytest.mark.parametrize("behaviour", ALTERNATIVES.values(), ids=ALTERNATIVES)
async def test_job_is_cancelled_under_each_alternative(
    tmp_path: Path, behaviour: dict[str, Any]
) -> None:
    def change(_slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
        for name, value in behaviour.items():
            setattr(atlas.behaviour, name, value)

    async with open_environment(tmp_path, before=change) as env:
        await env.send_command("rina", JOB)
        await env.slack.until(lambda: (env.slack.state.view_of("rina") or {}).get("submit"))
        await env.slack.people.submits("rina", None, {"reason": "started by mistake"})

        assert (await env.wait_for_outcome(JOB)).state == "cancelled"
        assert env.atlas.world.cancellations == [JOB]


@pytest.mark.parametrize(
    ("ending", "answer", "state"),
    [
        ("cancel", "no-change", "cancelled"),
        ("cancel", "refuse", "over"),
        ("expire", "no-change", "over"),
        ("expire", "refuse", "over"),
    ],
)
async def test_delete_of_a_job_that_just_ended_is_settled_by_a_read(
    env: BotEnvironment, ending: str, answer: str, state: str
) -> None:
    """All reads before the DELETE are old."""
    env.atlas.behaviour.cancelled_again = env.atlas.behaviour.over = answer  # type: ignore[assignment]  # one of its literals
    view = await env.open_dialog(LIVE)
    job = env.atlas.world.job(JOB)
    env.atlas.world.keep_old_view(job, reads=100)
    env.atlas.recorder.subscribe(
        lambda call: env.atlas.world.old_views.clear() if call.method == "DELETE" else None
    )
    getattr(job, ending)()
    await env.slack.people.submits("rina", view, {"reason": "started by mistake"})

    assert (await env.wait_for_outcome(JOB)).state == state
    assert len(env.atlas.deletes(JOB)) == 1
    assert env.atlas.world.cancellations == []
