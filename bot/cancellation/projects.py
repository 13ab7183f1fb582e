"""The configured Atlas projects, each with its own client and policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from bot.atlas import AtlasClient
from bot.cancellation.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Atlas project: its name, its policy, and the client with its key."""

    id: str
    name: str
    policy: Policy
    atlas: AtlasClient = field(repr=False)


class Projects:
    """Every project by id and by name."""

    def __init__(self, projects: Iterable[Project]) -> None:
        self._by_id = {project.id: project for project in projects}

    @property
    def all(self) -> tuple[Project, ...]:
        return tuple(self._by_id.values())

    @property
    def only(self) -> Project | None:
        """The project, if only one is configured: commands need not name it."""
        return self.all[0] if len(self.all) == 1 else None

    def find(self, name_or_id: str) -> Project | None:
        """Find a project by its name, in any case, or by its id."""
        named = {project.name.casefold(): project for project in self.all}
        return self._by_id.get(name_or_id.lower()) or named.get(name_or_id.casefold())

    def rename(self, project_id: str, name: str) -> None:
        """Change the name of a project to the one that Atlas has."""
        self._by_id[project_id] = replace(self._by_id[project_id], name=name)
