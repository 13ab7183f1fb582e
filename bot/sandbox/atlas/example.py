"""The example world: a shop with restore jobs of every type and state."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bot.sandbox.atlas.auth.credentials import Role
from bot.sandbox.atlas.jobs import Component, DeliveryType, RestoreJob

if TYPE_CHECKING:
    from datetime import datetime

    from bot.sandbox.atlas.world import Cluster, Project, World

PROJECT_ID = "5b6212af90dc76637950a2c6"
PROJECT_NAME = "shop-prod"

#: The credentials of the fake server, in the form of real ones.
PUBLIC_KEY = "sandboxk"
PRIVATE_KEY = "5a4db0c5-0000-4000-8000-5a4db0c50000"
CLIENT_ID = "mdb_sa_id_5b6212af90dc76637950a2c7"
CLIENT_SECRET = "mdb_sa_sk_sandbox-secret-that-opens-nothing"

#: From the start of a download to its link: as long as the bot expects.
UNTIL_LINK = timedelta(minutes=3)

#: The jobs at the start: cluster, job id, delivery type, state, minutes since its creation.
EXAMPLE_JOBS = (
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80101", "download", "running", 4),
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80102", "download", "live", 26),
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80103", "automated", "running", 12),
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80104", "automated", "finished", 300),
    ("prod-eu", "65f0a1c2d3e4f5a6b7c80105", "download", "cancelled", 480),
    ("prod-us", "65f0a1c2d3e4f5a6b7c80201", "download", "live", 9),
    ("prod-us", "65f0a1c2d3e4f5a6b7c80202", "pointInTime", "running", 15),
    ("prod-us", "65f0a1c2d3e4f5a6b7c80203", "download", "expired", 200),
    ("prod-us", "65f0a1c2d3e4f5a6b7c80204", "download", "failed", 1500),
    ("staging-eu", "65f0a1c2d3e4f5a6b7c80301", "download", "running", 1),
    ("orders-sharded", "65f0a1c2d3e4f5a6b7c80401", "download", "live", 18),
    ("orders-sharded", "65f0a1c2d3e4f5a6b7c80402", "download", "shard", 18),
    ("orders-sharded", "65f0a1c2d3e4f5a6b7c80403", "download", "running", 3),
)


def fill(world: World, now: datetime, *, dated_ids: bool = False) -> None:
    """Add the shop to an empty world, as of `now`."""
    last_year = now - timedelta(days=400)
    project = world.add_project(PROJECT_NAME, project_id=PROJECT_ID, now=last_year)
    for name in ("prod-eu", "prod-us", "staging-eu"):
        world.add_cluster(project, name, now=last_year)
    world.add_cluster(project, "orders-sharded", sharded=True, now=last_year)
    flex = world.add_cluster(project, "sketch-flex", flex=True, now=last_year)
    world.add_job(flex, now=now - timedelta(minutes=40))
    for cluster, job_id, delivery_type, state, minutes in EXAMPLE_JOBS:
        created_at = now - timedelta(minutes=minutes)
        if dated_ids:
            job_id = f"{int(created_at.timestamp()):08x}{job_id[8:]}"  # noqa: PLW2901 - same job
        home = project.clusters[cluster]
        job = world.add_job(home, DeliveryType(delivery_type), job_id=job_id, now=created_at)
        _set_state(job, state, home)
    _add_credentials(world, project)


def _set_state(job: RestoreJob, state: str, cluster: Cluster) -> None:
    job.snapshot_id = "55" + job.id[2:]
    if cluster.sharded and state != "shard":
        job.components = [Component(replica_set=f"shard-{n}") for n in range(2)]
    match state:
        case "live":
            job.release(job.created_at + UNTIL_LINK)
            job.private_urls = [job.link("private")] if not cluster.sharded else []
        case "shard":
            job.shard_of = next(iter(cluster.jobs))
        case "cancelled":
            job.cancel()
        case "expired":
            job.release(job.created_at + UNTIL_LINK)
            job.expire()
        case "failed":
            job.fail()
        case "finished":
            job.finish(job.created_at + timedelta(minutes=15))


def _add_credentials(world: World, project: Project) -> None:
    world.add_key(PUBLIC_KEY, PRIVATE_KEY, {project.id: {Role.RECOVERY_OPERATOR, Role.READ_ONLY}})
    world.add_service_account(CLIENT_ID, CLIENT_SECRET, {project.id: {Role.RECOVERY_OPERATOR}})
