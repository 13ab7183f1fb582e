"""The dialog of a job: opens at once, is then filled in, and submits."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from bot.atlas import InvalidName, JobRef, RestoreJob
from bot.cancellation import errors
from bot.cancellation.decisions import Submission, SubmitResult
from bot.cancellation.errors import CancellationError
from bot.cancellation.people import ActingPerson
from bot.log_config import without_secrets
from bot.services.lookup import JobDetails
from bot.services.projects import Project
from bot.slack import blockkit, dialog_view, private
from bot.slack.context import EXPECTED, LOOKUP_TIMEOUT, SLOW_ATLAS, SlackContext
from bot.slack.errors import SlackError
from bot.slack.values import ALONE, REASON
from bot.storage.request_store import Submitted

#: The facts of a job that the metadata keeps, so that a submit needs no second read.
_JOB_KEYS = (
    "id",
    "delivery_type",
    "snapshot_id",
    "snapshot_time",
    "cancelled",
    "expired",
    "failed",
    "finished_at",
    "expires_at",
    "link_is_live",
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The job that a dialog is about; what is not given is searched."""

    job_id: str
    cluster: str | None = None
    projects: tuple[Project, ...] = ()


async def open_dialog(
    context: SlackContext, body: Mapping[str, Any], person: ActingPerson, wanted: Wanted
) -> None:
    """Open the dialog at once, and fill it in the background."""
    channel = _asked_in(body)
    metadata = blockkit.encode_metadata({"channel": channel})
    try:
        answer = await context.client.views_open(
            trigger_id=str(body.get("trigger_id")), view=dialog_view.loading(metadata)
        )
    except SlackError as error:
        await context.tell_error(body, error)
        return
    view = answer.get("view") or {}
    view_id = str(view.get("id"))
    work = _fill(context, view_id, person, wanted, channel)
    context.background.start(work, "dialog")


async def _fill(
    context: SlackContext, view_id: str, person: ActingPerson, wanted: Wanted, channel: str
) -> None:
    """Show the job, or one sentence why not."""
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            found = await context.lookup.find(wanted.projects, wanted.cluster, wanted.job_id)
            view = await _view_of(context, found, person, channel)
    except TimeoutError:
        view = dialog_view.problem(SLOW_ATLAS)
    except (*EXPECTED, InvalidName) as error:
        view = dialog_view.problem(_sentence(error))
    except Exception:
        log.exception("dialog not filled in")
        view = dialog_view.problem("Something went wrong in the bot. Click or type the same again.")
    try:
        await context.client.views_update(view_id=view_id, view=view)
    except SlackError as error:  # the person has closed it
        log.info("dialog not updated", why=str(error))


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, InvalidName) else private.sentence(error)


async def _view_of(
    context: SlackContext, found: JobDetails, person: ActingPerson, channel: str
) -> blockkit.View:
    place = await _place(context, found, person, channel)
    if place is None:
        return dialog_view.problem(private.cannot_post(channel, context.identity.user))
    metadata = blockkit.encode_metadata(
        {
            "project": found.ref.project_id,
            "cluster": found.ref.cluster_name,
            "read_at": found.read_at.isoformat(),
            "channel": channel,
            "place": place,
            "shown": found.job.model_dump(mode="json", include=set(_JOB_KEYS)),
        }
    )
    return dialog_view.details(found, person, context.links, context.now(), metadata)


async def _place(
    context: SlackContext, found: JobDetails, person: ActingPerson, channel: str
) -> str | None:
    """Return the channel of the message, or None where nobody could see and approve it."""
    policy = found.policy
    if policy.channel or found.download.channel:
        return policy.channel or found.download.channel
    if channel and await _may_post(context, channel):
        return channel
    return person.id if policy.approvals == 0 else None


async def _may_post(context: SlackContext, channel: str) -> bool:
    """Whether the bot may post in the channel of the command."""
    try:
        answer = await context.client.conversations_info(channel=channel)
    except SlackError:
        return False
    info = answer.get("channel") or {}
    if info.get("is_archived") or info.get("is_im"):
        return False
    may_join = not info.get("is_private") and "chat:write.public" in context.identity.scopes
    return bool(info.get("is_member") or may_join)


async def submit(context: SlackContext, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Handle the submit of the dialog; return the answer for Slack, None to close the dialog."""
    view = body.get("view") or {}
    try:
        context.check_active()
        submission = _read_submission(view)
        person = await context.acting(body, context.policy_people(submission.ref))
        submitted: Submitted = await context.within_ack(context.requests.submit(person, submission))
    except errors.ReasonMissing as error:
        return {"response_action": "errors", "errors": {REASON: str(error)}}
    except CancellationError as error:
        text = private.sentence(error)
        return {"response_action": "update", "view": dialog_view.problem(text)}
    work = _tell_place(context, body, submitted, submission)
    context.background.start(work, "answer to a submit")
    return None


def _read_submission(view: Mapping[str, Any]) -> Submission:
    """Read a dialog; raises `CannotCancel` for one that shows no job."""
    values = blockkit.decode_metadata(view)
    try:
        job = RestoreJob.model_validate(values["shown"])
        ref = JobRef(str(values["project"]), str(values["cluster"]), job.id)
        read_at = datetime.fromisoformat(str(values["read_at"]))
    except (KeyError, ValueError) as error:
        raise errors.CannotCancel from error
    reason = str(blockkit.input_of(view, REASON).get("value") or "")
    chosen = blockkit.input_of(view, ALONE).get("selected_options") or []
    return Submission(
        key=str(view.get("id")),
        ref=ref,
        job=job,
        read_at=read_at,
        reason=without_secrets(reason),
        alone=any(option.get("value") == ALONE for option in chosen),
        asked_in=str(values.get("channel") or "") or None,
        channel=str(values.get("place") or "") or None,
    )


async def _tell_place(
    context: SlackContext, body: Mapping[str, Any], submitted: Submitted, submission: Submission
) -> None:
    """Tell who asked from elsewhere where the message is, and what a join did."""
    result, request, download = submitted.result, submitted.request, submitted.download
    asked_elsewhere = download.channel not in {submission.asked_in, None}
    is_new = result is SubmitResult.CREATED
    if is_new and not asked_elsewhere:
        return
    link = await _link_when_posted(context, submitted)
    if is_new:
        text = f"What happens with this download: {link}" if link else ""
    else:
        is_approval = result is not SubmitResult.JOINED
        text = private.joined(request, link, is_approval=is_approval)
    if text:
        channel = {"id": submission.asked_in} if submission.asked_in else {}
        await context.tell({**body, "channel": channel}, text)


async def _link_when_posted(context: SlackContext, submitted: Submitted) -> str | None:
    """Wait a moment for the message, and return its link."""
    store = context.lookup.downloads
    for pause in (0.0, 0.5, 1.0, 2.0):
        await asyncio.sleep(pause)
        ref = submitted.request.ref
        stored = await store.get(ref.project_id, ref.job_id) if store else None
        if stored and stored.ts:
            return await context.message_link(stored)
    return None


def _asked_in(body: Mapping[str, Any]) -> str:
    channel = (body.get("channel") or {}).get("id") or body.get("channel_id")
    return str(channel or "")
