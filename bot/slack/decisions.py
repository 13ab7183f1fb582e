"""Decisions of people about a request: the buttons of its card, and what carries them out.

Dialogs and typed commands use the same `Decisions`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import structlog

from bot.cancellation import errors
from bot.cancellation import policy as rules
from bot.cancellation.job import StarterAnswer
from bot.cancellation.lifecycle import UNDECIDED, Card, Request, State
from bot.cancellation.people import ActingPerson
from bot.slack import mrkdwn
from bot.slack.blockkit import is_in_home
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.calls import Dialog
from bot.slack.home import republish
from bot.slack.payloads import Actor
from bot.tasks import log_errors, run_until_deadline

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: A decision about a request by its id.
Decision = Callable[["Decisions", str, Actor], Coroutine[Any, Any, Request]]

#: For Slack to say who may decide: a link is usually live after three minutes.
LONGEST_WAIT = timedelta(minutes=3)
#: That one try may take, by the timeouts of Slack and the database: no try begins later, so that
#: nothing is recorded after the time that the person was given.
LONGEST_TRY = timedelta(seconds=12)
#: Seconds between two tries. One within Slack's Retry-After calls nothing: `CallLimits` refuses it.
RETRY_PAUSE = 2.0


async def on_decision(decision: Decision, deps: Dependencies, body: dict[str, Any]) -> None:
    await Click(deps, body).decide(decision)


def on_ask(state: State, dialog: str, deps: Dependencies, body: dict[str, Any]) -> None:
    """Open the dialog for a reason while the request is in `state`."""
    click = Click(deps, body)
    click.start(click.ask_reason(state, dialog))


class Click:
    """A click on a card's button; it ends in an updated card or in a private reply."""

    def __init__(self, deps: Dependencies, body: dict[str, Any]) -> None:
        container, action = body.get("container") or {}, body["actions"][0]
        self._deps = deps
        self._in_home, self._publish_home = is_in_home(body), partial(republish, deps, body)
        self._by = deps.interaction(body)
        self._request_id = str(action.get("value") or "")
        #: None in the Home tab and in private messages.
        self._message = None if container.get("is_ephemeral") else container.get("message_ts")

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._deps.start(work, "click", self._by)

    async def decide(self, decision: Decision) -> None:
        """Carry out a decision before the ack, and report its result afterwards."""
        work = partial(decision, Decisions(self._deps), self._request_id, self._by.actor)
        try:
            await self._deps.before_ack(work())
        except errors.CancellationError as error:
            self.start(self._decide_later(work, error))
        else:
            self.start(self._update_clicked())

    async def _decide_later(
        self, work: Callable[[], Awaitable[Request]], error: errors.CancellationError
    ) -> None:
        """Decide once Slack says who may do it, or report another refusal."""
        try:
            await decide_when_possible(work, self._deps, self._by, error)
        except errors.CancellationError as refusal:
            await self._report_refusal(refusal)
        else:
            await self._update_clicked()

    async def ask_reason(self, state: State, dialog: str) -> None:
        """Open the dialog for the reason, unless the refusal of the decision is known in time."""
        deps = self._deps
        check = Decisions(deps).check(self._request_id, self._by.actor, state)
        try:
            await run_until_deadline(check, deps.background, deps.reason_check_timeout)
        except errors.CancellationError as error:
            refusals = errors.AlreadyHandled | errors.NotAllowed | errors.RightsNotChecked
            if isinstance(error, refusals) and not error.is_temporary:
                await self._report_refusal(error)
                return
            # It is checked again when the dialog is submitted.
            log.info("decision not checked before its dialog", error=str(error))
        view = dialog_views.ask_reason(dialog, self._request_id, in_home=self._in_home)
        await Dialog(deps, self._by).open(view)
        await self._replace_second_card()

    async def _report_refusal(self, error: Exception) -> None:
        await self._deps.refuse(self._by, error)
        if isinstance(error, errors.StateConflict):
            await self._update_clicked()
        elif not isinstance(error, errors.StorageError):  # else the request cannot be read now
            await self._replace_second_card()

    async def _update_clicked(self) -> None:
        """Publish the Home tab, or let the outbox replace a card that was posted twice."""
        if self._in_home:
            self._publish_home()
        await self._replace_second_card()

    async def _replace_second_card(self) -> None:
        """Let the outbox replace the clicked message, if it is a card that was posted twice.

        Where Slack does not know `client_msg_id` and an answer was lost, the first post stays as it
        was until it is clicked, also after the end of the request: its place is known from a click
        alone. Finding it would take a scope that reads messages, which the bot does not ask for.
        """
        channel, requests = self._by.channel_id, self._deps.service.requests
        if not (self._message and channel):
            return
        with log_errors("second card not replaced"):
            request = await requests.get(self._request_id)
            if request.card and request.card.ts != self._message:
                clicked = Card(channel=channel, ts=self._message)
                await requests.replace_second_card(request.id, clicked, self._by.actor.id)


class Decisions:
    """Reads the person's rights from Slack and calls the service, which checks them.

    Each method returns the request as it is afterwards, and raises `CancellationError`.
    """

    def __init__(self, deps: Dependencies) -> None:
        self._deps = deps
        self._service = deps.service
        self._directory = deps.directory

    async def approve(self, request_id: str, actor: Actor) -> Request:
        request = await self._undecided(request_id)
        policy = self._service.projects.policy(request.ref)
        may = partial(rules.may_decide, policy, request.requester)
        read = self._directory.acting_person
        person = await self._deps.acting(read, actor, policy.approvers, may)
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
        people = policy.approvers if request.by_bot else policy.requesters
        may, read = partial(rules.may_retry, policy, request), self._directory.acting_person
        person = await self._deps.acting(read, actor, people, may)
        return await self._service.retry(request_id, person)

    async def review(self, request_id: str, actor: Actor) -> Request:
        request = await self._service.requests.get(request_id)
        policy = self._service.projects.policy(request.ref)
        may, read = partial(rules.may_review, policy, request), self._directory.acting_now
        person = await self._deps.acting(read, actor, policy.approvers, may)
        return await self._service.review(request_id, person)

    async def check(self, request_id: str, actor: Actor, state: State) -> None:
        """Raise why the actor may not decide about the request, or that it left `state`."""
        request = await self._service.requests.get(request_id)
        if request.state is not state:
            raise await self._handled(request)
        await self._approver(request, actor)

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
        """Return who denies a request, or keeps a quarantined download."""
        policy = self._service.projects.policy(request.ref)
        may = partial(rules.may_decide, policy, request.requester)
        if request.by_bot:
            may = partial(rules.may_keep, policy)
        return await self._deps.acting(self._directory.acting_now, actor, policy.approvers, may)


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
