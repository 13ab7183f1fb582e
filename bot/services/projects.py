"""The projects that the bot serves, and what their keys may do."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from bot.atlas import AtlasError, AtlasReader, AtlasUnavailable, JobRef, KeyAccess
from bot.cancellation.errors import KeyMayNotCancel, NotAllowed, UnknownProject
from bot.cancellation.policy import Policies, Policy, may_cancel
from bot.services.rate_limit import RateLimitBudget, events_budget
from bot.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Atlas project, equal by its id: the rest may change while someone holds it."""

    id: str
    name: str = field(compare=False)
    policies: Policies = field(compare=False)
    #: The client with its key; projects with the same key share it.
    atlas: AtlasReader = field(repr=False, compare=False)
    #: Whether the key has a role that may cancel; None while that is not known.
    key_may_cancel: bool | None = field(default=None, compare=False)
    #: Why the person for whom this project was looked up may not ask, by policy.
    refusals: Mapping[Policy, NotAllowed] = field(default_factory=dict, compare=False)
    #: The rate limits of its backup calls, and of reads of its activity feed.
    backups: RateLimitBudget = field(default_factory=RateLimitBudget, repr=False, compare=False)
    events: RateLimitBudget = field(default_factory=events_budget, repr=False, compare=False)

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
        """Return why no cancellation is offered in a cluster, or in any; only the policy forbids.

        Without a reason, None.
        """
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
        """Find a project by what people type: its name, in any case, or its id, even if gone."""
        named = {project.name.casefold(): project for project in self.all}
        return self.get_or_none(typed.lower()) or named.get(typed.casefold())

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

    def update(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace fields of projects, by their ids, in one step."""
        self._by_id = {
            project_id: replace(project, **changes.get(project_id, {}))
            for project_id, project in self._by_id.items()
        }

    def set_listed(self, found: Mapping[str, Project]) -> tuple[list[Project], list[Project]]:
        """Set the projects of the organizations, by id; return those that are new, and gone."""
        added = [project for project_id, project in found.items() if project_id not in self._listed]
        gone = [self._by_id[project_id] for project_id in self._listed - found.keys()]
        for project in found.values():
            known = self._by_id.get(project.id, project)
            # Of other credentials it is not known yet what they may do.
            access = known.key_may_cancel if known.atlas is project.atlas else None
            self._by_id[project.id] = replace(
                project, key_may_cancel=access, backups=known.backups, events=known.events
            )
        self._gone = (self._gone | self._listed) - found.keys()
        self._listed = frozenset(found)
        return added, gone


async def follow_key_access(
    atlas: AtlasReader,
    project_id: str,
    on_read: Callable[[KeyAccess], None],
    *,
    turn: Callable[[], Awaitable[object]],
    timings: Timings = DEFAULT_TIMINGS,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Read what a key may do again and again, each time in its `turn`; sooner without an answer."""
    while True:
        pause = timings.key_access_interval
        await turn()
        try:
            on_read(await atlas.key_access(project_id))
        except AtlasError as error:
            log.info("what the key may do is not known", project=project_id, why=str(error))
            if isinstance(error, AtlasUnavailable):
                pause = timings.key_access_retry
        await sleep(pause)
