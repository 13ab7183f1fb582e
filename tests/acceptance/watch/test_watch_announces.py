"""Each new download restore is announced once, and its announcement is kept up to date."""

import pytest

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, Fault, Kind
from bot.sandbox.atlas.auth.credentials import Role
from bot.sandbox.atlas.clock import wall_clock
from bot.sandbox.atlas.jobs import DeliveryType, RestoreJob
from bot.sandbox.slack import Fault as SlackFault
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


async def test_first_start_announces_cancellable_jobs_only(env: WatchEnvironment) -> None:
    await env.start_bot()
    await env.slack.until(lambda: len(env.announcements()) >= len(LIVE_AT_FIRST), TIMEOUT)
    await env.wait_for_reads()

    assert set(env.announcements()) == LIVE_AT_FIRST
    assert {len(messages) for messages in env.announcements().values()} == {1}


async def test_watch_without_a_channel_makes_no_calls(env: WatchEnvironment) -> None:
    await env.start_bot(BOT_WATCH_CHANNEL="")
    await wait_until(lambda: env.atlas.calls)

    assert env.cluster_reads() == []


async def test_announcement_shows_the_details_of_the_job(env: WatchEnvironment) -> None:
    await env.start_bot()
    message = await env.wait_for_announcement(env.new_job_id("prod-us", live=True), "link_live")
    text = env.slack.state.text_of(message)

    for part in ("prod-us", "shop-prod", "Snapshot", "First seen", "live since"):
        assert part in text
    assert buttons(message) == ["Cancel this job"]


async def test_live_link_updates_the_same_message(env: WatchEnvironment) -> None:
    await env.start_bot()
    job_id = env.new_job_id()
    await env.wait_for_announcement(job_id, "in_progress")
    job(env, job_id).release(wall_clock())

    message = await env.wait_for_announcement(job_id, "link_live")

    assert buttons(message) == ["Cancel this job"]


async def test_used_link_updates_the_same_message_and_keeps_the_button(
    env: WatchEnvironment,
) -> None:
    await env.start_bot()
    job_id = env.new_job_id("orders-sharded", live=True)
    await env.wait_for_announcement(job_id, "link_live")
    job(env, job_id).use()

    message = await env.wait_for_announcement(job_id, "link_used")
    text = env.slack.state.text_of(message)

    assert "used or withdrawn; it was live since" in text
    assert "not there yet" not in text
    assert buttons(message) == ["Cancel this job"]


async def test_event_leads_to_the_announcement_long_before_the_poll(env: WatchEnvironment) -> None:
    bot = await env.start_bot(BOT_WATCH_INTERVAL="600", BOT_EVENTS_INTERVAL="1")
    await env.slack.until(lambda: len(env.announcements()) >= len(LIVE_AT_FIRST), TIMEOUT)
    job_id = env.new_job_id()

    await env.wait_for_announcement(job_id)

    counted = 'cancel_restore_detection_seconds_bucket{le="15.0"} 1.0'
    await wait_until(lambda: counted in bot.metrics.render().decode(), TIMEOUT)


async def test_download_from_a_deleted_cluster_whose_backups_are_kept_is_announced(
    env: WatchEnvironment,
) -> None:
    env.atlas.world.projects[PROJECT_ID].clusters["prod-us"].deleted = True
    await env.start_bot()

    await env.wait_for_announcement(env.new_job_id("prod-us"))


@pytest.mark.parametrize("end", ["cancelled", "expired", "failed", "finished", "gone"])
async def test_ended_job_updates_the_message_and_removes_the_button(
    env: WatchEnvironment, end: str
) -> None:
    await env.start_bot()
    job_id = env.new_job_id(live=True)
    await env.wait_for_announcement(job_id, "link_live")
    match end:
        case "cancelled":
            job(env, job_id).cancel()
        case "expired":
            job(env, job_id).expire()
        case "failed":
            job(env, job_id).fail()
        case "finished":
            job(env, job_id).finish(wall_clock())
        case "gone":
            del env.atlas.world.projects[PROJECT_ID].clusters["prod-eu"].jobs[job_id]

    message = await env.wait_for_announcement(job_id, end)

    assert buttons(message) == []


async def test_jobs_of_a_deleted_cluster_are_gone(env: WatchEnvironment) -> None:
    await env.start_bot()
    job_id = env.new_job_id("staging-eu")
    await env.wait_for_announcement(job_id)
    del env.atlas.world.projects[PROJECT_ID].clusters["staging-eu"]

    message = await env.wait_for_announcement(job_id, "gone")

    assert buttons(message) == []


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
    assert f"/p{card['ts'].replace('.', '')}|The request>* of <@U0RINA0001>" in str(message)


async def test_job_on_a_later_page_is_watched(env: WatchEnvironment) -> None:
    await env.start_bot()
    job_id = env.new_job_id("staging-eu")
    await env.wait_for_announcement(job_id)
    cluster = env.atlas.world.projects[PROJECT_ID].clusters["staging-eu"]
    for _ in range(520):
        env.atlas.world.add_job(cluster, DeliveryType.AUTOMATED)
    await env.wait_for_reads(cluster="staging-eu", times=3)
    job(env, job_id).expire()

    await env.wait_for_announcement(job_id, "expired")


async def test_post_with_a_lost_answer_is_one_message(env: WatchEnvironment) -> None:
    await env.start_bot()
    await env.slack.until(lambda: len(env.announcements()) == len(LIVE_AT_FIRST), TIMEOUT)
    env.slack.faults.add("chat.postMessage", SlackFault(kind="reset_after"), times=3)
    job_id = env.new_job_id()
    await env.slack.until(lambda: job_id in env.announcements(), TIMEOUT)
    job(env, job_id).cancel()

    message = await env.wait_for_announcement(job_id, "cancelled")

    assert buttons(message) == []


async def test_announcements_are_posted_after_temporary_slack_errors(env: WatchEnvironment) -> None:
    for fault in (
        SlackFault(kind="ratelimited", seconds=1),
        SlackFault(kind="status", status=503),
        SlackFault(kind="garbage"),
        SlackFault(kind="error", code="something_new"),
    ):
        env.slack.faults.add("chat.postMessage", fault)
    await env.start_bot()
    await env.slack.until(lambda: set(env.announcements()) == LIVE_AT_FIRST, TIMEOUT)

    assert {len(messages) for messages in env.announcements().values()} == {1}


async def test_project_with_an_invalid_key_does_not_stop_the_watch_of_others(
    env: WatchEnvironment,
) -> None:
    world = env.atlas.world
    other = world.add_project("shop-test")
    place = world.add_cluster(other, "test-eu")
    world.add_key("OTHERKEY", "right", {other.id: {Role.RECOVERY_OPERATOR, Role.READ_ONLY}})
    (env.folder / "projects.toml").write_text(PROJECTS % (PROJECT_ID, other.id))
    await env.start_bot(
        BOT_PROJECTS_FILE="projects.toml",
        MONGODB_ATLAS_PROJECT_ID="",
        BROKEN_PUBLIC="OTHERKEY",
        BROKEN_PRIVATE="wrong",
        GOOD_PUBLIC=PUBLIC_KEY,
        GOOD_PRIVATE=PRIVATE_KEY,
    )
    hidden = world.add_job(place).id

    await env.wait_for_announcement(env.new_job_id())

    assert hidden not in env.announcements()


PROJECTS = """
[[projects]]
name = "shop-prod"
id = "%s"
public_key_env = "GOOD_PUBLIC"
private_key_env = "GOOD_PRIVATE"

[[projects]]
name = "shop-test"
id = "%s"
public_key_env = "BROKEN_PUBLIC"
private_key_env = "BROKEN_PRIVATE"
"""


async def test_unreadable_cluster_does_not_stop_the_watch_of_others(env: WatchEnvironment) -> None:
    broken = Fault(kind=Kind.STATUS, status=500, path="/clusters/prod-us/backup/", times=None)
    env.atlas.faults.add(broken)
    await env.start_bot()
    hidden = env.new_job_id("prod-us")
    await env.wait_for_announcement(env.new_job_id("prod-eu"))
    await env.wait_for_announcement(env.new_job_id("staging-eu"))
    assert hidden not in env.announcements()
    env.atlas.faults.clear()

    await env.wait_for_announcement(hidden, seconds=30)
