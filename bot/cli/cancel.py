"""`cancel-restore cancel`: cancels a download without Slack, with the same checks and record."""

import asyncio
import sys
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bot.app import StartError, migrate
from bot.atlas import AtlasError, InvalidName, Priority, is_cluster_name, is_object_id
from bot.cancellation.decisions import Submission, SubmitResult, is_blank
from bot.cancellation.errors import CancellationError, NothingChanged, StorageError
from bot.cancellation.events import EventName
from bot.cancellation.request import Request, State
from bot.cancellation.text import plain, printable
from bot.cancellation.words import IN_ATLAS, ONLY_WATCHES, link_line
from bot.cli import output
from bot.cli.common import (
    chosen_projects,
    current_operator,
    opened_core,
    settings_without_slack,
)
from bot.cli.list import fields_of, lookup_of, why_not
from bot.cli.output import OutputFormat
from bot.log_config import without_secrets
from bot.services.lookup import JobDetails
from bot.services.rights import Rights, nobody_answers
from bot.services.runner import Runner
from bot.settings import Settings
from bot.storage.audit_log import AuditLog
from bot.tasks import cancel_and_wait
from bot.wiring import Core

POLL = 0.3  #: seconds between two looks at the request
RENEW_INTERVAL = 2.0
REASON_MISSING = "A reason is needed: add --reason TEXT."
NEEDS_APPROVAL = (
    "This needs approval in Slack. In an emergency, add --without-approval and --reason TEXT."
)
WAITS = "The request waits for approval in Slack. In an emergency, add --without-approval."
GO_ON = "Call the same command again: it continues with the same request."
STOPPED = f"Interrupted. A DELETE may have been sent. {GO_ON}"
SENTENCES = {
    EventName.CREATED: "The request is recorded.",
    EventName.ACTED_ALONE: "It runs without approval.",
    EventName.APPROVED: "It may run.",
    EventName.CANCELLING: "The bot reads the download.",
    EventName.CANCEL_SENT: "The DELETE is being sent.",
    EventName.CANCEL_ANSWERED: "Atlas answered the DELETE.",
    EventName.CANCELLED: "Cancelled. Atlas confirms it.",
    EventName.OVER: "The download ended by other means.",
    EventName.REFUSED: f"Atlas refused to cancel it. {IN_ATLAS}",
    EventName.CHANGED: "Not cancelled: Atlas shows another job than the one confirmed.",
    EventName.FAILED: "Not cancelled: the bot gave up. Look in Atlas.",
    EventName.DENIED: "Somebody lets this download run.",
    EventName.WITHDRAWN: "The request was withdrawn.",
    EventName.EXPIRED: "Nobody approved in time.",
    EventName.AWAITING: "The request waits for approval.",
}


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
    how: Annotated[
        str, typer.Option("--format", help="table or json; json where no terminal reads.")
    ] = "",
) -> None:
    """Cancel a download with the checks and the record of the bot; Slack is not needed.

    It may be killed at any moment and called again: the same request continues.
    Exit codes: 0 Atlas reads cancelled, 1 failed, 2 wrong usage or settings.
    """
    wanted = Target.parse(target)
    text = without_secrets(reason.encode(errors="surrogateescape").decode(errors="replace"))
    command = CancelCommand(
        settings_without_slack(), wanted, text.strip(), yes, alone, output.format_of(how)
    )
    try:
        raise typer.Exit(asyncio.run(command.run()))
    except KeyboardInterrupt:
        typer.echo(STOPPED, err=True)
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
                found = cls("", cluster, job_id.lower())
            case [project, cluster, job_id]:
                found = cls(project, cluster, job_id.lower())
            case _:
                output.fail("Name the download: [PROJECT] CLUSTER JOB_ID.", output.WRONG_USAGE)
        if not is_cluster_name(found.cluster):
            output.fail(f"{found.cluster!r} is not the name of a cluster.", output.WRONG_USAGE)
        if not is_object_id(found.job_id):
            why = f"{found.job_id!r} is not a job's id: 24 characters 0-9 or a-f."
            output.fail(why, output.WRONG_USAGE)
        return found


@dataclass(slots=True)
class CancelCommand:
    """One call of the command."""

    settings: Settings
    target: Target
    reason: str
    is_confirmed: bool
    alone: bool
    form: OutputFormat
    _shown: int = field(default=0, init=False)  #: events that were shown
    _fields: dict[str, Any] = field(default_factory=dict, init=False)

    async def run(self) -> int:
        """Run the command, and return its exit code; an error ends it with its sentence."""
        try:
            await migrate(self.settings.database_url.get_secret_value())
            async with opened_core(self.settings) as core:
                return await self._cancel(core)
        except StorageError as error:
            output.fail(f"{error} {GO_ON}")
        except (AtlasError, CancellationError, StartError) as error:
            output.fail(str(error))
        except InvalidName as error:
            output.fail(str(error), output.WRONG_USAGE)

    async def _cancel(self, core: Core) -> int:
        projects = chosen_projects(core, self.target.project)
        lookup = await lookup_of(core, self.settings)
        details = await lookup.find(projects, self.target.cluster, self.target.job_id)
        self._fields = fields_of(details, core)
        opened = details.open_request
        if details.job.is_over and opened is None:
            return self._report_ended(details)
        self._check_policy(details, opened)
        if opened is None or self.alone:
            self._confirm(details)
        request = await self._submit(core, details)
        return await self._follow(core, request)

    def _report_ended(self, details: JobDetails) -> int:
        """Report a job that is over: a success where it is cancelled already."""
        job = details.job
        if not job.cancelled or job.failed:
            link = plain(link_line(details.download.link(details.read_at)))
            output.fail(f"The download has ended, and is not cancelled. {link}.")
        self._say("The download is cancelled already. Nothing was sent.")
        return 0

    def _check_policy(self, details: JobDetails, opened: Request | None) -> None:
        """End the command where the policy or the input does not allow it."""
        policy = details.policy
        if policy.read_only:
            output.fail(ONLY_WATCHES, output.WRONG_USAGE)
        if opened is None and (why := why_not(details)):
            output.fail(why)
        needs_approval = policy.approvals > 0 and (opened is None or opened.state is State.AWAITING)
        if needs_approval and not self.alone:
            output.fail(WAITS if opened else NEEDS_APPROVAL, output.WRONG_USAGE)
        needs_reason = policy.require_reason or (self.alone and policy.approvals > 0)
        if needs_reason and is_blank(self.reason) and (opened is None or needs_approval):
            output.fail(REASON_MISSING, output.WRONG_USAGE)

    def _confirm(self, details: JobDetails) -> None:
        """Ask for the cluster's name; another name ends the command."""
        if self.is_confirmed:
            return
        name = details.ref.cluster_name
        if not (sys.stdin and sys.stdin.isatty()):
            output.fail(
                "No terminal can ask for the cluster's name: add --yes.", output.WRONG_USAGE
            )
        link = plain(link_line(details.download.link(details.read_at)))
        typer.echo(f"{name} in {details.project.name}, job {details.ref.job_id}. {link}.", err=True)
        typed = typer.prompt("Type the cluster's name to cancel", default="", err=True)
        if typed.strip().casefold() != name.casefold():
            output.fail(f"That is not {name}, so nothing was done.", output.WRONG_USAGE)

    async def _submit(self, core: Core, details: JobDetails) -> Request:
        """Write the request, or join or decide the open one, beside a bot or without one."""
        opened = details.open_request
        if opened and opened.state is not State.AWAITING:
            self._say(f"{opened.requester or 'Auto-cancel'} asked already.", opened)
            return opened
        store = core.stores(None, lambda: None).requests
        submitted = await store.submit(
            current_operator(),
            details.policy,
            Submission(
                key=f"cli:{uuid.uuid4().hex}",
                ref=details.ref,
                job=details.job,
                read_at=details.read_at,
                reason=self.reason,
                alone=self.alone,
            ),
        )
        if submitted.result is SubmitResult.JOINED:
            self._say("Somebody has asked already.", submitted.request)
        return submitted.request

    async def _follow(self, core: Core, request: Request) -> int:
        """Show each step until the request ends; run it where no bot is active."""
        stores = core.stores(core.lease, lambda: None)
        log = AuditLog(core.database, core.now, None)
        runner = Runner(
            stores.runs,
            core.projects,
            Rights(nobody_answers),
            core.clients.canceller_of,
            core.lease,
            core.now,
        )
        renewing: asyncio.Task[None] | None = None
        try:
            while True:
                request = await stores.requests.get(request.id)
                await self._show_events(log, request)
                if request.state.has_ended:
                    return await self._exit_code(core, request)
                if request.state is State.AWAITING:
                    output.fail(WAITS)
                if renewing is None and await core.lease.take():
                    renewing = asyncio.create_task(_renew(core))
                if renewing:
                    runner.start(request.id)
                await asyncio.sleep(POLL)
        finally:
            await runner.stop()
            if renewing:
                await cancel_and_wait(renewing)
                with suppress(StorageError):
                    await core.lease.release()

    async def _show_events(self, log: AuditLog, request: Request) -> None:
        """Show the events of the request that were not shown yet."""
        for line in (await log.of_request(request.id))[self._shown :]:
            self._shown += 1
            name = str(line["event"])
            sentence = SENTENCES.get(EventName(name), name)
            answer = " ".join(str(line[key]) for key in ("status", "code") if line.get(key))
            detail = str(line.get("error") or answer or "")
            self._say(f"{sentence} {detail}".strip(), request, name, str(line["at"]))

    async def _exit_code(self, core: Core, request: Request) -> int:
        """Return 0 only if Atlas reads cancelled."""
        if request.state is State.CANCELLED:
            return 0
        project = core.projects.get(request.ref.project_id)
        try:
            job = await project.gateway.job(request.ref, Priority.CANCEL, timeout=10.0)
        except AtlasError:
            return output.FAILED
        is_cancelled = job.cancelled and not job.failed
        if not is_cancelled and self.form is OutputFormat.JSON:
            typer.echo(SENTENCES[EventName.entering(request.state)], err=True)
        return 0 if is_cancelled else output.FAILED

    def _say(
        self,
        sentence: str,
        request: Request | None = None,
        event: str | None = None,
        at: str | None = None,
    ) -> None:
        """Show one step: a sentence on a terminal, a JSON line elsewhere."""
        at = at or datetime.now(UTC).isoformat(timespec="milliseconds")
        if self.form is OutputFormat.JSON:
            step = {
                "at": at,
                "event": event,
                "state": str(request.state) if request else self._fields.get("state"),
                "request": request.id if request else None,
                "sentence": sentence,
            }
            output.write_json({**self._fields, **step}, sys.stdout)
        else:
            typer.echo(f"{at[11:19]}  {printable(sentence)}")


async def _renew(core: Core) -> None:
    while True:
        await asyncio.sleep(RENEW_INTERVAL)
        with suppress(StorageError, NothingChanged):
            await core.lease.renew()
