"""The projects that the bot serves, and the rights that their current policies give."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from bot.atlas import AtlasClient, AtlasError, AtlasUnavailable, JobRef, KeyAccess
from bot.cancellation import judgement
from bot.cancellation.errors import (
    KeyMayNotCancel,
    NotAllowed,
    RightsNotChecked,
    UnknownProject,
)
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import Person, is_operator, operator
from bot.cancellation.policy import Policy, may_cancel
from bot.cancellation.starter import NOT_READ, StartedBy
from bot.services.rate_limit import RateLimitBudget, events_budget
from bot.timings import DEFAULT_TIMINGS, Timings

#: Reads users, and who of them is in which of the groups; raises `RightsNotChecked`.
ResolvePeople = Callable[[Collection[str], Collection[str]], Awaitable[Mapping[str, Person]]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """One Atlas project, equal by its id: the rest may change while someone holds it."""

    id: str
    name: str = field(compare=False)
    policy: Policy = field(compare=False)
    #: The client with its key; projects with the same key share it.
    atlas: AtlasClient = field(repr=False, compare=False)
    #: Where its new downloads are announced, or None.
    watch_channel: str | None = field(default=None, compare=False)
    #: Whether the key has a role that may cancel; None while that is not known.
    key_may_cancel: bool | None = field(default=None, compare=False)
    #: The rate limits of its backup calls, and of reads of its activity feed.
    backups: RateLimitBudget = field(default_factory=RateLimitBudget, repr=False, compare=False)
    events: RateLimitBudget = field(default_factory=events_budget, repr=False, compare=False)

    @property
    def why_read_only(self) -> NotAllowed | None:
        """Return why no cancellation is offered here, or None; only the policy forbids one."""
        lacks_role = self.key_may_cancel is False
        return may_cancel(self.policy) or (KeyMayNotCancel() if lacks_role else None)


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

    def find(self, name_or_id: str) -> Project | None:
        """Find a project by its name, in any case, or by its id, even if it is gone."""
        named = {project.name.casefold(): project for project in self.all}
        return self._by_id.get(name_or_id.lower()) or named.get(name_or_id.casefold())

    def get(self, project_id: str) -> Project:
        """Return a project by its id; raises `UnknownProject`."""
        if project := self.find(project_id):
            return project
        raise UnknownProject

    def policy(self, ref: JobRef) -> Policy:
        """Return the current policy for a job; raises `UnknownProject`."""
        return self.get(ref.project_id).policy

    def add(self, project: Project) -> None:
        self._by_id[project.id] = project

    def update(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace fields of projects, by their ids, all at once."""
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
            self._by_id[project.id] = replace(
                known, name=project.name, policy=project.policy, watch_channel=project.watch_channel
            )
        self._gone = (self._gone | self._listed) - found.keys()
        self._listed = frozenset(found)
        return added, gone


@dataclass(frozen=True)
class RightsCheck:
    """The check before a DELETE, at an approval and at a retry."""

    projects: Projects  #: with their current policies
    #: Reads people from Slack, never from an older cache. None at the command line, whose operator
    #: may ask for each job, and so lets other people's requests run, too.
    resolve: ResolvePeople | None
    #: Returns the starter of a quarantined download; raises `LedgerError`.
    starter_of: Callable[[JobRef], Awaitable[StartedBy]] | None = None

    async def judge(self, request: Request) -> Judgement:
        """Judge a request by the current policy; raises `RightsNotChecked` or `UnknownProject`."""
        people = await self.people_of(request)
        started_by = NOT_READ
        if request.by_bot and self.starter_of:
            started_by = await self.starter_of(request.ref)
        return judgement.judge(self.projects.policy(request.ref), request, people, started_by)

    async def people_of(self, request: Request, *others: str) -> Mapping[str, Person]:
        """Read requester and approvers of a request, and `others`; raises as `judge` does."""
        policy = self.projects.policy(request.ref)
        groups = policy.requesters.groups
        if request.runs_alone:
            groups |= policy.break_glass.groups
        if request.approvals:
            groups |= policy.approvers.groups
        users = {*request.approved_by, *others, request.requester} - {""}
        if self.resolve is None:
            if request.approvals:
                raise RightsNotChecked("The command line does not ask Slack.")
            return {} if request.by_bot else {request.requester: operator(request.requester)}
        operators = {user: operator(user) for user in users if is_operator(user)}
        in_slack = users - operators.keys()
        return {**operators, **(await self.resolve(in_slack, groups) if in_slack else {})}


async def follow_key_access(
    atlas: AtlasClient,
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
