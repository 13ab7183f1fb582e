"""What the stand-in's Atlas contains: plain data in memory, with helpers that add to it."""

from __future__ import annotations

import copy
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bot.sandbox.atlas import example
from bot.sandbox.atlas.clock import wall_clock
from bot.sandbox.atlas.credentials import Credential, Role
from bot.sandbox.atlas.jobs import DeliveryType, RestoreJob, RestoreTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(kw_only=True)
class Cluster:
    """A cluster and its restore jobs by id; a flex one belongs to another family of calls."""

    id: str
    name: str
    group: str
    created_at: datetime
    flex: bool = False
    sharded: bool = False
    jobs: dict[str, RestoreJob] = field(default_factory=dict)

    def newest_first(self) -> list[RestoreJob]:
        """Its jobs in the order in which Atlas lists them."""
        return sorted(self.jobs.values(), key=lambda job: job.created_at, reverse=True)


@dataclass(kw_only=True)
class Project:
    """A project (the API says group) and its clusters by name."""

    id: str
    name: str
    org_id: str
    created_at: datetime
    clusters: dict[str, Cluster] = field(default_factory=dict)


@dataclass
class OldView:
    """A job as it was before an effect, and how many reads still show it so."""

    job: RestoreJob
    reads: int


@dataclass
class World:
    """Everything that exists, with who may see it."""

    projects: dict[str, Project] = field(default_factory=dict)
    keys: dict[str, Credential] = field(default_factory=dict)
    service_accounts: dict[str, Credential] = field(default_factory=dict)
    old_views: dict[str, OldView] = field(default_factory=dict)
    #: The ids of the jobs that a DELETE cancelled, in that order.
    cancellations: list[str] = field(default_factory=list)

    @classmethod
    def example(cls, now: datetime | None = None) -> World:
        """Return a small shop: one project, its clusters, and a job of every type and state."""
        world = cls()
        example.fill(world, now or wall_clock())
        return world

    def add_project(
        self, name: str, *, project_id: str | None = None, now: datetime | None = None
    ) -> Project:
        """Add an empty project that no key has a role in yet."""
        moment = now or wall_clock()
        project = Project(id=project_id or new_id(), name=name, org_id=new_id(), created_at=moment)
        self.projects[project.id] = project
        return project

    def add_cluster(
        self,
        project: Project,
        name: str,
        *,
        flex: bool = False,
        sharded: bool = False,
        now: datetime | None = None,
    ) -> Cluster:
        """Add a cluster without jobs."""
        cluster = Cluster(
            id=new_id(),
            name=name,
            group=project.id,
            created_at=now or wall_clock(),
            flex=flex,
            sharded=sharded,
        )
        project.clusters[name] = cluster
        return cluster

    def add_job(
        self,
        cluster: Cluster,
        delivery_type: DeliveryType = DeliveryType.DOWNLOAD,
        *,
        job_id: str | None = None,
        now: datetime | None = None,
        live: bool = False,
    ) -> RestoreJob:
        """Start a restore of a new snapshot, one hour old; `live` if its link is there already."""
        moment = now or wall_clock()
        job = RestoreJob(
            id=job_id or new_id(),
            delivery_type=delivery_type,
            snapshot_id=new_id(),
            snapshot_at=moment - timedelta(hours=1),
            created_at=moment,
        )
        if delivery_type is not DeliveryType.DOWNLOAD:
            job.target = RestoreTarget(
                cluster=cluster.name, group=cluster.group, item="atlas-72ck1q"
            )
        if live:
            job.release(moment)
        cluster.jobs[job.id] = job
        return job

    def add_key(self, public: str, private: str, roles: dict[str, Iterable[Role]]) -> Credential:
        """Add an API key with its roles by project id."""
        key = Credential(identifier=public, secret=private, roles=_sets(roles))
        self.keys[public] = key
        return key

    def add_service_account(
        self, client_id: str, client_secret: str, roles: dict[str, Iterable[Role]]
    ) -> Credential:
        """Add a service account with its roles by project id."""
        account = Credential(identifier=client_id, secret=client_secret, roles=_sets(roles))
        self.service_accounts[client_id] = account
        return account

    def jobs(self) -> Iterator[tuple[Cluster, RestoreJob]]:
        """Every job there is, with the cluster it belongs to."""
        for project in self.projects.values():
            for cluster in project.clusters.values():
                for job in cluster.jobs.values():
                    yield cluster, job

    def job(self, job_id: str) -> RestoreJob:
        """Return the job; raise KeyError when there is none."""
        return {job.id: job for _, job in self.jobs()}[job_id]

    def pass_time(self, now: datetime) -> None:
        """Let every link whose hour is over expire."""
        for _, job in self.jobs():
            if job.urls and job.expires_at is not None and job.expires_at <= now:
                job.expire()

    def keep_old_view(self, job: RestoreJob, reads: int) -> None:
        """Let the next `reads` reads show the job as it is now, whatever happens to it."""
        self.old_views[job.id] = OldView(copy.deepcopy(job), reads)

    def view(self, job: RestoreJob) -> RestoreJob:
        """Return the job as a read sees it, which may be an old view."""
        old = self.old_views.get(job.id)
        if old is None or old.reads < 1:
            return job
        old.reads -= 1
        return old.job


def new_id() -> str:
    """Return 24 hex digits that nothing has yet."""
    return secrets.token_hex(12)


def _sets(roles: dict[str, Iterable[Role]]) -> dict[str, set[Role]]:
    return {group: set(held) for group, held in roles.items()}
