"""The projects of organizations: all that a credential sees, and that the patterns select."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import structlog

from bot.atlas import AtlasError, AtlasReader, ReadItems
from bot.atlas import Project as AtlasProject
from bot.cancellation.policy import matches
from bot.services.projects import Project, Projects
from bot.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Organization:
    """An organization of the projects file; `build` makes a project from its id and name."""

    label: str
    atlas: AtlasReader
    include: Sequence[str]
    exclude: Sequence[str]
    build: Callable[[str, str], Project]


@dataclass(eq=False)
class Organizations:
    """Keeps the projects of the organizations up to date."""

    projects: Projects
    timings: Timings = DEFAULT_TIMINGS
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    on_change: Callable[[], None] = lambda: None  #: called after projects may have changed

    def __post_init__(self) -> None:
        self._all: tuple[Organization, ...] = ()
        self._listed: dict[AtlasReader, ReadItems[AtlasProject]] = {}  # by what reads the list
        self._own_ids = frozenset(project.id for project in self.projects.all)
        self._conflicts: set[str] = set()

    @property
    def is_complete(self) -> bool:
        """Whether the list of each organization was read completely."""
        lists = [self._listed.get(each.atlas) for each in self._all]
        return all(each is not None and not each.unread for each in lists)

    def set(self, organizations: Iterable[Organization]) -> None:
        """Set the organizations, and apply their patterns and policies to what is listed."""
        self._all = tuple(organizations)
        self._apply()

    async def run(self) -> None:
        """Read the lists again and again; sooner while one cannot be read."""
        while self._all:
            failed = await self.read()
            for sentence in failed:
                log.warning("organization not read, retrying", why=sentence)
            retry, interval = self.timings.organization_retry, self.timings.organization_interval
            await self.sleep(retry if failed else interval)

    async def read(self) -> list[str]:
        """Read all lists, and return what could not be read and why; those projects stay."""
        by_client = {each.atlas: each for each in self._all}
        failed = await asyncio.gather(*map(self._read, by_client.values()))
        self._apply()
        return [sentence for sentence in failed if sentence]

    async def _read(self, organization: Organization) -> str | None:
        try:
            found = await organization.atlas.projects()
        except AtlasError as error:
            return f"The projects of {organization.label} cannot be listed: {error}"
        listed = {each.id: each for each in found}
        if found.unread:  # a project that was listed before may be one of them
            listed = {each.id: each for each in self._listed.get(organization.atlas, ())} | listed
        by_id = sorted(listed.values(), key=lambda each: each.id)
        self._listed[organization.atlas] = ReadItems(by_id, found.unread)
        unread = found.unread_text("project")
        return f"In the list of {organization.label}, {unread}." if unread else None

    def _apply(self) -> None:
        found = {project.id: project for project in self._with_unique_names()}
        added, gone = self.projects.set_listed(found)
        for project in added:
            log.info("project of an organization", project=project.id, name=project.name)
        for project in gone:
            log.warning(
                "project is gone from its organization: only its open requests go on",
                project=project.id,
                name=project.name,
            )
        self.on_change()

    def _with_unique_names(self) -> Iterator[Project]:
        """Yield the selected projects; a name that another one has is replaced by the id."""
        own = [each for each in self.projects.all if each.id in self._own_ids]
        names = {project.name.casefold() for project in own}
        for project in self._selected():
            name = project.name.casefold()
            if name in names and project.id not in self._conflicts:
                self._conflicts.add(project.id)
                log.warning(
                    "two projects have one name: this one is named by its id; give it a name in "
                    "a [[projects]] entry of its own",
                    project=project.id,
                    name=project.name,
                )
            yield replace(project, name=project.id) if name in names else project
            names.add(name)

    def _selected(self) -> Iterator[Project]:
        seen = set(self._own_ids)
        for organization in self._all:
            for each in self._listed.get(organization.atlas, ()):
                is_selected = selects(organization.include, organization.exclude, each)
                if is_selected and each.id not in seen:
                    seen.add(each.id)
                    yield organization.build(each.id, each.name)


def selects(include: Iterable[str], exclude: Iterable[str], project: AtlasProject) -> bool:
    """Whether the patterns select a project, by its name in any case or by its id."""

    def any_matches(patterns: Iterable[str]) -> bool:
        return any(matches(each, text) for each in patterns for text in (project.name, project.id))

    return any_matches(include) and not any_matches(exclude)
