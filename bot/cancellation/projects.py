"""The Atlas projects that the bot knows, each with its own client and policy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.atlas import CancelAccepted, Cluster, JobRef, RestoreJob
    from bot.cancellation.policy import Policy


class Atlas(Protocol):
    """What the domain asks of the Administration API; `AtlasClient` is the real one."""

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        """Read one job; raises `AtlasRejected` or `AtlasUnavailable`."""

    async def restore_jobs(self, project_id: str, cluster_name: str) -> Sequence[RestoreJob]:
        """Read every job of a cluster, newest first."""

    async def clusters(self, project_id: str) -> Sequence[Cluster]:
        """Read the project's clusters."""

    async def cancel_restore_job(self, ref: JobRef) -> CancelAccepted:
        """Send exactly one DELETE; raises `AtlasRejected` or `AtlasUnavailable`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Atlas project: how people name it, whose key reads it, and its rules."""

    id: str
    name: str
    policy: Policy
    atlas: Atlas = field(repr=False)


class Projects:
    """Every project by id and by name."""

    def __init__(self, projects: Iterable[Project]) -> None:
        self._by_id = {project.id: project for project in projects}

    @property
    def all(self) -> tuple[Project, ...]:
        return tuple(self._by_id.values())

    @property
    def only(self) -> Project | None:
        """The project that need not be named, where there is one only."""
        return self.all[0] if len(self.all) == 1 else None

    def find(self, name_or_id: str) -> Project | None:
        """Find a project as people type it: by name in any case, or by id."""
        named = {project.name.casefold(): project for project in self.all}
        return self._by_id.get(name_or_id.lower()) or named.get(name_or_id.casefold())

    def rename(self, project_id: str, name: str) -> None:
        """Call a project by the name that Atlas has for it."""
        self._by_id[project_id] = replace(self._by_id[project_id], name=name)
