"""`cancel-restore cancel`: cancels a restore job through the service of Slack, without Slack."""

import asyncio
import sys
import uuid
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Annotated

import typer

from bot.atlas import AtlasError, ClusterNotFound, JobNotFound, RestoreJob
from bot.cancellation import errors
from bot.cancellation.job import NO_COPY
from bot.cancellation.lifecycle import UNDECIDED, Ask, JobFingerprint, Request, State
from bot.cancellation.policy import Mode, Policy, check_reason, check_typed_name, may_cancel
from bot.cancellation.posts import are_reached_directly, can_reach_approvers
from bot.cli import jobs, output
from bot.cli.jobs import FormatOption, Target, TargetArgument
from bot.cli.output import Progress, fields_of, lines_of
from bot.log_config import without_secrets
from bot.services.jobs import JobDetails
from bot.services.projects import Project
from bot.services.service import Submission
from bot.settings import Settings
from bot.slack import deployment, job_lines, mrkdwn
from bot.slack.dialog.job_details import why_not_cancellable
from bot.startup_checks import StartError, migrate
from bot.storage.audit_log import AuditLog
from bot.wiring import CoreServices

POLL_INTERVAL = 0.3  #: seconds between two reads of the request
BOT_TIMEOUT = 60.0  #: seconds to wait for a bot that carries out what was approved in Slack

ENDED_BY_ITSELF = (
    "The download reads cancelled and failed, and no DELETE of this bot is on record: it ended "
    "by itself or by Atlas."
)
CANCELLED_ALREADY = "The download is cancelled already{by}: nothing was sent now."
NOTHING_RECORDED = "Nothing was recorded, and nothing was sent."
STOPPED = (
    "Interrupted: a DELETE may have been sent. Call the same command again: it goes on with its "
    "request, and says how it ended."
)
GO_ON = "Call the same command again: it goes on with this request, or shows who does."
REASON_MISSING = "A reason is needed: add --reason TEXT, why the download is to be cancelled."
REASON_DROPPED = "The open request keeps its own reason; the one given now is not recorded."
REPLACED = "Request {request} of {of} waited: this one takes its place."
SENT_DIRECTLY = "a running bot sends its card to each approver directly"
NO_CHANNEL = (
    "no channel has its card, because neither BOT_AUDIT_CHANNEL nor BOT_WATCH_CHANNEL names one"
)
NO_CARD = f"{NO_CHANNEL}; an approver types {{approve}} in Slack"
NO_REVIEWER = f"{NO_CHANNEL}: ask an approver to review it on the bot's Home tab in Slack"
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
        bool, typer.Option("--without-approval", help="Skip required approvals, with a reason.")
    ] = False,
    how: FormatOption = "",
) -> None:
    """Cancel a download with the checks and the audit log of the bot; Slack is not needed.

    It may be interrupted at any moment and called again: it goes on with the same request.
    Exit codes: 0 Atlas reads cancelled, 1 failed (Atlas, the job or the database prevents it),
    2 wrong usage or settings (they prevent it), 3 waits for approval, 130 ended by Ctrl-C.

    \u0008
    Examples:
    cancel-restore cancel prod-eu 5b622f7087d9d6039fafe03f --reason "started by mistake"
    cancel-restore cancel shop-prod prod-eu 5b622f7087d9d6039fafe03f --reason "INC-7" --yes
    cancel-restore cancel 5b622f7087d9d6039fafe03f --reason "INC-7" --without-approval
    """
    why = reason.encode(errors="surrogateescape").decode(errors="replace")  # as databases take it
    options = CancelOptions(target=Target.parse(target), reason=why.strip(), yes=yes, alone=alone)
    progress = Progress(output.format_of(how), sys.stdout)
    raise typer.Exit(_run(jobs.load_atlas_settings(), options, progress))


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOptions:
    target: Target
    reason: str
    yes: bool  #: whether not to ask for the cluster's name
    alone: bool  #: whether to run without the approvals that the policy requires

    def refusal(self, policy: Policy) -> str:
        """Return why the policy does not allow it; empty if it does."""
        alone = self.alone and policy.approvals > 0
        is_unexplained = check_reason(policy, self.reason, alone=alone)
        return str(may_cancel(policy) or (REASON_MISSING if is_unexplained else ""))


def _run(settings: Settings, options: CancelOptions, progress: Progress) -> int:
    """Run the command and return its exit code; an error ends it with its sentence."""
    cluster, holders = options.target.cluster, settings.policy_holders
    policies = chain.from_iterable(each.policies.possible(cluster) for each in holders)
    refusals = [*map(options.refusal, policies)]
    if refusals and all(refusals):  # so Atlas need not be asked which project has the job
        output.fail(refusals[0], output.WRONG_USAGE)
    interrupted = NOTHING_RECORDED
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            command = runner.run(_open(stack, settings, options, progress))
            if not options.yes:
                command.confirm()  # not in `runner`, so that Ctrl-C ends the prompt
            interrupted = STOPPED
            return runner.run(command.cancel())
        except (KeyboardInterrupt, typer.Abort):
            typer.echo(interrupted, err=True)
            return output.INTERRUPTED
        except errors.NotAllowed as error:
            output.fail(str(error), output.WRONG_USAGE)
        except (AtlasError, errors.CancellationError, StartError) as error:
            hint = f" {GO_ON}" if isinstance(error, errors.StorageError) else ""
            output.fail(f"{error}{hint}")
        finally:
            runner.run(stack.aclose())


async def _open(
    stack: AsyncExitStack, settings: Settings, options: CancelOptions, progress: Progress
) -> "CancelCommand":
    await migrate(settings.database_url.get_secret_value())
    with jobs.reading_atlas(settings):
        services = await stack.enter_async_context(jobs.open_services(settings))
        await services.clock.set()
        project, ref = await jobs.find_job(services, options.target)
        if refusal := options.refusal(project.policies.of(ref.cluster_name)):
            output.fail(refusal, output.WRONG_USAGE)
        try:
            shown = await services.jobs.look_up(ref, timeout=jobs.READ_TIMEOUT)
        except (ClusterNotFound, JobNotFound) as error:
            await jobs.explain_missing(services, project, ref, error)
    progress.fields = fields_of(shown)
    return CancelCommand(services, project, options, shown, progress)


@dataclass(frozen=True, slots=True)
class CancelCommand:
    services: CoreServices
    project: Project
    options: CancelOptions
    shown: JobDetails  #: with the open request of an earlier call or person
    progress: Progress
    key: str = field(default_factory=lambda: f"cli:{uuid.uuid4().hex}")  #: of its request

    @property
    def policy(self) -> Policy:
        return self.project.policies.of(self.shown.ref.cluster_name)

    def confirm(self) -> None:
        """Ask for the cluster's name where a request is made; another name ends the command."""
        goes_on = self.shown.open_request and not self.options.alone
        if not self.shown.job.can_be_cancelled or goes_on:
            return
        output.write_fields(lines_of(self.shown), sys.stderr)
        name = self.shown.ref.cluster_name
        asked = f"Type the cluster's name, {name}, to cancel the download"
        while not (typed := read_line(asked)):
            typer.echo("Nothing was typed. Ctrl-C ends the command.", err=True)
        if check_typed_name(replace(self.policy, confirm_by_typing=True), name, typed):
            output.fail(f"That is not {name}, so nothing was done.", output.WRONG_USAGE)

    async def cancel(self) -> int:
        """Cancel the job, or join the open request for it; return the exit code."""
        earlier = self.shown.open_request
        runs = earlier is not None and earlier.state not in UNDECIDED
        if not (self.shown.job.can_be_cancelled or runs):
            return await self._report_ended()
        replaceable = UNDECIDED if self.options.alone else {State.QUARANTINED}
        if earlier and earlier.state not in replaceable:
            return await self._join(earlier)
        try:
            request = await self.services.cancellation.submit(self._submission())
        except errors.JobAlreadyRequested as error:
            return await self._join(error.request)
        if earlier and (replaced := await self.services.requests.get(earlier.id)).was_replaced:
            self.progress.note(
                REPLACED.format(request=earlier.id, of=earlier.requester or "the bot"), replaced
            )
        return await self._follow(request)

    def _submission(self) -> Submission:
        channel = next(iter(self.policy.post_channels.values()), "")
        return Submission(
            key=self.key,
            person=jobs.current_operator(),
            ask=Ask(
                ref=self.shown.ref,
                shown=JobFingerprint.of(self.shown.job),
                asked_in=channel,
                reason=self.options.reason,
            ),
            channel=channel,
            typed=self.shown.ref.cluster_name,
            approver_members=None,
            alone=self.options.alone,
        )

    async def _join(self, request: Request) -> int:
        when = output.TERMINAL.date(request.created_at, seconds=True)
        what = f"{request.requester or 'The bot'} asked to cancel this download already,"
        if request.state is State.QUARANTINED:
            what = "This download is in quarantine already, since"
        is_same = without_secrets(self.options.reason) in {"", request.ask.reason}
        dropped = "" if is_same else f" {REASON_DROPPED}"
        self.progress.note(f"{what} {when}.{dropped}", request)
        return await self._follow(request)

    async def _report_ended(self) -> int:
        """Report a job that cannot be cancelled: it is a success if it was cancelled before."""
        job, known = self.shown.job, self.shown.known
        link = job_lines.past_link_sentence(known.live_since, known.link_unknown)
        earlier = await self.services.history.newest_request_for(self.shown.ref)
        if exit_code(earlier, job) == 0:
            by = ""
            if earlier and earlier.sent.may_have_taken_effect:
                self.progress.request = earlier.id
                by = f", by request {earlier.id} of {earlier.requester or 'the bot'}"
            self.progress.note(f"{CANCELLED_ALREADY.format(by=by)}{link}")
            return 0
        no_copy = f" {NO_COPY}" if known.has_failed_without_link else ""
        sentence = ENDED_BY_ITSELF if job.cancelled else why_not_cancellable(job)
        sentence = f"{sentence}{link or no_copy}"
        self.progress.note(sentence)
        self.progress.fail(sentence)
        return output.FAILED

    async def _follow(self, request: Request) -> int:
        """Show each step of a request until it ends or waits for approval; run it if it is free."""
        self.progress.review = who_reviews(self.policy, request)
        clock = asyncio.get_running_loop().time
        deadline = clock() + BOT_TIMEOUT
        with self.progress.waiting():
            while True:
                request = await self.services.requests.get(request.id)
                async for event in AuditLog(self.services.database).events(request=request.id):
                    self.progress.step(event, request)
                if request.state in UNDECIDED:
                    waits = describe_progress(request, self.policy)
                    self.progress.note(f"{waits} {output.link_of(self.shown)}", request)
                    return output.WAITS_FOR_APPROVAL
                if request.state.ended:
                    return await self._outcome(request)
                if not request.approvals:
                    self.services.runner.start(request.id)
                elif request.state is State.APPROVED and clock() > deadline:
                    output.fail(NO_BOT.format(request=request.id))
                await asyncio.sleep(POLL_INTERVAL)

    async def _outcome(self, request: Request) -> int:
        """Return the exit code; a job may read cancelled although the request did not do it."""
        job_ref, job = self.shown.ref, self.shown.job
        if request.state is not State.CANCELLED:
            with suppress(AtlasError):
                job = await self.project.atlas.restore_job(job_ref, timeout=jobs.READ_TIMEOUT)
        if code := exit_code(request, job):
            self.progress.fail(describe_progress(request, self.policy))
        return code


def read_line(asked: str) -> str:
    """Ask on a terminal, or read a line of a pipe, at whose end the command ends."""
    if sys.stdin and sys.stdin.isatty():
        return str(typer.prompt(asked, default="", show_default=False, err=True)).strip()
    typer.echo(f"{asked}.", err=True)
    line = sys.stdin.buffer.readline() if sys.stdin else b""
    if not line:
        output.fail("No terminal can ask for the cluster's name: add --yes.", output.WRONG_USAGE)
    return line.decode(errors="replace").strip()


def who_reviews(policy: Policy, request: Request) -> str:
    """Say who learns of a request that runs without approval (pure)."""
    if request.channel:
        return f"Its card in channel {request.channel} asks an approver to review it."
    who = f"{SENT_DIRECTLY}, for a review" if can_reach_approvers(policy) else NO_REVIEWER
    return f"{mrkdwn.capitalised(who)}."


def describe_progress(request: Request, policy: Policy) -> str:
    """Say how far a request is, or how it ended (pure)."""
    if request.state in UNDECIDED:
        is_sent = are_reached_directly(policy, request.requester)
        without = SENT_DIRECTLY if is_sent else NO_CARD
        posted = "its card is" if request.card else "a running bot posts its card"
        where = f"{posted} in channel {request.channel}" if request.channel else without
        where = where.format(approve=deployment.command(f"approve {request.id}"))
        if request.state is State.QUARANTINED:
            return f"Request {request.id}: {what_follows(request, policy)}; {where}."
        missing = mrkdwn.count(request.approvals_missing, "approval")
        return f"Request {request.id} waits for {missing}: {where}."
    ended = mrkdwn.predicate_of(request)
    return f"Request {request.id} {ended}. {request.outcome.sentence}".strip()


def what_follows(request: Request, policy: Policy) -> str:
    """Say what the bot does about a download in quarantine (pure)."""
    if policy.quarantine is not Mode.ENFORCE:
        return "the bot only observes, and does not cancel it"
    grace = mrkdwn.duration(request.expires_at - request.created_at)
    when = f"{grace} after its card is seen"
    if request.grace_ends_at:
        when = f"at {output.TERMINAL.date(request.grace_ends_at, seconds=True)}"
    does = "tries again" if request.outcome.tries_again else "cancels it"
    return f"the bot {does} {when}, unless an approver keeps it"


def exit_code(request: Request | None, job: RestoreJob) -> int:
    """Return 0 if Atlas reads cancelled, else 1 (pure).

    A job that reads cancelled and failed ended otherwise, unless a DELETE of the request was sent.
    """
    if request and request.state is State.CANCELLED:
        return 0
    was_sent = request is not None and request.sent.may_have_taken_effect
    return 0 if job.cancelled and (was_sent or not job.failed) else output.FAILED
