"""Reading: a job as recorded, and the event of its start."""

from bot.sandbox.atlas import PROJECT_ID, Actor, FakeAtlasServer
from bot.sandbox.atlas.clock import instant
from tests.integration.sandbox_atlas.conftest import GROUP, Caller, job_path
from tests.support.clock import FakeClock

RUNNING = job_path("prod-eu", "65f0a1c2d3e4f5a6b7c80101")


async def test_download_reads_as_recorded(atlas: FakeAtlasServer, v2: Caller) -> None:
    job = (await v2.get(RUNNING)).json()
    root = f"{atlas.url}/api/atlas/v2/groups/{PROJECT_ID}"

    assert job["deliveryUrl"] == []
    assert job["desiredTimestamp"] == {"increment": None, "time": None, "date": None}
    assert job["timestamp"] == "2026-11-25T10:56:00Z"
    assert job["links"] == [
        {"href": f"{atlas.url}/api/atlas/v2{RUNNING}", "rel": "self"},
        {
            "href": f"{root}/clusters/prod-eu/backup/snapshots/{job['snapshotId']}",
            "rel": "https://cloud.mongodb.com/snapshot",
        },
        {"href": f"{root}/clusters/prod-eu", "rel": "https://cloud.mongodb.com/cluster"},
        {"href": root, "rel": "https://cloud.mongodb.com/group"},
    ]


async def test_download_makes_an_event_that_shows_after_the_delay(
    atlas: FakeAtlasServer, clock: FakeClock, v2: Caller
) -> None:
    atlas.behaviour.event_delay = 10
    home = atlas.world.projects[PROJECT_ID].clusters["prod-eu"]
    job = atlas.world.add_job(home, now=clock(), by=Actor({"publicKey": "abcdwxyz"}))
    query = {"minDate": instant(clock()), "eventType": "CPS_RESTORE_REQUESTED_AUDIT"}
    assert (await v2.get(f"{GROUP}/events", **query)).json()["results"] == []
    clock.advance(10)
    (event,) = (await v2.get(f"{GROUP}/events", includeCount="false", **query)).json()["results"]
    assert (event["publicKey"], event["created"]) == ("abcdwxyz", instant(job.created_at))
    assert event["id"][:18] == job.id[:18]
