"""Carries out decisions about a request, by a button, a dialog or a typed command."""

import structlog

from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import Kind, Person
from bot.cancellation.policy import Policy
from bot.slack import mrkdwn
from bot.slack.command.grammar import Decide
from bot.slack.dependencies import Dependencies
from bot.slack.directory import require_policy
from bot.slack.errors import DirectoryError, sentence_for
from bot.slack.payloads import Actor

log = structlog.get_logger(__name__)


class Decisions:
    """Reads the person's rights from Slack and calls the service, which checks them.

    Each method returns the request as it is afterwards, and raises `CancellationError` or
    `DirectoryError`.
    """

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps

    async def approve(self, request_id: str, actor: Actor) -> Request:
        policy = await self._policy(request_id)
        person = await self._deps.directory.acting_person(actor, policy.approvers)
        return await self._deps.service.approve(request_id, person)

    async def deny(self, request_id: str, actor: Actor, reason: str) -> Request:
        request = await self._deps.service.request(request_id)
        if request.by_bot:  # to deny the bot's own request is to keep the download
            return await self.keep(request_id, actor, reason)
        policy = require_policy(self._deps.service, request.ref.project_id)
        person = await self._deps.directory.acting_person(actor, policy.approvers)
        return await self._deps.service.deny(request_id, person, reason)

    async def keep(self, request_id: str, actor: Actor, reason: str) -> Request:
        policy, directory = await self._policy(request_id), self._deps.directory
        person = await directory.acting_person(actor, policy.approvers)
        email = await directory.email_of(actor.id)
        return await self._deps.service.keep(request_id, person, reason, email)

    async def withdraw(self, request_id: str, actor: Actor) -> Request:
        # The ids of user and team decide, so Slack is not asked about the person.
        kind = Kind.OUTSIDER if actor.is_outsider else Kind.MEMBER
        person = Person(id=actor.id, team=actor.team, kind=kind)
        return await self._deps.service.withdraw(request_id, person)

    async def retry(self, request_id: str, actor: Actor) -> Request:
        request = await self._deps.service.request(request_id)
        policy = require_policy(self._deps.service, request.ref.project_id)
        may_retry = policy.approvers if request.by_bot else policy.requesters
        person = await self._deps.directory.acting_person(actor, may_retry)
        return await self._deps.service.retry(request_id, person)

    async def review(self, request_id: str, actor: Actor) -> Request:
        policy = await self._policy(request_id)
        person = await self._deps.directory.acting_person(actor, policy.approvers)
        return await self._deps.service.review(request_id, person)

    async def answer(self, typed: Decide, actor: Actor) -> str:
        """Carry out a typed decision; return its result, or why it was refused (mrkdwn)."""
        try:
            request = await self._decide(typed, actor)
        except (CancellationError, DirectoryError) as error:
            log.info("command refused", actor=actor.id, why=type(error).__name__)
            return sentence_for(error, self._deps.links)
        return recorded(request)

    async def _decide(self, typed: Decide, actor: Actor) -> Request:
        if typed.verb == "deny":
            return await self.deny(typed.request_id, actor, typed.reason)
        decision = self.approve if typed.verb == "approve" else self.withdraw
        return await decision(typed.request_id, actor)

    async def _policy(self, request_id: str) -> Policy:
        request = await self._deps.service.request(request_id)
        return require_policy(self._deps.service, request.ref.project_id)


def recorded(request: Request) -> str:
    """Say that a decision is recorded, and what the request waits for (mrkdwn)."""
    missing = request.approvals_missing if request.state is State.AWAITING else 0
    needed = f" {missing} more approval(s) needed." if missing else ""
    job = mrkdwn.summary(request)
    return f":white_check_mark: Recorded for {job}. {mrkdwn.request_status(request)}{needed}"
