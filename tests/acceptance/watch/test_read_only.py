"""The shadow mode: the bot announces and explains, offers no cancellation, and sends no DELETE."""

from bot.sandbox.atlas import PROJECT_ID, PUBLIC_KEY
from bot.sandbox.atlas.auth.credentials import Role
from tests.acceptance.watch.environment import WatchEnvironment, buttons
from tests.support.polling import wait_until

ROOT = "/api/atlas/v2"
ONLY_WATCHES = "The bot only watches this project and cancels nothing"


async def test_read_only_bot_explains_and_offers_no_cancellation(env: WatchEnvironment) -> None:
    await env.start_bot(BOT_READ_ONLY="true")
    job_id = env.new_job_id()
    announced = await env.wait_for_announcement(job_id)
    view = await env.open_dialog(("prod-eu", job_id))
    await env.send_command("rina", "list prod-eu")
    (listed,) = await env.wait_for_ephemerals("rina")

    assert ONLY_WATCHES in env.slack.state.text_of(announced)
    assert "Open in Atlas" in env.slack.state.text_of(announced)
    assert "Cancel this download" not in buttons(announced)
    assert ONLY_WATCHES in str(view["blocks"])
    assert not view.get("submit")
    assert job_id in listed
    assert env.atlas.deletes(job_id) == []


async def test_key_without_a_role_to_cancel_gets_a_dialog_without_submit(
    env: WatchEnvironment,
) -> None:
    key = env.atlas.world.keys[PUBLIC_KEY]
    key.roles[PROJECT_ID] = {Role.READ_ONLY}
    await env.start_bot(BOT_WATCH_CHANNEL="")
    await wait_until(lambda: any(c.path == ROOT and c.status == 200 for c in env.atlas.calls))
    # The fake Atlas shows jobs only to roles that may cancel them; the bot has read the other one.
    key.roles[PROJECT_ID] = {Role.RECOVERY_OPERATOR}
    view = await env.open_dialog(env.new_job())

    assert "no role that may cancel" in str(view["blocks"])
    assert not view.get("submit")
