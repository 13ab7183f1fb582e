"""Judges a request right before its DELETE, by what Slack says about its people."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.cancellation.decisions import Judgement, judge, judge_without_slack, people_to_judge
from bot.cancellation.download import Download
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import Person
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request

#: Returns these users, with those of these groups that they are in; raises `RightsNotChecked`.
Resolve = Callable[[Collection[str], Collection[str]], Awaitable[Mapping[str, Person]]]
#: For so long what held at the decision counts while Slack does not answer: waiting would let the
#: copy go.
DECISION_HOLDS = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Rights:
    """The check of rights; the command line has a `resolve` that always raises."""

    resolve: Resolve

    async def judge(
        self, request: Request, download: Download, policy: Policy, now: datetime
    ) -> Judgement:
        """Judge a request; raises `RightsNotChecked` where Slack has been silent for too long."""
        users = people_to_judge(request)
        try:
            people = await self.resolve(users, groups_of(policy)) if users else {}
        except RightsNotChecked:
            # Auto-cancel, which asks nobody, would cancel it by now.
            is_due = download.is_due(policy, now)
            if now >= request.changed_at + DECISION_HOLDS and not is_due:
                raise
            return judge_without_slack(policy, download, request)
        return judge(policy, download, request, people)


def groups_of(policy: Policy) -> frozenset[str]:
    """Return the user groups that a policy names."""
    return policy.may_ask.groups


async def nobody_answers(_users: Collection[str], _groups: Collection[str]) -> Mapping[str, Person]:
    """Resolve nobody: the command line does not ask Slack."""
    raise RightsNotChecked("The command line does not ask Slack.")
