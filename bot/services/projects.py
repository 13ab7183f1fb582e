"""The projects of the settings, each with its policies and its gateway to Atlas."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import structlog

from bot.atlas import AtlasError, AtlasGateway, JobRef
from bot.cancellation.errors import UnknownProject
from bot.cancellation.policy import Policies, Policy

RETRY_NAMES = 60.0  #: seconds between two tries to read a project's name

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project; its name is the id until Atlas or the settings give one."""

    id: str
    name: str
    policies: Policies
    gateway: AtlasGateway

    @property
    def is_named(self) -> bool:
        return self.name != self.id

    @property
    def is_watched(self) -> bool:
        return self.policies.default.channel is not None


class Projects:
    """The projects by their ids."""

    def __init__(self, projects: Iterable[Project]) -> None:
        self._projects = {project.id: project for project in projects}
        self._labels = {project.id: project.name for project in self}

    def __iter__(self) -> Iterator[Project]:
        return iter(list(self._projects.values()))

    def get(self, project_id: str) -> Project:
        """Return a project; raises `UnknownProject`."""
        if project := self._projects.get(project_id):
            return project
        raise UnknownProject

    def get_or_none(self, project_id: str) -> Project | None:
        return self._projects.get(project_id)

    def find(self, text: str) -> Project | None:
        """Return the project with this name or id, in any case."""
        wanted = text.casefold()
        found = (item for item in self if wanted in {item.id, item.name.casefold()})
        return next(found, None)

    def policy(self, ref: JobRef) -> Policy:
        """Return the policy for a job's cluster; raises `UnknownProject`."""
        return self.get(ref.project_id).policies.of(ref.cluster_name)

    def name_of(self, project_id: str) -> str:
        project = self.get_or_none(project_id)
        return project.name if project else project_id

    def label_of(self, project_id: str) -> str:
        """Return the name of the settings, else the id: unlike the name, it never changes."""
        return self._labels.get(project_id, project_id)

    async def read_names(self) -> None:
        """Read the names that the settings lack, until all are known."""
        while True:
            if await self.read_names_once():
                return
            await asyncio.sleep(RETRY_NAMES)

    async def read_names_once(self) -> bool:
        """Read the names that the settings lack; whether all are known."""
        unnamed = [project for project in self if not project.is_named]
        await asyncio.gather(*map(self._read_name, unnamed))
        return all(project.is_named for project in self)

    async def _read_name(self, project: Project) -> None:
        try:
            name = await project.gateway.project_name()
        except AtlasError as error:
            log.info("name of the project not read", project=project.id, why=str(error))
        else:
            self._projects[project.id] = replace(project, name=name)
