"""Carries out decisions about a request, by a button, a dialog or a typed command."""

import structlog

from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import Kind, Person
from bot.slack import mrkdwn
from bot.slack.command.grammar import Decide
from bot.slack.dependencies import Dependencies
from bot.slack.errors import sentence_for
from bot.slack.payloads import Actor

log = structlog.get_logger(__name__)


class Decisions:
    """Reads the person's rights from Slack and calls the service, which checks them.

    Each method returns the request as it is afterwards, and raises `CancellationError`.
    """

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    async def approve(self, request_id: str, actor: Actor) -> Request:
        person = await self._approver(await self._deps.service.requests.get(request_id), actor)
        return await self._deps.service.approve(request_id, person)

    async def deny(self, request_id: str, actor: Actor, reason: str) -> Request:
        request = await self._deps.service.requests.get(request_id)
        if request.by_bot:  # to deny the bot's own request is to keep the download
            return await self.keep(request_id, actor, reason)
        person = await self._approver(request, actor)
        return await self._deps.service.deny(request_id, person, reason)

    async def keep(self, request_id: str, actor: Actor, reason: str) -> Request:
        person = await self._approver(await self._deps.service.requests.get(request_id), actor)
        email = await self._deps.directory.email_of(actor.id)
        return await self._deps.service.keep(request_id, person, reason, email)

    async def withdraw(self, request_id: str, actor: Actor) -> Request:
        # The ids of user and team decide, so Slack is not asked about the person.
        kind = Kind.OUTSIDER if actor.is_outsider else Kind.MEMBER
        person = Person(id=actor.id, team=actor.team, kind=kind)
        return await self._deps.service.withdraw(request_id, person)

    async def retry(self, request_id: str, actor: Actor) -> Request:
        request = await self._deps.service.requests.get(request_id)
        policy = self._deps.service.projects.get(request.ref.project_id).policy
        may_retry = policy.approvers if request.by_bot else policy.requesters
        person = await self._deps.directory.acting_person(actor, may_retry)
        return await self._deps.service.retry(request_id, person)

    async def review(self, request_id: str, actor: Actor) -> Request:
        person = await self._approver(await self._deps.service.requests.get(request_id), actor)
        return await self._deps.service.review(request_id, person)

    async def answer(self, typed: Decide, actor: Actor) -> str:
        """Carry out a typed decision; return its result, or why it was refused (mrkdwn)."""
        decide = self.approve if typed.verb == "approve" else self.withdraw
        try:
            if typed.verb == "deny":
                request = await self.deny(typed.request_id, actor, typed.reason)
            else:
                request = await decide(typed.request_id, actor)
        except CancellationError as error:
            log.info("command refused", actor=actor.id, why=type(error).__name__)
            return sentence_for(error, self._deps.links)
        missing = request.approvals_missing if request.state is State.AWAITING else 0
        needed = f" {missing} more approval(s) needed." if missing else ""
        job, status = mrkdwn.summary(request), mrkdwn.request_status(request)
        return f":white_check_mark: Recorded for {job}. {status}{needed}"

    async def _approver(self, request: Request, actor: Actor) -> Person:
        """Return the actor, with all that decides whether they are an approver."""
        policy = self._deps.service.projects.get(request.ref.project_id).policy
        return await self._deps.directory.acting_person(actor, policy.approvers)
