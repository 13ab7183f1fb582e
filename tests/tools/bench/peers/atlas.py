"""A fake Atlas with a given number of clusters, each with one restore job."""

from __future__ import annotations

import asyncio
import json
import sys

from bot.sandbox.atlas import PROJECT_ID, Behaviour, FakeAtlasServer


def job_of(number: int) -> str:
    """Return the id of the job in a cluster, which are counted from 0."""
    return f"{number + 1:024x}"


async def serve(clusters: int) -> None:
    async with FakeAtlasServer(behaviour=Behaviour(rate_capacity=100_000_000)) as atlas:
        project = atlas.world.projects[PROJECT_ID]
        project.clusters.clear()
        for number in range(clusters):
            cluster = atlas.world.add_cluster(project, f"cluster-{number}")
            atlas.world.add_job(cluster, job_id=job_of(number))
        print(json.dumps({"port": atlas.port}), flush=True)  # noqa: T201 - how others find us
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
