"""Carries out the decisions of people about a request, for buttons, dialogs and typed commands."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bot.cancellation import errors
from bot.cancellation import policy as rules
from bot.cancellation.job import StarterAnswer
from bot.cancellation.lifecycle import UNDECIDED, Request, State
from bot.cancellation.people import ActingPerson
from bot.slack import mrkdwn
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.payloads import Actor

T = TypeVar("T")

#: A decision about a request by its id.
Decision = Callable[[str, Actor], Coroutine[Any, Any, Request]]

#: For Slack to say who may decide: a link is usually live after three minutes.
LONGEST_WAIT = timedelta(minutes=3)
#: That one try may take, by the timeouts of Slack and the database: no try begins later, so that
#: nothing is recorded after the time that the person was given.
LONGEST_TRY = timedelta(seconds=12)
#: Seconds between two tries. One within Slack's Retry-After calls nothing: `RetryAfter` refuses it.
RETRY_PAUSE = 2.0


class Decisions:
    """Reads the person's rights from Slack and calls the service, which checks them.

    Each method returns the request as it is afterwards, and raises `CancellationError`.
    """

    def __init__(self, deps: Dependencies) -> None:
        self._service = deps.service
        self._directory = deps.directory

    async def approve(self, request_id: str, actor: Actor) -> Request:
        person = await self._approver(await self._undecided(request_id), actor)
        return await self._service.approve(request_id, person)

    async def deny(self, request_id: str, actor: Actor, reason: str) -> Request:
        person = await self._approver(await self._undecided(request_id), actor)
        return await self._service.deny(request_id, person, reason)

    async def keep(self, request_id: str, actor: Actor, reason: str) -> Request:
        try:
            request = await self._undecided(request_id)
            person, email = await asyncio.gather(
                self._approver(request, actor), self._directory.email_of(actor.id)
            )
            return await self._service.keep(request_id, person, reason, email)
        except errors.AlreadyHandled as error:
            raise await self._handled(error.request) from error

    async def withdraw(self, request_id: str, actor: Actor) -> Request:
        return await self._service.withdraw(request_id, self._directory.acting_by_id(actor))

    async def retry(self, request_id: str, actor: Actor) -> Request:
        request = await self._service.requests.get(request_id)
        policy = self._service.projects.policy(request.ref)
        may_retry = policy.approvers if request.by_bot else policy.requesters
        person = await self._directory.acting_person(actor, may_retry)
        return await self._service.retry(request_id, person)

    async def review(self, request_id: str, actor: Actor) -> Request:
        person = await self._approver(await self._service.requests.get(request_id), actor)
        return await self._service.review(request_id, person)

    async def check(self, request_id: str, actor: Actor, state: State) -> None:
        """Raise why the actor may not decide about the request, or that it left `state`."""
        request = await self._service.requests.get(request_id)
        if request.state is not state:
            raise await self._handled(request)
        person = await self._approver(request, actor)
        policy = self._service.projects.policy(request.ref)
        if request.by_bot:
            refusal = rules.may_keep(policy, person)
        else:
            refusal = rules.may_decide(policy, request.requester, person)
        if refusal:
            raise refusal

    async def _undecided(self, request_id: str) -> Request:
        """Read a request; raises that it was handled, for which Slack need not answer."""
        request = await self._service.requests.get(request_id)
        if request.state not in UNDECIDED:
            raise errors.AlreadyHandled(request)
        return request

    async def _handled(self, request: Request) -> errors.AlreadyHandled:
        """Return the refusal that says who was first, also where that is who started a download."""
        if request.by_bot and not request.approvals and request.state is not State.KEPT:
            job = (await self._service.jobs.store.get([request.ref]))[request.ref]
            if job.asked and job.answer is StarterAnswer.NOT_MINE:
                return errors.DisownedBefore(request, asked=job.asked)
        return errors.AlreadyHandled(request)

    async def _approver(self, request: Request, actor: Actor) -> ActingPerson:
        approvers = self._service.projects.policy(request.ref).approvers
        return await self._directory.acting_person(actor, approvers)


def waiting_until(until: datetime) -> str:
    return (
        ":hourglass_flowing_sand: Slack does not say at the moment who may do this. The bot asks "
        f"again until {mrkdwn.date(until, seconds=True)}: the card changes once your decision "
        "counts. If it has not changed by then, nothing was recorded: try again."
    )


async def decide_when_possible(
    decide: Callable[[], Awaitable[T]],
    deps: Dependencies,
    by: Interaction,
    error: errors.CancellationError | None = None,
) -> T:
    """Decide once Slack says who may do it, and say that the decision waits for that.

    `error` is of a first try. Raises the last one before `LONGEST_WAIT` is over, or if it will not
    pass. A shutdown ends the wait: `StoppedWaiting`, or `MaybeRecorded` while the decision is made.
    """
    now = deps.service.requests.now
    until = now() + LONGEST_WAIT
    is_waiting = False
    while error is None or error.is_temporary:
        try:
            if error and not is_waiting:
                await deps.replies.send_text(by, waiting_until(until))
                is_waiting = True
            if error:
                await deps.sleep(RETRY_PAUSE)
        except asyncio.CancelledError as stopped:
            raise errors.StoppedWaiting from stopped
        if error and now() > until - LONGEST_TRY:
            break
        try:
            return await decide()
        except errors.RightsNotChecked as again:
            error = again
        except asyncio.CancelledError as stopped:
            raise errors.MaybeRecorded from stopped
    raise error
