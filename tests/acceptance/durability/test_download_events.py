"""A receiver gets the events of each download of the fake Atlas, over a kill, without a channel."""

from collections import defaultdict
from collections.abc import Iterable

from bot.sandbox.atlas import RestoreJob
from bot.sandbox.atlas.activity import DANA
from bot.sandbox.atlas.clock import wall_clock
from tests.acceptance.durability.environment import ProcessEnvironment, opened
from tests.support.polling import wait_until
from tests.support.receiver import SECRET, Receiver

TIMEOUT = 40.0

Events = dict[str, list[str]]


async def test_events_are_what_happened_to_each_download(on_sqlite: str) -> None:
    async with Receiver().open() as receiver:
        more = {"BOT_WATCH_CHANNEL": "none", "BOT_WATCH_INTERVAL": "1", "BOT_EVENTS_INTERVAL": "1"}
        hook = {"BOT_AUDIT_WEBHOOK_URL": receiver.url, "BOT_AUDIT_WEBHOOK_SECRET": SECRET}
        async with opened(on_sqlite, more=more | hook) as env:
            history = {job.id for job in downloads(env) if job.over}

            def is_complete() -> bool:
                return events_of(receiver) == what_happened(env, history)

            first = await env.start()
            await wait_until(is_complete, TIMEOUT)
            running = {job.id for job in downloads(env)} - history
            ends, goes_on = env.start_job(), env.start_job("prod-us")
            await wait_until(is_complete, TIMEOUT)
            first.kill()
            goes_on.release(wall_clock())
            ends.fail()
            env.start_job().cancel()
            env.start_job(live=True).expire()
            last = env.start_job("staging-eu")
            await env.start()
            await wait_until(is_complete, TIMEOUT)
            goes_on.use()
            last.finish(wall_clock())
            await wait_until(is_complete, TIMEOUT)
            new = what_happened(env, history | running).keys()
            await wait_until(lambda: starters(receiver).keys() >= new, TIMEOUT)
            _, metrics = await env.get("/metrics")
            messages = env.slack.state.messages("ops")

    taken = {event["id"]: event for event in receiver.taken}.values()
    seen = [event for event in taken if event["type"] == "cancel-restore.download.seen"]
    assert {each["subject"] for each in seen if each["data"]["before_watch"]} == running
    assert {each["subject"] for each in taken} == {each["data"]["job"] for each in taken}
    assert {(each["data"]["request"], each["data"]["actor"]) for each in taken} == {(None, None)}
    assert set(starters(receiver).values()) == {DANA.fields["username"]}
    assert f'cancel_restore_downloads_seen_total{{project="shop-prod"}} {len(seen)}.0' in metrics
    assert messages == []


def downloads(env: ProcessEnvironment) -> Iterable[RestoreJob]:
    """Return the downloads that Atlas lists: flex clusters have no such jobs."""
    for cluster, job in env.atlas.world.jobs():
        if job.delivery_type == "download" and not cluster.flex:
            yield job


def what_happened(env: ProcessEnvironment, history: set[str]) -> Events:
    """Return what the receiver must get, by job."""
    expected: Events = {}
    for job in downloads(env):
        if job.id not in history:
            live = ["link_live"] if job.expires_at else []
            expected[job.id] = ["seen", *live, *([f"ended {job.state}"] if job.over else [])]
    return expected


def events_of(receiver: Receiver) -> Events:
    """Return what the receiver got but the starters, by job; a repeated delivery counts once."""
    found = defaultdict(list)
    for event in {event["id"]: event for event in receiver.taken}.values():
        name = event["type"].removeprefix("cancel-restore.download.")
        if name != "starter_known":
            found[event["subject"]].append(f"{name} {event['data'].get('how', '')}".strip())
    return dict(found)


def starters(receiver: Receiver) -> dict[str, str]:
    return {each["subject"]: each["data"]["by"] for each in receiver.taken if "by" in each["data"]}
