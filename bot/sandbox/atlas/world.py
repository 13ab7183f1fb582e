"""The content of the fake Atlas: plain data in memory, with functions that add to it."""

from __future__ import annotations

import copy
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from bot.sandbox.atlas import example
from bot.sandbox.atlas.activity import DANA, Actor, Event
from bot.sandbox.atlas.auth.credentials import Credential, Role
from bot.sandbox.atlas.clock import wall_clock
from bot.sandbox.atlas.jobs import DeliveryType, RestoreJob, RestoreTarget

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(kw_only=True)
class Cluster:
    """A cluster and its restore jobs by id; flex clusters have their own API calls."""

    id: str
    name: str
    group: str
    created_at: datetime
    flex: bool = False
    sharded: bool = False
    jobs: dict[str, RestoreJob] = field(default_factory=dict)

    def newest_first(self) -> list[RestoreJob]:
        """Return its jobs in the order of Atlas's list."""
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
    """An earlier version of a job, and how many reads still return it."""

    job: RestoreJob
    reads: int


@dataclass
class World:
    """Projects, jobs and credentials."""

    projects: dict[str, Project] = field(default_factory=dict)
    keys: dict[str, Credential] = field(default_factory=dict)
    service_accounts: dict[str, Credential] = field(default_factory=dict)
    old_views: dict[str, OldView] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    #: The ids of the jobs that a DELETE cancelled, in that order.
    cancellations: list[str] = field(default_factory=list)

    @classmethod
    def example(cls, now: datetime | None = None, *, dated_ids: bool = False) -> World:
        """Return a small shop: one project, its clusters, and a job of every type and state.

        The jobs have the same ids each time, unless these begin with the jobs' starts
        (`dated_ids`), as in Atlas.
        """
        world = cls()
        example.fill(world, now or wall_clock(), dated_ids=dated_ids)
        return world

    def add_project(
        self, name: str, *, project_id: str | None = None, now: datetime | None = None
    ) -> Project:
        """Add an empty project without roles."""
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
        by: Actor | None = DANA,
    ) -> RestoreJob:
        """Start a restore of a snapshot that is one hour old.

        The activity feed gets an event of `by`; None: no event. A restore that is no download goes
        back to its own cluster.
        """
        moment = now or wall_clock()
        job = RestoreJob(
            id=job_id or new_id(moment),
            delivery_type=delivery_type,
            snapshot_id=new_id(),
            snapshot_at=moment - timedelta(hours=1),
            created_at=moment,
        )
        if delivery_type is not DeliveryType.DOWNLOAD:
            job.target = RestoreTarget(
                cluster=cluster.name, group=cluster.group, item="atlas-72ck1q"
            )
        cluster.jobs[job.id] = job
        if by is not None and not cluster.flex:
            self.add_event(cluster.group, by, created=created_at(job.id))
        return job

    def add_event(self, project_id: str, by: Actor, *, created: datetime) -> Event:
        """Add the request of a restore to a project's activity feed."""
        event = Event(id=new_id(created), group=project_id, created=created, actor=by)
        self.events.append(event)
        return event

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
        """Yield every job with its cluster."""
        for project in self.projects.values():
            for cluster in project.clusters.values():
                for job in cluster.jobs.values():
                    yield cluster, job

    def job(self, job_id: str) -> RestoreJob:
        """Return the job; raise KeyError for an unknown id."""
        return {job.id: job for _, job in self.jobs()}[job_id]

    def pass_time(self, now: datetime) -> None:
        """Expire every link after its hour."""
        for _, job in self.jobs():
            if not job.over and job.expires_at is not None and job.expires_at <= now:
                job.expire()

    def keep_old_view(self, job: RestoreJob, reads: int) -> None:
        """Return the current version of the job in the next `reads` reads."""
        self.old_views[job.id] = OldView(copy.deepcopy(job), reads)

    def view(self, job: RestoreJob) -> RestoreJob:
        """Return the job as a read returns it, possibly an earlier version."""
        old = self.old_views.get(job.id)
        if old is None or old.reads < 1:
            return job
        old.reads -= 1
        return old.job


#: The middle and the end of an id: random digits of the process, and a counter.
_PROCESS = secrets.token_hex(5)
_counter = count(secrets.randbelow(2**20))


def new_id(now: datetime | None = None) -> str:
    """Return a new id of 24 hex digits, which begins with the time in seconds."""
    seconds = int((now or wall_clock()).timestamp())
    return f"{seconds:08x}{_PROCESS}{next(_counter) % 2**24:06x}"


def created_at(id_: str) -> datetime:
    """Return the time in an id."""
    return datetime.fromtimestamp(int(id_[:8], 16), UTC)


def _sets(roles: dict[str, Iterable[Role]]) -> dict[str, set[Role]]:
    return {group: set(held) for group, held in roles.items()}
