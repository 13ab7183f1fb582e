"""The download links of the fake Atlas have a planted word, which must not leave the parser."""

import json

from bot.demo.environment import open_demo
from bot.demo.scenarios import FIRST
from bot.sandbox.atlas import PLANTED_SECRET
from bot.sandbox.atlas.jobs import RestoreJob


async def test_live_links_are_neither_posted_nor_stored_nor_logged() -> None:
    async with open_demo(FIRST) as demo:
        slack, atlas = demo.slack, demo.atlas
        live = next(job for _, job in atlas.world.jobs() if job.private_urls)
        await slack.people.types("rina", "#ops", "/cancel-restore")
        (listed,) = await slack.until(lambda: slack.state.ephemerals("rina"))
        await slack.people.clicks(
            "rina", listed, "cancel_restore_open", value=value_of(listed, live)
        )
        await slack.until(lambda: (slack.state.view_of("rina") or {}).get("submit"))
        await slack.people.submits("rina", None, {"reason": "not planned"})
        await slack.until(lambda: "cancelled, but its link" in str(slack.state.messages("#ops")))
        await demo.kill_bot()

        folder = demo._process.log.parent
        stored = {path.name: path.read_bytes() for path in folder.iterdir()}
        sent = json.dumps([call.args for call in slack.calls])

    assert live.cancelled
    assert {"bot.log", "demo.db"} <= stored.keys()
    assert live.id in sent
    assert [name for name, content in stored.items() if live.id.encode() in content] != []
    assert [name for name, content in stored.items() if PLANTED_SECRET.encode() in content] == []
    assert PLANTED_SECRET not in sent


def value_of(listed: dict[str, object], job: RestoreJob) -> str:
    """Return the value of the button about this job in a list."""
    blocks = listed["blocks"]
    assert isinstance(blocks, list)
    buttons = (block["accessory"] for block in blocks if "accessory" in block)
    return next(str(button["value"]) for button in buttons if job.id in button["value"])
