"""`cancel-restore cancel`: cancels a restore job through the service of Slack, without Slack."""

import asyncio
import sys
import uuid
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Annotated

import typer

from bot.atlas import AtlasError, RestoreJob
from bot.cancellation.errors import (
    CancellationError,
    JobAlreadyRequested,
    LedgerError,
    NotAllowed,
    NotCancellableNow,
    StateConflict,
)
from bot.cancellation.lifecycle import UNDECIDED, JobFingerprint, Request, State
from bot.cancellation.policy import Policy, check_reason, check_typed_name, may_cancel
from bot.cli import jobs
from bot.cli.jobs import FormatOption, ShownJob, Target, TargetArgument
from bot.cli.output import (
    FAILED,
    INTERRUPTED,
    WAITS_FOR_APPROVAL,
    WRONG_USAGE,
    fail,
    format_of,
    write_fields,
)
from bot.cli.progress import Progress
from bot.services.projects import Project
from bot.services.service import Submission, refusal_of
from bot.settings import Settings
from bot.slack import deployment
from bot.slack.dialog.views import why_not_cancellable
from bot.startup_checks import StartError, migrate
from bot.storage.audit_log import AuditLog
from bot.timings import DEFAULT_TIMINGS
from bot.wiring import CoreServices

POLL_INTERVAL = 0.3  #: seconds between two reads of the request
BOT_TIMEOUT = 60.0  #: seconds to wait for a bot that carries out what was approved in Slack

ENDED_BY_ITSELF = (
    "The restore job reads cancelled and failed, and no DELETE of this bot is on record: it ended "
    "by itself or by Atlas. No copy comes of it."
)
CANCELLED_ALREADY = "The job is cancelled already{by}: nothing was sent now."
NOTHING_RECORDED = "Nothing was recorded, and nothing was sent."
GO_ON = "Call the same command again: it goes on with this request, or shows who does."
UNFINISHED = (
    "Request {request} is recorded, and not finished: the same command finishes it when it is "
    "called again, or a running bot does."
)
REASON_MISSING = "A reason is needed: add --reason TEXT, why the job is to be cancelled."
NO_CARD = (
    "no channel has its card, because neither BOT_AUDIT_CHANNEL nor BOT_WATCH_CHANNEL is set; an "
    "approver types {approve} in Slack"
)
NO_BOT = (
    "Request {request} was approved in Slack, and no running bot carries it out. The command line "
    "cannot check approvals: start the bot."
)


def cancel_job(
    target: TargetArgument,
    reason: Annotated[str, typer.Option(help="Why; it is shown and recorded.")] = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the cluster's name.")] = False,
    alone: Annotated[
        bool,
        typer.Option(
            "--without-approval",
            help="Do not wait for required approvals; it needs a reason, and is reviewed later.",
        ),
    ] = False,
    how: FormatOption = "",
) -> None:
    """Cancel a restore job with the checks and the record of Slack; Slack is not needed.

    It may be interrupted at any moment and called again: it goes on with the same request.
    Exit codes: 0 Atlas reads cancelled, 1 failed (Atlas, the job or the database prevents it),
    2 wrong usage or settings (they prevent it), 3 waits for approval, 130 ended by Ctrl-C.

    \u0008
    Examples:
    cancel-restore cancel prod-eu 5b622f7087d9d6039fafe03f --reason "started by mistake"
    cancel-restore cancel shop-prod prod-eu 5b622f7087d9d6039fafe03f --reason "INC-7" --yes
    cancel-restore cancel prod-eu 5b622f7087d9d6039fafe03f --reason "INC-7" --without-approval
    """
    call = Call(target=Target.parse(target), reason=storable(reason), yes=yes, alone=alone)
    progress = Progress(format_of(how), sys.stdout)
    if not yes and not sys.stdin.isatty():
        fail("No terminal can ask for the cluster's name: add --yes.", WRONG_USAGE)
    raise typer.Exit(_run(jobs.load_atlas_settings(), call, progress))


def storable(argument: str) -> str:
    """Return an argument as a database takes it: without NUL and undecodable bytes."""
    return argument.replace("\0", "").encode(errors="surrogateescape").decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The arguments of a call."""

    target: Target
    reason: str
    yes: bool  #: whether not to ask for the cluster's name
    alone: bool  #: whether to run without the approvals that the policy requires

    def refusal(self, policy: Policy) -> str:
        """Return why the policy does not allow the call; empty if it does."""
        alone = self.alone and policy.approvals > 0
        is_unexplained = check_reason(policy, self.reason, alone=alone)
        return str(may_cancel(policy) or (REASON_MISSING if is_unexplained else ""))


def _run(settings: Settings, call: Call, progress: Progress) -> int:
    """Run the command and return its exit code; an error ends it with its sentence."""
    refusals = [call.refusal(each.policy) for each in settings.policy_holders]
    if refusals and all(refusals):  # so Atlas need not be asked which project has the job
        fail(refusals[0], WRONG_USAGE)
    command: CancelCommand | None = None
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            command = runner.run(_open(stack, settings, call, progress))
            if not call.yes:
                command.confirm()  # not in `runner`, so that Ctrl-C ends the prompt
            return runner.run(command.cancel())
        except (KeyboardInterrupt, typer.Abort):
            holds = runner.run(command.after_interrupt()) if command else NOTHING_RECORDED
            typer.echo(holds, err=True)
            return INTERRUPTED
        except (AtlasError, CancellationError, StartError) as error:
            if isinstance(error, NotAllowed) and not isinstance(error, NotCancellableNow):
                fail(str(error), WRONG_USAGE)
            again = f" {GO_ON}" if isinstance(error, LedgerError) else ""
            fail(f"{error}{again}")
        finally:
            runner.run(stack.aclose())


async def _open(
    stack: AsyncExitStack, settings: Settings, call: Call, progress: Progress
) -> "CancelCommand":
    await migrate(settings.database_url.get_secret_value())
    services = await stack.enter_async_context(jobs.open_services(settings))
    await services.clock.set()
    project, ref = await jobs.find_job(services, call.target)
    if refusal := call.refusal(project.policy):
        fail(refusal, WRONG_USAGE)
    reading = services.cancellation.look_up(ref, timeout=jobs.READ_TIMEOUT)
    details = await jobs.in_known_cluster(services, project, call.target, reading)
    shown = ShownJob(project.name, ref, details.job, details.facts, details.open_request)
    progress.fields = shown.fields()
    return CancelCommand(services, project, call, shown, progress)


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """One run of the command."""

    services: CoreServices
    project: Project
    call: Call
    shown: ShownJob  #: with the open request of an earlier call or person
    progress: Progress
    key: str = field(default_factory=lambda: f"cli:{uuid.uuid4().hex}")  #: of its request

    def confirm(self) -> None:
        """Ask for the cluster's name where a request is made; another name ends the command."""
        if not self.shown.job.can_be_cancelled or (self.shown.request and not self.call.alone):
            return
        write_fields(self.shown.details(), sys.stderr)
        name = self.shown.ref.cluster_name
        asked = f"Type the cluster's name, {name}, to cancel the job"
        ask = partial(typer.prompt, asked, default="", show_default=False, err=True)
        while not (typed := ask().strip()):
            typer.echo("Nothing was typed. Ctrl-C ends the command.", err=True)
        policy = replace(self.project.policy, confirm_by_typing=True)
        if check_typed_name(policy, name, typed):
            fail(f"That is not {name}, so nothing was done.", WRONG_USAGE)

    async def cancel(self) -> int:
        """Cancel the job, or join the open request for it; return the exit code."""
        earlier = self.shown.request
        if earlier and earlier.state is State.QUARANTINED:
            earlier = None  # its own request takes the place of the bot's
        if earlier and earlier.state is State.AWAITING and self.call.alone:
            earlier = await self._withdraw(earlier)
        if earlier:
            return await self._join(earlier)
        if not self.shown.job.can_be_cancelled:
            return await self._report_ended()
        try:
            request = await self.services.cancellation.submit(self._submission())
        except JobAlreadyRequested as error:
            return await self._join(error.request)
        return await self._follow(request)

    async def _withdraw(self, earlier: Request) -> Request | None:
        """Withdraw a request that waits, for one without approvals; return it if it runs by now."""
        submission = self._submission()
        if refusal := refusal_of(self.project.policy, submission):
            raise refusal
        try:
            # An operator may act alone, so the requester is not asked.
            withdrawn = await self.services.requests.decide(
                earlier.id, State.WITHDRAWN, submission.person, lambda _: None
            )
        except StateConflict as error:
            return error.request
        waited = f"Request {earlier.id} of {earlier.requester} waited: it is withdrawn."
        self.progress.note(waited, withdrawn)
        return None

    def _submission(self) -> Submission:
        channel = self.project.policy.audit_channel or self.project.watch_channel or ""
        return Submission(
            key=self.key,
            person=jobs.current_operator(),
            ref=self.shown.ref,
            project_name=self.project.name,
            asked_in=channel,
            channel=channel,
            shown=JobFingerprint.of(self.shown.job),
            reason=self.call.reason,
            typed=self.shown.ref.cluster_name,
            approver_members=None,
            alone=self.call.alone,
        )

    async def _join(self, request: Request) -> int:
        when = request.created_at.isoformat(sep=" ", timespec="seconds")
        asked_by = request.requester or "The bot"
        self.progress.note(f"{asked_by} asked for this already, {when}.", request)
        return await self._follow(request)

    async def _report_ended(self) -> int:
        """Report a job that cannot be cancelled: it is a success if it was cancelled before."""
        earlier = await self.services.requests.newest_request_for(self.shown.ref)
        if exit_code(earlier, self.shown.job) == 0:
            by = ""
            if earlier and earlier.sent.may_have_taken_effect:
                self.progress.request = earlier.id
                by = f", by request {earlier.id} of {earlier.requester or 'the bot'}"
            self.progress.note(CANCELLED_ALREADY.format(by=by))
            return 0
        sentence = (
            ENDED_BY_ITSELF if self.shown.job.cancelled else why_not_cancellable(self.shown.job)
        )
        self.progress.note(sentence)
        self.progress.fail(sentence)
        return FAILED

    async def _follow(self, request: Request) -> int:
        """Show each step of a request until it ends or waits for approval; run it if it is free."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + BOT_TIMEOUT
        with self.progress.waiting():
            while True:
                request = await self.services.requests.get(request.id)
                async for event in AuditLog(self.services.database).events(request=request.id):
                    self.progress.step(event, request)
                if request.state in UNDECIDED:
                    self.progress.note(standing(request), request)
                    return WAITS_FOR_APPROVAL
                if request.state.ended:
                    return await self._outcome(request)
                if not request.approvals:
                    self.services.runner.start(request.id)
                elif request.state is State.APPROVED and clock() > deadline:
                    fail(NO_BOT.format(request=request.id))
                await asyncio.sleep(POLL_INTERVAL)

    async def _outcome(self, request: Request) -> int:
        """Return the exit code; a job may read cancelled although the request did not do it."""
        job = self.shown.job
        if request.state is not State.CANCELLED:
            read = self.project.atlas.restore_job(self.shown.ref, timeout=jobs.READ_TIMEOUT)
            try:
                job = await read
            except AtlasError as error:
                self.progress.fail(str(error))
                return FAILED
        if code := exit_code(request, job):
            self.progress.fail(standing(request))
        return code

    async def after_interrupt(self) -> str:
        """Stop the run, and say what holds after Ctrl-C."""
        await self.services.runner.stop(DEFAULT_TIMINGS.run_stop_timeout)
        try:
            request = await self.services.requests.newest_request_for(self.shown.ref)
        except CancellationError:
            return f"The record cannot be read. {GO_ON}"
        is_known = request and (request.key == self.key or request.id == self.progress.request)
        return standing(request) if request and is_known else NOTHING_RECORDED


def standing(request: Request) -> str:
    """Say how far a request is, or how it ended (pure)."""
    if request.state in UNDECIDED:
        where = f"its card is in channel {request.channel}" if request.channel else NO_CARD
        where = where.format(approve=deployment.command(f"approve {request.id}"))
        return f"Request {request.id} waits for {request.approvals_missing} approval(s): {where}."
    if request.state.ended:
        return f"Request {request.id} is {request.state}. {request.outcome.sentence}".strip()
    return UNFINISHED.format(request=request.id)


def exit_code(request: Request | None, job: RestoreJob) -> int:
    """Return 0 if Atlas reads cancelled, else 1 (pure).

    A job that reads cancelled and failed ended otherwise, unless a DELETE of the request was sent.
    """
    if request and request.state is State.CANCELLED:
        return 0
    was_sent = request is not None and request.sent.may_have_taken_effect
    return 0 if job.cancelled and (was_sent or not job.failed) else FAILED
