"""`cancel-restore cancel`: cancels a restore job through the service of Slack, without Slack."""

import asyncio
import sys
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from bot.atlas import AtlasError, RestoreJob
from bot.cancellation.errors import (
    CancellationError,
    JobAlreadyRequested,
    LedgerError,
    StateConflict,
)
from bot.cancellation.events import EventName, Recorded, readable_fields
from bot.cancellation.lifecycle import UNDECIDED, JobFingerprint, Request, State
from bot.cancellation.policy import may_cancel
from bot.cli import jobs
from bot.cli.jobs import FormatOption, ShownJob, Target, TargetArgument
from bot.cli.output import (
    FAILED,
    INTERRUPTED,
    WAITS_FOR_APPROVAL,
    WRONG_USAGE,
    Format,
    fail,
    format_of,
    printable,
    write_fields,
    write_json,
)
from bot.services.projects import Project
from bot.services.service import Submission, refusal_of
from bot.settings import Settings
from bot.slack.deployment import command
from bot.slack.dialog.views import why_not_cancellable
from bot.startup_checks import StartError, migrate
from bot.storage.audit_log import AuditLog
from bot.wiring import CoreServices

POLL_INTERVAL = 0.3  #: seconds between two reads of the request
BOT_TIMEOUT = 60.0  #: seconds to wait for a bot that carries out what was approved in Slack

ENDED_BY_ITSELF = (
    "The restore job reads cancelled and failed, and no DELETE of this bot is on record: it ended "
    "by itself or by Atlas. No copy comes of it."
)
CANCELLED_ALREADY = "The job is cancelled already: nothing was sent."
NO_CARD = (
    "no channel has its card, because neither BOT_AUDIT_CHANNEL nor BOT_WATCH_CHANNEL is set; an "
    "approver types {approve} in Slack"
)
NO_BOT = (
    "Request {request} was approved in Slack, and no running bot carries it out. The command line "
    "cannot check approvals: start the bot."
)
GO_ON = "Call the same command again: it goes on with this request, or says who does."

#: What a step says, by its event; the fields are those of the event and its detail.
STEPS: Mapping[str, str] = {
    EventName.CREATED: "Recorded as request {request}.",
    EventName.ACTED_ALONE: "It runs without approval; an approver is asked to review it.",
    EventName.APPROVED: "It may run.",
    EventName.CLAIMED: "Reading the job ({runner}).",
    EventName.TAKEN_OVER: "Reading the job again ({runner}); the runner before it has stopped.",
    EventName.CANCEL_SENT: "DELETE sent, try {try}.",
    EventName.CANCEL_ANSWERED: "Answer: {answer}. Waiting until the job reads cancelled.",
}


class Progress:
    """Shows the steps of a request: lines with a spinner on a terminal, JSON lines elsewhere."""

    def __init__(self, form: Format, out: TextIO) -> None:
        self._form = form
        self._out = out
        self._console = Console(file=out, highlight=False, soft_wrap=not out.isatty())
        self._shown = 0
        self._state = State.AWAITING
        self._request: str | None = None
        self.fields: dict[str, Any] = {}  #: of the job, for JSON lines

    def waiting(self) -> AbstractContextManager[object]:
        """Show a spinner on a terminal."""
        is_terminal = self._form is Format.TABLE and self._out.isatty()
        return self._console.status("…") if is_terminal else nullcontext()

    def step(self, event: Recorded, request: Request) -> None:
        """Show an event of the request, once."""
        if event.number <= self._shown:
            return
        self._shown = event.number
        self._request = request.id
        self._state = state_after(event.event, self._state, request)
        sentence = sentence_of(readable_fields(event)[0])
        self._write(sentence, event.at, request.id, str(self._state), event=event.event)

    def note(self, sentence: str, request: Request | None = None) -> None:
        """Show a sentence that is no event."""
        if request:
            self._request = request.id
        state = str(request.state) if request else str(self.fields["state"])
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._write(sentence, at, self._request, state, event=None)

    def fail(self, sentence: str) -> None:
        """Repeat on standard error why the job is not cancelled, where the steps are JSON."""
        if self._form is Format.JSON:
            typer.echo(printable(sentence), err=True)

    def interrupted(self) -> str:
        """Return what holds after Ctrl-C."""
        if self._request is None:
            return "Nothing was recorded, and nothing was sent."
        return f"Request {self._request} is recorded, and a running bot finishes it. {GO_ON}"

    def _write(
        self, sentence: str, at: str, request: str | None, state: str, *, event: str | None
    ) -> None:
        if self._form is Format.JSON:
            facts = {"state": state, "request": request, "at": at, "event": event}
            write_json({**self.fields, **facts, "sentence": sentence}, self._out)
        else:  # as Text: what Atlas and people wrote is no markup
            self._console.print(Text(f"{at[11:19]}  "), Text(printable(sentence)), sep="")
        self._out.flush()


def state_after(event: str, before: State, request: Request) -> State:
    """Return the state that an event enters."""
    if event == EventName.CREATED and request.by_bot:
        return State.QUARANTINED
    if event == EventName.CREATED:
        return State.AWAITING if request.approvals_needed else State.APPROVED
    name = event.removeprefix("request:")
    return State(name) if name in set(State) else before


def sentence_of(fields: Mapping[str, Any]) -> str:
    """Describe a step in one sentence."""
    event = fields["event"]
    if text := STEPS.get(event):
        answer = fields.get("code") or fields.get("status") or fields.get("error") or "none"
        return text.format(**{**fields, "answer": answer})
    said = str(fields.get("sentence") or "")
    name = str(event).partition(":")[2].replace("_", " ").capitalize()
    return f"{name}: {said}" if said else f"{name}."


def cancel_job(
    target: TargetArgument,
    reason: Annotated[str, typer.Option(help="Why; it is shown and recorded.")] = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the cluster's name.")] = False,
    alone: Annotated[
        bool,
        typer.Option(
            "--without-approval",
            help="Do not wait for approvals; a reason is required, and an approver reviews it.",
        ),
    ] = False,
    how: FormatOption = "",
) -> None:
    r"""Cancel a restore job with the checks and the record of Slack; Slack is not needed.

    It may be interrupted at any moment and called again: it goes on with the same request.
    Exit codes: 0 Atlas reads cancelled, 1 failed, 2 wrong usage or settings, 3 waits for approval.

    \b
    Examples:
    cancel-restore cancel prod-eu 5b622f7087d9d6039fafe03f --reason "started by mistake"
    cancel-restore cancel shop-prod prod-eu 5b622f7087d9d6039fafe03f --reason "INC-7" --yes
    cancel-restore cancel prod-eu 5b622f7087d9d6039fafe03f --reason "INC-7" --without-approval
    """
    job = Target.parse(target)
    progress = Progress(format_of(how), sys.stdout)
    if not yes and not sys.stdin.isatty():
        fail("No terminal can ask for the cluster's name: add --yes.", WRONG_USAGE)
    why = storable(reason)
    raise typer.Exit(_run(jobs.load_atlas_settings(), job, progress, why, yes=yes, alone=alone))


def storable(argument: str) -> str:
    """Return an argument as a database takes it: without NUL and undecodable bytes."""
    return argument.replace("\0", "").encode(errors="surrogateescape").decode(errors="replace")


def _run(
    settings: Settings, target: Target, progress: Progress, reason: str, *, yes: bool, alone: bool
) -> int:
    """Run the command and return its exit code; an error ends it with its sentence."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            command = runner.run(_open(stack, settings, target, progress))
            if not yes:
                command.confirm(alone=alone)  # not in `runner`, so that Ctrl-C ends the prompt
            return runner.run(command.cancel(reason, alone=alone))
        except (KeyboardInterrupt, typer.Abort):
            typer.echo(progress.interrupted(), err=True)
            return INTERRUPTED
        except (AtlasError, CancellationError, StartError) as error:
            again = f" {GO_ON}" if isinstance(error, LedgerError) else ""
            fail(f"{error}{again}")
        finally:
            runner.run(stack.aclose())


async def _open(
    stack: AsyncExitStack, settings: Settings, target: Target, progress: Progress
) -> "CancelCommand":
    await migrate(settings.database_url.get_secret_value())
    services = await stack.enter_async_context(jobs.open_services(settings))
    await services.clock.set()
    project, ref = await jobs.find_job(services, target)
    if refusal := may_cancel(project.policy):
        fail(str(refusal), WRONG_USAGE)
    details = await services.cancellation.look_up(ref, timeout=jobs.READ_TIMEOUT)
    shown = ShownJob(project.name, ref, details.job, details.facts, details.open_request)
    progress.fields = shown.fields()
    return CancelCommand(services, project, shown, progress)


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """One call of the command."""

    services: CoreServices
    project: Project
    shown: ShownJob  #: with the open request of an earlier call or person
    progress: Progress

    def confirm(self, *, alone: bool) -> None:
        """Ask for the cluster's name where a request is made; another name ends the command."""
        if not self.shown.job.can_be_cancelled or (self.shown.request and not alone):
            return
        write_fields(self.shown.details(), sys.stderr)
        name = self.shown.ref.cluster_name
        typed = typer.prompt(f"Type the cluster's name, {name}, to cancel the job", err=True)
        if typed.strip() != name:
            fail(f"That is not {name}, so nothing was done.", WRONG_USAGE)

    async def cancel(self, reason: str, *, alone: bool) -> int:
        """Cancel the job, or join the open request for it; return the exit code."""
        earlier = self.shown.request
        is_asked = earlier and earlier.state is not State.QUARANTINED
        if earlier and is_asked and not (alone and await self._replace(earlier, reason)):
            return await self._join(earlier)
        if not self.shown.job.can_be_cancelled:
            return await self._report_ended()
        try:
            submission = self._submission(reason, alone=alone)
            request = await self.services.cancellation.submit(submission)
        except JobAlreadyRequested as error:
            return await self._join(error.request)
        return await self._follow(request)

    async def _replace(self, earlier: Request, reason: str) -> bool:
        """Withdraw a request that waits for approvals, for one without them; False if it runs."""
        submission = self._submission(reason, alone=True)
        if refusal := refusal_of(self.project.policy, submission):
            raise refusal
        try:
            # An operator may act alone, so the requester is not asked.
            await self.services.requests.decide(
                earlier.id, State.WITHDRAWN, submission.person, lambda _: None
            )
        except StateConflict:
            return False
        self.progress.note(f"Request {earlier.id} of {earlier.requester} waited: it is withdrawn.")
        return True

    def _submission(self, reason: str, *, alone: bool) -> Submission:
        channel = self.project.policy.audit_channel or self.project.watch_channel or ""
        return Submission(
            key=f"cli:{uuid.uuid4().hex}",
            person=jobs.current_operator(),
            ref=self.shown.ref,
            project_name=self.project.name,
            asked_in=channel,
            channel=channel,
            shown=JobFingerprint.of(self.shown.job),
            reason=reason,
            typed=self.shown.ref.cluster_name,
            approver_members=None,
            alone=alone,
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
            self.progress.note(CANCELLED_ALREADY)
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
                    return self._awaiting(request)
                if request.state.ended:
                    return await self._outcome(request)
                if not request.approvals:
                    self.services.runner.start(request.id)
                elif request.state is State.APPROVED and clock() > deadline:
                    fail(NO_BOT.format(request=request.id))
                await asyncio.sleep(POLL_INTERVAL)

    def _awaiting(self, request: Request) -> int:
        where = f"its card is in channel {request.channel}" if request.channel else NO_CARD
        missing = f"Request {request.id} waits for {request.approvals_missing} approval(s)"
        where = where.format(approve=command(f"approve {request.id}"))
        self.progress.note(f"{missing}: {where}.", request)
        return WAITS_FOR_APPROVAL

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
            sentence = request.outcome.sentence
            self.progress.fail(f"Request {request.id} is {request.state}. {sentence}".strip())
        return code


def exit_code(request: Request | None, job: RestoreJob) -> int:
    """Return 0 if Atlas reads cancelled, else 1 (pure).

    A job that reads cancelled and failed ended otherwise, unless a DELETE of the request was sent.
    """
    if request and request.state is State.CANCELLED:
        return 0
    was_sent = request is not None and request.sent.may_have_taken_effect
    return 0 if job.cancelled and (was_sent or not job.failed) else FAILED
