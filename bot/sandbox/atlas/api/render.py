"""Renders projects, clusters and restore jobs in each version of the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.sandbox.atlas.clock import instant
from bot.sandbox.atlas.jobs import DeliveryType

if TYPE_CHECKING:
    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.atlas.world import Cluster, Project

Document = dict[str, object]

_RELATIONS = {"v1.0": "http://mms.mongodb.com/", "v2": "https://cloud.mongodb.com/"}


@dataclass(frozen=True)
class Renderer:
    """Renders documents of one response: `base` is the API's root, `api` is `v1.0` or `v2`."""

    base: str
    api: str

    def link(self, path: str, rel: str = "self") -> Document:
        """Return a link; relations other than `self` have the prefix of the API version."""
        prefix = "" if rel == "self" else _RELATIONS[self.api]
        return {"href": f"{self.base}{path}", "rel": f"{prefix}{rel}"}

    def project(self, project: Project) -> Document:
        path = f"/groups/{project.id}"
        return {
            "clusterCount": len(project.clusters),
            "created": instant(project.created_at),
            "id": project.id,
            "links": [self.link(path)],
            "name": project.name,
            "orgId": project.org_id,
        }

    def cluster(self, cluster: Cluster) -> Document:
        """Return the fields of a dedicated cluster that all versions have."""
        return {
            "clusterType": "SHARDED" if cluster.sharded else "REPLICASET",
            "createDate": instant(cluster.created_at),
            "groupId": cluster.group,
            "id": cluster.id,
            "links": [self.link(f"/groups/{cluster.group}/clusters/{cluster.name}")],
            "mongoDBVersion": "8.0.24",
            "name": cluster.name,
            "stateName": "IDLE",
        }

    def job(self, job: RestoreJob, cluster: Cluster) -> Document:
        """Return a restore job as recorded: without empty fields, keys in alphabetical order."""
        group = f"/groups/{cluster.group}"
        home = f"{group}/clusters/{cluster.name}"
        document = {
            **_job_state(job),
            **_job_links(job),
            **_job_target(job),
            "links": [
                self.link(f"{home}/backup/restoreJobs/{job.id}"),
                self.link(f"{home}/backup/snapshots/{job.snapshot_id}", "snapshot"),
                self.link(home, "cluster"),
                self.link(group, "group"),
            ],
        }
        if self.api == "v2":
            document["desiredTimestamp"] = {"increment": None, "time": None, "date": None}
        return dict(sorted(document.items()))


def _job_state(job: RestoreJob) -> Document:
    document: Document = {
        "cancelled": job.cancelled,
        "deliveryType": job.delivery_type.value,
        "expired": job.expired,
        "failed": job.failed,
        "id": job.id,
        "snapshotId": job.snapshot_id,
        "timestamp": instant(job.snapshot_at),
    }
    for key, moment in (("expiresAt", job.expires_at), ("finishedAt", job.finished_at)):
        if moment is not None:
            document[key] = instant(moment)
    return document


def _job_links(job: RestoreJob) -> Document:
    document: Document = {"deliveryUrl": list(job.urls)}
    if job.private_urls:
        document["privateDownloadDeliveryUrls"] = [
            {"deliveryUrl": url, "endpointId": "vpce-0sandbox0"} for url in job.private_urls
        ]
    if job.components:
        document["components"] = [
            {"downloadUrl": part.url, "replicaSetName": part.replica_set} for part in job.components
        ]
    return document


def _job_target(job: RestoreJob) -> Document:
    document: Document = {}
    if job.target is not None:
        document["targetClusterName"] = job.target.cluster
        document["targetGroupId"] = job.target.group
        if job.delivery_type is DeliveryType.AUTOMATED:
            document["targetDeploymentItemName"] = job.target.item
    return document
