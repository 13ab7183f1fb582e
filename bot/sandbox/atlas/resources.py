"""What each resource answers, once a request has passed every gate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from bot.sandbox.atlas.answers import Answer
from bot.sandbox.atlas.errors import AtlasError
from bot.sandbox.atlas.jobs import DeliveryType
from bot.sandbox.atlas.pages import check_query, page
from bot.sandbox.atlas.render import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bot.sandbox.atlas.asks import Ask
    from bot.sandbox.atlas.behaviour import Behaviour
    from bot.sandbox.atlas.credentials import Credential
    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.atlas.world import Cluster, Project, World

CLUSTER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*")
JOB_ID = re.compile(r"[a-f0-9]{24}")


@dataclass(frozen=True, kw_only=True)
class Visit:
    """A request that passed the gates: who asks for what, in which version."""

    ask: Ask
    values: Mapping[str, str]
    version: str
    media: str
    world: World
    behaviour: Behaviour
    who: Credential

    @property
    def writer(self) -> Writer:
        return Writer(self.ask.root, self.ask.api)

    @property
    def project(self) -> Project:
        return self.world.projects[self.values["group"]]

    def one(self, document: Mapping[str, object]) -> Answer:
        return Answer(status=HTTPStatus.OK, document=document, media=self.media)

    def many(self, items: list[dict[str, object]]) -> Answer:
        document = page(items, self.ask.query, f"{self.ask.base}{self.ask.path}")
        return Answer(status=HTTPStatus.OK, document=document, media=self.media, listing=True)

    def cluster(self, *, flex: bool = False) -> Cluster:
        """Return the cluster that the path names, of the family that the path is for."""
        name = self.values["cluster"]
        if not CLUSTER_NAME.fullmatch(name):
            raise AtlasError("INVALID_PATH_PARAMETER", {"parameter": "clusterName"})
        cluster = self.project.clusters.get(name)
        if cluster is None:
            raise AtlasError("CLUSTER_NOT_FOUND", self.values)
        if cluster.flex and not flex:
            raise AtlasError("CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API", self.values)
        if flex and not cluster.flex:
            raise AtlasError("CANNOT_USE_NON_FLEX_CLUSTER_IN_FLEX_API", self.values)
        return cluster

    def job(self, cluster: Cluster) -> RestoreJob:
        """Return the job that the path names."""
        if not JOB_ID.fullmatch(self.values["job"]):
            raise AtlasError("INVALID_JOB_ID", self.values)
        job = cluster.jobs.get(self.values["job"])
        if job is None:
            raise AtlasError("RESTORE_JOB_NOT_FOUND", self.values)
        return job


def answer(name: str, visit: Visit) -> Answer:
    """Answer for the resource `name`; raise AtlasError when something is not there or not right."""
    check_query(visit.ask.query, reject_unknown=visit.behaviour.reject_unknown_query)
    if visit.ask.method == "DELETE":
        return cancel(visit)
    return READERS[name](visit)


def projects(visit: Visit) -> Answer:
    mine = [p for p in visit.world.projects.values() if visit.who.roles_in(p.id)]
    return visit.many([visit.writer.project(project) for project in mine])


def project(visit: Visit) -> Answer:
    return visit.one(visit.writer.project(visit.project))


def clusters(visit: Visit) -> Answer:
    shown = [
        cluster
        for cluster in visit.project.clusters.values()
        if visit.behaviour.flex_in_cluster_list or not cluster.flex
    ]
    return visit.many([visit.writer.cluster(cluster, visit.version) for cluster in shown])


def cluster(visit: Visit) -> Answer:
    return visit.one(visit.writer.cluster(visit.cluster(), visit.version))


def jobs(visit: Visit) -> Answer:
    home = visit.cluster()
    seen = [visit.world.view(job) for job in home.newest_first()]
    return visit.many([visit.writer.job(job, home) for job in seen])


def job(visit: Visit) -> Answer:
    home = visit.cluster()
    return visit.one(visit.writer.job(visit.world.view(visit.job(home)), home))


def cancel(visit: Visit) -> Answer:
    """Cancel a restore job: 204 without a body, or the refusal that fits the job."""
    job = visit.job(visit.cluster())
    refusal = why_not(job, visit.behaviour)
    if refusal:
        raise AtlasError(refusal, visit.values)
    if not job.over:
        job.cancel(keep_link=visit.behaviour.cancelled_keeps_link)
        visit.world.cancellations.append(job.id)
    return Answer(status=HTTPStatus.NO_CONTENT, media=visit.media)


def why_not(job: RestoreJob, behaviour: Behaviour) -> str:
    """Return the code with which Atlas refuses to cancel a job; empty when it does not."""
    if job.shard_of is not None:
        return "ATLAS_BACKUP_CANCEL_SHARD_RESTORE_JOB_NOT_ALLOWED"
    if job.delivery_type is not DeliveryType.DOWNLOAD:
        return "CANNOT_CANCEL_AUTOMATED_RESTORE"
    choice = behaviour.cancelled_again if job.cancelled else behaviour.over
    return "VALIDATION_ERROR" if job.over and choice == "refuse" else ""


def flex_clusters(visit: Visit) -> Answer:
    shown = [cluster for cluster in visit.project.clusters.values() if cluster.flex]
    return visit.many([visit.writer.flex_cluster(cluster) for cluster in shown])


def flex_cluster(visit: Visit) -> Answer:
    return visit.one(visit.writer.flex_cluster(visit.cluster(flex=True)))


def flex_jobs(visit: Visit) -> Answer:
    home = visit.cluster(flex=True)
    return visit.many([visit.writer.flex_job(job, home) for job in home.newest_first()])


def flex_job(visit: Visit) -> Answer:
    home = visit.cluster(flex=True)
    return visit.one(visit.writer.flex_job(visit.job(home), home))


READERS: Mapping[str, Callable[[Visit], Answer]] = {
    "projects": projects,
    "project": project,
    "clusters": clusters,
    "cluster": cluster,
    "jobs": jobs,
    "job": job,
    "flex_clusters": flex_clusters,
    "flex_cluster": flex_cluster,
    "flex_jobs": flex_jobs,
    "flex_job": flex_job,
}
