"""Judges requests again by the current policy, with people as Slack has them now."""

from collections.abc import Awaitable, Callable, Collection, Mapping

from bot.atlas import JobRef
from bot.cancellation import judgement
from bot.cancellation.errors import RightsNotChecked, UnknownProject
from bot.cancellation.judgement import Judgement
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import Person, is_operator, operator
from bot.cancellation.policy import Policy
from bot.cancellation.starter import NOT_READ, StartedBy
from bot.services.projects import Projects

#: Reads users, and who of them is in which of the groups; raises `RightsNotChecked`.
ResolvePeople = Callable[[Collection[str], Collection[str]], Awaitable[Mapping[str, Person]]]


#: Returns what is recorded about the starter of a job; raises `LedgerError`.
StarterOf = Callable[[JobRef], Awaitable[StartedBy]]


async def unknown_starter(_ref: JobRef) -> StartedBy:
    return NOT_READ


class RightsCheck:
    """The check before a DELETE, at an approval and at a retry.

    Args:
        projects: the projects with their current policies.
        resolve: reads people from Slack, never from an older cache. None at the command line, whose
            operator may ask for each job, and so lets other people's requests run, too.
        starter_of: returns the starter of a quarantined download.
    """

    def __init__(
        self,
        projects: Projects,
        resolve: ResolvePeople | None,
        starter_of: StarterOf = unknown_starter,
    ) -> None:
        self._projects = projects
        self._resolve = resolve
        self._starter_of = starter_of

    async def judge(self, request: Request) -> Judgement:
        """Judge a request by the current policy.

        Raises:
            RightsNotChecked: Slack did not answer; nothing may be done.
            UnknownProject: the project is not in the settings any more.
        """
        people = await self.people_of(request)
        started_by = await self._starter_of(request.ref) if request.by_bot else NOT_READ
        return judgement.judge(self._policy(request), request, people, started_by)

    async def people_of(self, request: Request, *others: str) -> Mapping[str, Person]:
        """Read requester and approvers of a request, and `others`; raises as `judge` does."""
        policy = self._policy(request)
        groups = policy.requesters.groups
        if request.runs_alone:
            groups |= policy.break_glass.groups
        if request.approvals:
            groups |= policy.approvers.groups
        users = {*request.approved_by, *others}
        if request.requester:
            users.add(request.requester)
        if self._resolve is None:
            if request.approvals:
                raise RightsNotChecked("The command line does not ask Slack.")
            return {} if request.by_bot else {request.requester: operator(request.requester)}
        operators = {user: operator(user) for user in users if is_operator(user)}
        in_slack = users - operators.keys()
        return {**operators, **(await self._resolve(in_slack, groups) if in_slack else {})}

    def _policy(self, request: Request) -> Policy:
        if project := self._projects.find(request.ref.project_id):
            return project.policy
        raise UnknownProject
