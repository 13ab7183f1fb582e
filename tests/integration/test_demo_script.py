"""`cancel-restore demo --script`: the printed steps."""

import asyncio
import io

import pytest

from bot.demo import script
from bot.demo.environment import new_atlas
from bot.demo.script import play_script
from bot.demo.script_scenarios import SCRIPT_SCENARIOS, ScriptScenario
from bot.demo.script_session import ScriptFailed, ScriptSession
from bot.sandbox.atlas import PROJECT_ID
from bot.sandbox.atlas.world import created_at


@pytest.mark.parametrize(("approvals", "clicks"), [(0, []), (1, ["Ada"]), (2, ["Ada", "Abe"])])
async def test_script_approves_as_often_as_needed(approvals: int, clicks: list[str]) -> None:
    out = io.StringIO()
    await play_script(out, approvals=approvals)
    steps = [line for line in out.getvalue().splitlines() if "clicks “Approve”" in line]

    assert [line.split()[1] for line in steps] == clicks


async def test_script_shows_the_projects_name_and_never_its_id() -> None:
    out = io.StringIO()
    await play_script(out)
    seen = [line for line in out.getvalue().splitlines() if "│" in line]

    assert any("shop-prod" in line for line in seen)
    assert not any(PROJECT_ID in line for line in seen)


def test_starts_of_the_jobs_are_as_recent_as_their_links() -> None:
    world = new_atlas().world
    downloads = [job for _, job in world.jobs() if job.delivery_type == "download"]

    assert downloads
    for job in downloads:
        assert created_at(job.id) == job.created_at.replace(microsecond=0)


async def test_failed_scenario_ends_the_script_and_the_other_scenarios(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(_session: ScriptSession) -> None:
        raise ScriptFailed("The script stopped here.")

    failing = ScriptScenario(title="Failing", note="", settings={}, play=fail)
    monkeypatch.setattr(script, "SCRIPT_SCENARIOS", (failing, SCRIPT_SCENARIOS[0]))
    before = asyncio.all_tasks()

    with pytest.raises(ScriptFailed, match="stopped here"):
        await script.play_all(io.StringIO())

    assert asyncio.all_tasks() == before


async def test_scenarios_are_printed_in_order() -> None:
    async def write(output: script.BufferedOutput, *texts: str) -> None:
        for text in texts:
            output.write(text)
            await asyncio.sleep(0)

    out = io.StringIO()
    first, second = script.BufferedOutput(), script.BufferedOutput()
    tasks = [
        asyncio.create_task(write(first, "1", "2", "3")),
        asyncio.create_task(write(second, "4", "5")),
    ]
    await first.print_until(tasks[0], out)
    await second.print_until(tasks[1], out)

    assert out.getvalue() == "12345"
