"""The projects that the bot serves, and what their keys may do."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from bot.atlas import AtlasError, AtlasReader, JobRef, ReadItems
from bot.atlas import Project as AtlasProject
from bot.cancellation.errors import KeyMayNotCancel, NotAllowed, UnknownProject
from bot.cancellation.policy import Policies, Policy, matches, may_cancel
from bot.services.rate_limit import RateLimitBudget
from bot.timings import Timings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Atlas project, equal by its id: the rest may change while someone holds it."""

    id: str
    name: str = field(compare=False)
    atlas_name: str = field(default="", compare=False)  #: its name in Atlas; empty until read
    policies: Policies = field(compare=False)
    #: The client with its key; projects with the same key share it.
    atlas: AtlasReader = field(repr=False, compare=False)
    #: Whether the key has a role that may cancel; None while that is not known.
    key_may_cancel: bool | None = field(default=None, compare=False)
    #: Why the person for whom this project was looked up may not ask, by policy.
    refusals: Mapping[Policy, NotAllowed] = field(default_factory=dict, compare=False)
    #: The rate limit of its backup calls.
    backups: RateLimitBudget = field(default_factory=RateLimitBudget, repr=False, compare=False)

    def refusal(self, cluster: str) -> NotAllowed | None:
        """Return why the person for whom this project was looked up may not ask in a cluster."""
        return self.refusals.get(self.policies.of(cluster))

    def offers(self, cluster: str) -> bool:
        return self.refusal(cluster) is None

    @property
    def is_watched(self) -> bool:
        """Whether new downloads are announced or on record, of some clusters at least."""
        return any(policy.is_watched for policy in self.policies.all)

    def why_read_only(self, cluster: str | None = None) -> NotAllowed | None:
        """Return why no cancellation is offered in a cluster, or in any; None where one is."""
        refusals = [*map(may_cancel, self.policies.possible(cluster))]
        lacks_role = self.key_may_cancel is False
        return refusals[0] if all(refusals) else KeyMayNotCancel() if lacks_role else None


class Projects:
    """Every project by id and by name."""

    def __init__(self, projects: Iterable[Project] = ()) -> None:
        self._by_id = {project.id: project for project in projects}
        self._listed: frozenset[str] = frozenset()
        self._gone: frozenset[str] = frozenset()

    @property
    def all(self) -> tuple[Project, ...]:
        """All projects, except those that are gone from their organization."""
        return tuple(each for each in self._by_id.values() if each.id not in self._gone)

    @property
    def only(self) -> Project | None:
        """The project, if only one is configured: commands need not name it."""
        return self.all[0] if len(self.all) == 1 else None

    def find(self, typed: str) -> Project | None:
        """Find a project by its name, or that in Atlas, in any case; or by its id, even if gone."""
        word = typed.casefold()
        named = [each for each in self.all if each.name.casefold() == word]
        named = named or [each for each in self.all if word and each.atlas_name.casefold() == word]
        return self.get_or_none(typed.lower()) or (named[0] if len(named) == 1 else None)

    def get_or_none(self, project_id: str) -> Project | None:
        """Return a project by its id alone, even if it is gone."""
        return self._by_id.get(project_id)

    def get(self, project_id: str) -> Project:
        """Return a project by its id; raises `UnknownProject`."""
        if project := self.get_or_none(project_id):
            return project
        raise UnknownProject

    def policy(self, ref: JobRef) -> Policy:
        """Return the current policy for a job; raises `UnknownProject`."""
        return self.get(ref.project_id).policies.of(ref.cluster_name)

    def policy_or_none(self, ref: JobRef) -> Policy | None:
        project = self.get_or_none(ref.project_id)
        return project.policies.of(ref.cluster_name) if project else None

    def add(self, project: Project) -> None:
        self._by_id[project.id] = project

    def update(self, project_id: str, **changes: Any) -> None:  # noqa: ANN401 - fields of a project
        if project := self.get_or_none(project_id):
            self.add(replace(project, **changes))

    def set_listed(self, found: Mapping[str, Project]) -> None:
        """Set the projects of the organizations, by id."""
        for each in self._listed - found.keys():
            log.warning(
                "project is gone from its organization: only its open requests go on",
                project=each,
                name=self._by_id[each].name,
            )
        for project in found.values():
            if project.id not in self._listed:
                log.info("project of an organization", project=project.id, name=project.name)
            known = self._by_id.get(project.id, project)
            # Of other credentials it is not known yet what they may do.
            access = known.key_may_cancel if known.atlas is project.atlas else None
            kept = replace(project, key_may_cancel=access, backups=known.backups)
            self._by_id[project.id] = kept
        self._gone = (self._gone | self._listed) - found.keys()
        self._listed = frozenset(found)


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
    interval: float = Timings.organization_interval  #: seconds between two reads of complete lists
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

    async def follow(self) -> float:
        """Read the lists; return the seconds until the next read, none where one was not read."""
        failed = await self.read()
        for sentence in failed:
            log.warning("organization not read, retrying", why=sentence)
        return 0.0 if failed else self.interval

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
        self.projects.set_listed({project.id: project for project in self._with_unique_names()})
        self.on_change()

    def _with_unique_names(self) -> Iterator[Project]:
        """Yield the selected projects; a name that another one has is replaced by the id."""
        names = {each.name.casefold() for each in self.projects.all if each.id in self._own_ids}
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
