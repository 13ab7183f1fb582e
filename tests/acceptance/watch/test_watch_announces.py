"""Each new download restore is announced once, and its announcement is kept up to date."""

from bot.sandbox.atlas.jobs import RestoreJob
from tests.acceptance.environment import is_card, is_loading
from tests.acceptance.watch.environment import TIMEOUT, WatchEnvironment, buttons
from tests.support.polling import wait_until

#: The jobs of the example world that can be cancelled when the watch begins.
LIVE_AT_FIRST = {
    "65f0a1c2d3e4f5a6b7c80101",
    "65f0a1c2d3e4f5a6b7c80102",
    "65f0a1c2d3e4f5a6b7c80201",
    "65f0a1c2d3e4f5a6b7c80301",
    "65f0a1c2d3e4f5a6b7c80401",
    "65f0a1c2d3e4f5a6b7c80402",
    "65f0a1c2d3e4f5a6b7c80403",
}


def job(env: WatchEnvironment, job_id: str) -> RestoreJob:
    return env.atlas.world.job(job_id)


async def test_event_leads_to_the_announcement_long_before_the_poll(env: WatchEnvironment) -> None:
    bot = await env.start_bot(BOT_WATCH_INTERVAL="600", BOT_EVENTS_INTERVAL="1")
    await env.slack.until(lambda: len(env.announcements()) >= len(LIVE_AT_FIRST), TIMEOUT)
    job_id = env.new_job_id()

    await env.wait_for_announcement(job_id)

    counted = 'cancel_restore_detection_seconds_bucket{le="15.0"} 1.0'
    await wait_until(lambda: counted in bot.metrics.render().decode(), TIMEOUT)


async def test_button_opens_the_dialog_and_the_ended_message_links_to_the_request(
    env: WatchEnvironment,
) -> None:
    await env.start_bot()
    job_id = env.new_job_id()
    announced = await env.wait_for_announcement(job_id)
    await env.slack.people.clicks("rina", announced, "cancel_restore_open")

    def ready() -> bool:
        view = env.slack.state.view_of("rina")
        return bool(view and not is_loading(view))

    await env.slack.until(ready, TIMEOUT)
    await env.slack.people.submits("rina", None, {"reason": "not requested"})
    message = await env.wait_for_announcement(job_id, "cancelled")

    assert job(env, job_id).cancelled
    assert buttons(message) == []
    (card,) = [m for m in env.slack.state.messages("ops") if is_card(m) and job_id in str(m)]
    assert "<@U0RINA0001> asked to cancel it" in str(message)
    assert f"/p{card['ts'].replace('.', '')}|its card>" in str(message)
