"""`cancel-restore demo --script`: the printed steps, and the scenarios that it plays."""

import asyncio
import io
import re
from datetime import timedelta

import pytest

from bot.demo import environment, script
from bot.demo.environment import new_atlas
from bot.demo.scenarios import LINK_AFTER, SCENARIOS
from bot.demo.script import play_scenario, story
from bot.demo.script_session import ScriptFailed
from bot.sandbox.atlas import PRESETS
from bot.sandbox.atlas.jobs import LINK_LIFETIME
from bot.sandbox.atlas.world import created_at
from tests.support.demo_process import ForkedBotProcess

#: The last line of each scenario that does not end with one DELETE and a cancelled job.
ENDS = {
    "automated": "running; DELETEs sent: 0",
    "cut-before": "cancelled; DELETEs sent: 2",
    "maintenance": "running; DELETEs sent: 1",
}


@pytest.fixture(autouse=True)
def _forked_bots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "BotProcess", ForkedBotProcess)


@pytest.mark.parametrize(
    ("approvals", "clicks", "end"), [(0, [], "0:5"), (2, ["Ada", "Abe"], "1:2")]
)
async def test_script_approves_as_often_as_needed(
    approvals: int, clicks: list[str], end: str
) -> None:
    """Without an approval, its clock has no pause for one; the bot counts the same time."""
    out = io.StringIO()
    await play_scenario(story(approvals), out, approvals)
    text = " ".join(out.getvalue().replace("│", "").split())
    steps = [line for line in out.getvalue().splitlines() if "clicks “Approve cancelling”" in line]
    clock = text.partition(" The bot reads the job again")[0].split()[-1]
    (left,) = re.findall(r"\((\d:\d\d) min before it was expected", text)

    assert [line.split()[1] for line in steps] == clicks
    assert clock.startswith(end)
    assert abs(LINK_AFTER - seconds(clock) - seconds(left)) < 20
    assert "before its link" not in text


def seconds(clock: str) -> int:
    minutes, rest = clock.split(":")
    return 60 * int(minutes) + int(rest)


async def test_script_plays_every_scenario() -> None:
    """Each until its end, in the state and after the DELETEs that its hint promises."""
    out = io.StringIO()
    await script.play_all(out)
    _, *printed = out.getvalue().split("\n━━ ")
    titles = [text.partition("\n")[0] for text in printed]
    played = dict(zip(titles, printed, strict=True))

    assert sorted(titles) == sorted({scenario.title for scenario in SCENARIOS.values()})
    results = {name: played[each.title].splitlines()[-1] for name, each in SCENARIOS.items()}
    assert results == {
        name: f"  In Atlas the job is {ENDS.get(name, 'cancelled; DELETEs sent: 1')}."
        for name in SCENARIOS
    }
    assert "Atlas did not accept the bot's key" in played["Atlas rejects the API key"]
    assert "GET 401, GET 200" in played["Atlas rejects the API key"]
    assert "Atlas answered with an internal error" in played["Atlas is unavailable"]
    assert "The connection to Atlas broke" in played["Atlas is down"]
    assert "[Keep it] [Cancel it now]" in played["Quarantine"]
    assert "│ Next Click Try again on the card." in played["Atlas is being upgraded"]
    assert "│ >" not in out.getvalue()
    assert set(PRESETS) <= set(SCENARIOS)  # each fault of the fake Atlas that has a name


def test_starts_of_the_jobs_are_as_recent_as_their_links() -> None:
    world = new_atlas().world
    downloads = [job for _, job in world.jobs() if job.delivery_type == "download"]

    assert downloads
    for job in downloads:
        assert created_at(job.id) == job.created_at.replace(microsecond=0)
        if job.expires_at:
            waited = job.expires_at - LINK_LIFETIME - job.created_at
            assert waited == timedelta(seconds=LINK_AFTER)


async def test_failed_scenario_ends_the_script_and_the_other_scenarios(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def play(name: str, _out: object) -> None:
        if name != script.STORY:
            await asyncio.sleep(60)
        raise ScriptFailed("The script stopped here.")

    monkeypatch.setattr(script, "play_scenario", play)
    before = asyncio.all_tasks()

    with pytest.raises(ScriptFailed, match="stopped here"):
        await script.play_all(io.StringIO())

    assert asyncio.all_tasks() == before
