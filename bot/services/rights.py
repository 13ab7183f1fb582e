"""Checks the rights of a request's people: before a DELETE, and at the decisions of people."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from bot.atlas import JobRef
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.judgement import Judgement, judge
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import Person, is_operator, operator
from bot.cancellation.starter import NOT_READ, StartedBy
from bot.services.projects import Projects

#: Reads users, and who of them is in which of the groups; raises `RightsNotChecked`.
ResolvePeople = Callable[[Collection[str], Collection[str]], Awaitable[Mapping[str, Person]]]


@dataclass(frozen=True)
class RightsCheck:
    """The check before a DELETE, at an approval, a retry and a review."""

    projects: Projects  #: with their current policies
    #: Reads people from Slack, never from an older cache. None at the command line, whose operator
    #: may ask for each job, and so lets other people's requests run, too.
    resolve: ResolvePeople | None
    #: Returns the starter of a quarantined download; raises `StorageError`.
    starter_of: Callable[[JobRef], Awaitable[StartedBy]] | None = None

    async def judge(self, request: Request, people: Mapping[str, Person]) -> Judgement:
        """Judge a request by the current policy, with the `people_of` it."""
        started_by = NOT_READ
        if request.by_bot and self.starter_of:
            started_by = await self.starter_of(request.ref)
        return judge(self.projects.policy(request.ref), request, people, started_by)

    async def people_of(self, request: Request, *others: str) -> Mapping[str, Person]:
        """Read a request's people and `others`; raises `RightsNotChecked` or `UnknownProject`."""
        policy = self.projects.policy(request.ref)
        groups = policy.requesters.groups
        if request.runs_alone:
            groups |= policy.break_glass.groups
        if request.approvals or others:  # another approval may come before the row is locked
            groups |= policy.approvers.groups
        users = {*request.approved_by, *others, request.requester} - {""}
        if self.resolve is None:
            if request.approvals:
                raise RightsNotChecked("The command line does not ask Slack.")
            return {} if request.by_bot else {request.requester: operator(request.requester)}
        operators = {user: operator(user) for user in users if is_operator(user)}
        in_slack = users - operators.keys()
        return {**operators, **(await self.resolve(in_slack, groups) if in_slack else {})}
