"""`cancel-restore cancel`: cancels a download without Slack, with the same checks and record."""

import asyncio
import math
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated

import typer

from bot.atlas import AtlasError, InvalidName, Priority, is_cluster_name, is_object_id
from bot.cancellation.decisions import Submission, SubmitResult, is_blank
from bot.cancellation.errors import CancellationError, StorageError
from bot.cancellation.facts import facts_of
from bot.cancellation.request import Request, State
from bot.cancellation.words import ONLY_WATCHES, link_line
from bot.cli import output
from bot.cli.common import (
    chosen_projects,
    create_tables,
    current_operator,
    database_problem,
    opened_core,
    settings_without_slack,
)
from bot.cli.list import fields_of, lookup_of, why_not
from bot.cli.output import OutputFormat
from bot.cli.steps import Steps, ending, sentences, terminal
from bot.log_config import without_secrets
from bot.services.active import hold_in_turns
from bot.services.lookup import JobDetails, Lookup, NotFoundInAtlas
from bot.services.projects import Project
from bot.services.rights import Rights, nobody_answers
from bot.services.runner import Runner
from bot.settings import Settings
from bot.storage.audit_log import AuditLog
from bot.tasks import cancel_and_wait
from bot.wiring import Core

POLL = 0.3  #: seconds between two looks at the request
READ_TIMEOUT = 10.0  #: seconds for the read that decides the exit code
#: Seconds in which the active bot, or its successor, must begin the request.
BEGIN_WITHIN = 30.0
NO_TERMINAL = "No terminal can ask for the cluster's name: add --yes."
REASON_MISSING = "A reason is needed: add --reason TEXT."
NEEDS_APPROVAL = (
    "This needs approval in Slack. In an emergency, add --without-approval and --reason TEXT."
)
WAITS = "The request waits for approval in Slack. In an emergency, add --without-approval."
GO_ON = "Call the same command again: it continues with the request, if that is recorded."
NOT_BEGUN = "Nothing was recorded, and nothing was sent."
STOPPED = f"Interrupted. A DELETE may have been sent. {GO_ON}"
NOT_RUN = (
    f"The active bot has not begun the request within {BEGIN_WITHIN:g} s. Check that its settings "
    f"name this project. {GO_ON}"
)
LEFT_TO_BOT = (
    "Another process is active, and runs the request if its settings name this project. If no step "
    "follows, check that its settings name this project, or cancel in Atlas."
)
ALREADY = "The download is cancelled already. Nothing was sent"
NOT_CANCELLED = "The download has ended, and does not read cancelled"


def cancel_download(
    target: Annotated[
        list[str], typer.Argument(metavar="[PROJECT] CLUSTER JOB_ID", show_default=False)
    ],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.", show_default=False)] = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the cluster's name.")] = False,
    alone: Annotated[
        bool, typer.Option("--without-approval", help="Act alone; needs a reason.")
    ] = False,
) -> None:
    """Cancel a download with the checks and the record of the bot; Slack is not needed.

    Example: cancel-restore cancel prod-eu 5b622f7087d9d6039fafe03f --reason "by mistake"

    It may be killed at any moment and called again: the same request continues.
    Exit codes: 0 Atlas reads cancelled, 1 failed, 2 wrong usage or settings, 130 Ctrl-C.
    """
    wanted = Target.parse(target)
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        output.fail(NO_TERMINAL, output.WRONG_USAGE)
    settings = settings_without_slack()
    text = without_secrets(reason.encode(errors="surrogateescape").decode(errors="replace"))
    command = CancelCommand(settings, wanted, text.strip(), yes, alone, Steps(output.format_of("")))
    try:
        raise typer.Exit(asyncio.run(command.run()))
    except KeyboardInterrupt:
        has_looked_up = bool(command.steps.fields)
        typer.echo(STOPPED if has_looked_up else f"Interrupted. {NOT_BEGUN}", err=True)
        raise typer.Exit(output.INTERRUPTED) from None


@dataclass(frozen=True, slots=True)
class Target:
    """The job that the arguments name."""

    project: str
    cluster: str
    job_id: str

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Target":
        """Parse `[PROJECT] CLUSTER JOB_ID`; anything else ends the command."""
        match [word.strip() for word in words]:
            case [cluster, job_id]:
                target = cls("", cluster, job_id.lower())
            case [project, cluster, job_id]:
                target = cls(project, cluster, job_id.lower())
            case _:
                output.fail("Name the download: [PROJECT] CLUSTER JOB_ID.", output.WRONG_USAGE)
        if not is_cluster_name(target.cluster):
            output.fail(f"{target.cluster!r} is not the name of a cluster.", output.WRONG_USAGE)
        if not is_object_id(target.job_id):
            why = f"{target.job_id!r} is not a job's id: 24 characters 0-9 or a-f."
            output.fail(why, output.WRONG_USAGE)
        return target


@dataclass(frozen=True, slots=True)
class CancelCommand:
    """One call of the command."""

    settings: Settings
    target: Target
    reason: str
    is_confirmed: bool
    alone: bool
    steps: Steps

    async def run(self) -> int:
        """Run the command, and return its exit code; an error ends it with its sentence."""
        try:
            await create_tables(self.settings)
            async with opened_core(self.settings) as core:
                return await self._cancel(core)
        except StorageError as error:
            output.fail(f"{database_problem(error)} {GO_ON}")
        except (AtlasError, CancellationError) as error:
            output.fail(str(error))
        except InvalidName as error:
            output.fail(str(error), output.WRONG_USAGE)

    async def _cancel(self, core: Core) -> int:
        projects = chosen_projects(core, self.target.project)
        lookup, problem = await lookup_of(core)
        if problem:
            output.fail(problem)
        details = await self._find(lookup, projects)
        self.steps.fields = fields_of(details, core.now())
        if details.policy.read_only:
            output.fail(ONLY_WATCHES, output.WRONG_USAGE)
        running = details.open_request
        if running and running.state is not State.AWAITING:
            self.steps.say(f"{running.requester or 'Auto-cancel'} asked already.", running)
            return await self._follow(core, details, running)
        if details.job.is_over:
            return self._report_ended(details)
        self._check(details)
        self._confirm(details)
        return await self._follow(core, details, await self._submit(core, details))

    async def _find(self, lookup: Lookup, projects: Sequence[Project]) -> JobDetails:
        """Return the job as Atlas has it; while Atlas fails, that of an open request."""
        try:
            return await lookup.find(projects, self.target.cluster, self.target.job_id)
        except (AtlasError, NotFoundInAtlas) as error:
            target = self.target
            stored = await lookup.find_stored(projects, target.cluster, target.job_id)
            if stored is None or stored.open_request is None:
                raise
            typer.echo(str(error), err=True)
            return stored

    def _report_ended(self, details: JobDetails) -> int:
        """Report a job that is over: a success where it is cancelled already."""
        link = terminal(link_line(details.download.link(details.read_at)))
        if not details.job.cancelled or details.job.failed:
            output.fail(sentences(NOT_CANCELLED, link))
        self.steps.say(sentences(ALREADY, link))
        return output.DONE

    def _check(self, details: JobDetails) -> None:
        """End the command where the policy or the input does not allow it."""
        policy = details.policy
        if why := why_not(details):
            output.fail(why)
        if policy.approvals and not self.alone:
            output.fail(WAITS if details.open_request else NEEDS_APPROVAL, output.WRONG_USAGE)
        if (policy.require_reason or policy.approvals) and is_blank(self.reason):
            output.fail(REASON_MISSING, output.WRONG_USAGE)

    def _confirm(self, details: JobDetails) -> None:
        """Ask for the cluster's name; another name ends the command."""
        if self.is_confirmed:
            return
        name = details.ref.cluster_name
        link = terminal(link_line(details.download.link(details.read_at)))
        job = f"{name} in {details.project.name}, job {details.ref.job_id}"
        typer.echo(sentences(job, link), err=True)
        typed = ask("Type the cluster's name to cancel")
        if typed.strip().casefold() != name.casefold():
            output.fail(f"That is not {name}, so nothing was done.", output.WRONG_USAGE)

    async def _submit(self, core: Core, details: JobDetails) -> Request:
        """Write the request, or join or decide the open one, beside a bot or without one."""
        submission = Submission(
            key=f"cli:{uuid.uuid4().hex}",
            ref=details.ref,
            job=details.job,
            read_at=details.read_at,
            reason=self.reason,
            alone=self.alone,
        )
        store = core.stores(None, lambda: None).requests
        submitted = await store.submit(current_operator(), details.policy, submission)
        if submitted.result is SubmitResult.JOINED:
            self.steps.say("Somebody has asked already.", submitted.request)
        return submitted.request

    async def _follow(self, core: Core, details: JobDetails, request: Request) -> int:
        """Show each step until the request ends; run it while no bot is active."""
        starters = {request.ref.job_id: details.download.starters}
        await core.stores(None, lambda: None).downloads.record_starters(
            request.ref.project_id, starters
        )
        lease = core.new_lease()
        stores = core.stores(lease, lambda: None)
        log = AuditLog(core.database, core.now, None)
        runner = Runner(
            stores.runs,
            core.projects,
            Rights(nobody_answers),
            core.clients.canceller_of,
            lease,
            core.now,
            show_trouble_after=0.0,
        )
        holding = asyncio.create_task(hold_in_turns(lease, lambda: runner.is_sending))
        begin_by = time.monotonic() + BEGIN_WITHIN
        try:
            while True:
                request = await stores.requests.get(request.id)
                self.steps.show(request, await log.of_request(request.id))
                if request.state.has_ended:
                    return await self._end(core, details, request)
                if request.state is State.AWAITING:
                    output.fail(WAITS)
                if lease.is_held:
                    runner.start(request.id)
                    begin_by = time.monotonic() + BEGIN_WITHIN
                elif time.monotonic() > begin_by:
                    if request.state is State.APPROVED:
                        output.fail(NOT_RUN)
                    begin_by = math.inf
                    self.steps.say(LEFT_TO_BOT, request)
                await asyncio.sleep(POLL)
        finally:
            await runner.stop()
            await cancel_and_wait(holding)
            with suppress(StorageError):
                await lease.release()

    async def _end(self, core: Core, details: JobDetails, request: Request) -> int:
        """Show the end, and return the exit code: 0 only if Atlas reads cancelled."""
        ref, stores = request.ref, core.stores(None, lambda: None)
        download = await stores.downloads.get(ref.project_id, ref.job_id) or details.download
        details = replace(details, download=download, requests=[request])
        self.steps.fields = fields_of(details, core.now())
        sentence = ending(facts_of(download, [request], details.policy))
        events = await AuditLog(core.database, core.now, None).of_request(request.id)
        self.steps.show_end(request, sentence, events)
        if request.state is State.CANCELLED:
            return output.DONE
        try:
            job = await details.project.gateway.job(ref, Priority.CANCEL, timeout=READ_TIMEOUT)
        except AtlasError as error:
            output.fail(str(error))
        if job.cancelled and not job.failed:
            return output.DONE
        if self.steps.form is OutputFormat.JSON:
            typer.echo(sentence, err=True)
        return output.FAILED


def ask(question: str) -> str:
    """Ask on the terminal; Ctrl-C ends the command at once, not only the event loop."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return str(typer.prompt(question, default="", show_default=False, err=True))
    except typer.Abort:
        output.fail(f"\n{NOT_BEGUN}", output.INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, handler)
