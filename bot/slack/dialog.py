"""The dialog of a job: opens at once, is then filled in, and submits."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import structlog

from bot.atlas import InvalidName, JobRef, RestoreJob
from bot.cancellation import errors
from bot.cancellation.decisions import Submission, SubmitResult
from bot.cancellation.errors import CancellationError
from bot.cancellation.people import ActingPerson, Person
from bot.log_config import without_secrets
from bot.services.lookup import JobDetails
from bot.services.projects import Project
from bot.slack import blockkit, dialog_view, private
from bot.slack.blockkit import View
from bot.slack.context import EXPECTED, LOOKUP_TIMEOUT, SLOW_ATLAS, SlackContext, channel_of
from bot.slack.errors import DialogExpired, SlackError, SlackUnavailable
from bot.slack.values import ALONE, REASON
from bot.storage.request_store import Submitted

UPDATE_AGAIN_AFTER = 1.0  #: seconds before the one repetition of a `views.update`
#: Seconds between looks for the posted message, whose link the requester gets.
LINK_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)

log = structlog.get_logger(__name__)

#: Returns who acts, and the projects to search; raises what is in `EXPECTED`.
Choose: TypeAlias = Callable[[], Awaitable[tuple[ActingPerson, Collection[Project]]]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The job that a dialog is about; a cluster that is not given is searched."""

    job_id: str
    cluster: str | None = None


async def open_dialog(
    context: SlackContext, body: Mapping[str, Any], wanted: Wanted, choose: Choose
) -> None:
    """Open the dialog at once, since the trigger expires, and fill it in."""
    channel = channel_of(body)
    loading = dialog_view.loading(blockkit.encode_metadata({"channel": channel}))
    try:
        answer = await context.client.views_open(
            trigger_id=str(body.get("trigger_id")), view=loading
        )
    except SlackError as error:
        await context.tell_error(body, error)
        return
    view = await _filled(context, wanted, choose, channel)
    view_id = str((answer.get("view") or {}).get("id"))
    try:
        await _update(context, view_id, view)
    except DialogExpired as error:  # the person has closed it
        log.info("dialog not updated", why=str(error))
    except SlackError as error:
        await context.tell_error(body, error)


async def _filled(context: SlackContext, wanted: Wanted, choose: Choose, channel: str) -> View:
    """Return the dialog with the job, or with one sentence why not."""
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            person, projects = await choose()
            found = await context.lookup.find(projects, wanted.cluster, wanted.job_id)
            return await _details(context, found, person, channel)
    except TimeoutError:
        return dialog_view.problem(SLOW_ATLAS)
    except (*EXPECTED, InvalidName) as error:
        return dialog_view.problem(private.sentence(error))
    except Exception:
        log.exception("dialog not filled in")
        return dialog_view.problem("Something went wrong in the bot. Click or type the same again.")


async def _update(context: SlackContext, view_id: str, view: View) -> None:
    """Update a view; a second time where Slack did not answer, since a person waits for it."""
    try:
        await context.client.views_update(view_id=view_id, view=view)
    except SlackUnavailable:
        await asyncio.sleep(UPDATE_AGAIN_AFTER)
        await context.client.views_update(view_id=view_id, view=view)


async def _details(
    context: SlackContext, found: JobDetails, person: ActingPerson, channel: str
) -> View:
    place = None
    if dialog_view.why_not_cancellable(found) is None:
        place = await _place(context, found, person, channel)
        if place is None:
            return dialog_view.problem(_invite(context, channel))
    # With the job, so that a submit needs no second read.
    metadata = blockkit.encode_metadata(
        {
            "project": found.ref.project_id,
            "cluster": found.ref.cluster_name,
            "read_at": found.read_at.isoformat(),
            "channel": channel,
            "place": place,
            "shown": found.job.model_dump(mode="json"),
        }
    )
    return dialog_view.details(found, person, context.links, context.now(), metadata)


async def _place(
    context: SlackContext, found: JobDetails, person: Person, channel: str
) -> str | None:
    """Return the channel of the message, or None where nobody could see and approve it."""
    needs_channel = found.policy.approvals > 0
    if place := found.policy.channel or found.download.channel:
        return place
    try:
        if channel and await _may_post(context, channel):
            return channel
    except SlackUnavailable:
        if needs_channel:
            raise
    return None if needs_channel else person.id


async def _may_post(context: SlackContext, channel: str) -> bool:
    """Whether the bot may post in the channel of the command; raises `SlackUnavailable`."""
    try:
        answer = await context.client.conversations_info(channel=channel)
    except SlackUnavailable:
        raise
    except SlackError:
        return False
    info = answer.get("channel") or {}
    if info.get("is_archived") or info.get("is_im"):
        return False
    may_join = not info.get("is_private") and "chat:write.public" in context.identity.scopes
    return bool(info.get("is_member") or may_join)


def _invite(context: SlackContext, channel: str) -> str:
    # Nobody can invite the bot to a conversation of two people.
    is_direct = channel.startswith("D")
    return private.cannot_post(None if is_direct else channel, context.identity.user)


async def submit(context: SlackContext, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Handle the submit of the dialog; return the answer for Slack, None to close the dialog."""
    view = body.get("view") or {}
    try:
        submission = _read_submission(view)
        submitted = await context.within_ack(body, _submit(context, body, submission))
    except CancellationError as error:
        return refused(error, dialog_view.problem)
    work = _tell_place(context, body, submitted, submission)
    context.background.start(work, "answer to a submit")
    return None


async def _submit(
    context: SlackContext, body: Mapping[str, Any], submission: Submission
) -> Submitted:
    context.check_active()
    person = await context.acting(body, context.policy_people(submission.ref))
    submitted = await context.requests.submit(person, submission)
    if submitted.request.state.has_ended:  # that of an earlier submit of this dialog
        raise errors.NothingChanged(submitted.request)
    return submitted


def refused(error: CancellationError, problem: Callable[[str], View]) -> Mapping[str, Any]:
    """Return the answer to a submit that had no effect.

    What the person can mend or repeat is told in the dialog, which stays open with its inputs;
    the same dialog submitted again is the same request.
    """
    match error:
        case errors.MayNotActAlone():
            return {"response_action": "errors", "errors": {ALONE: str(error)}}
        case errors.ReasonMissing() | errors.StorageError() | errors.RightsNotChecked():
            return {"response_action": "errors", "errors": {REASON: str(error)}}
    return {"response_action": "update", "view": problem(private.sentence(error))}


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
    alone = any(option.get("value") == ALONE for option in chosen)
    return Submission(
        # Slack may deliver a submit again. The box makes another one of it: a dialog stays open
        # where its acknowledgement was lost, and the person may tick the box then.
        key=f"{view.get('id')}{' alone' * alone}",
        ref=ref,
        job=job,
        read_at=read_at,
        reason=without_secrets(reason),
        alone=alone,
        asked_in=str(values.get("channel") or "") or None,
        channel=str(values.get("place") or "") or None,
    )


async def _tell_place(
    context: SlackContext, body: Mapping[str, Any], submitted: Submitted, submission: Submission
) -> None:
    """Tell who asked from elsewhere where the message is, and what a join did."""
    is_new = submitted.result is SubmitResult.CREATED
    if is_new and submitted.download.channel in {submission.asked_in, None}:
        return
    channel, link = await _posted(context, submitted)
    if is_new and channel == submission.asked_in:
        return
    if is_new:
        # Before it is posted, a direct message has the person's id in place of a channel's.
        where = (
            "a direct message to you" if channel == submitted.request.requester else f"<#{channel}>"
        )
        text = f"What happens with this download: {link or where}"
    else:
        is_approval = submitted.result is not SubmitResult.JOINED
        text = private.joined(submitted.request, link, is_approval=is_approval)
    asked_in = {"id": submission.asked_in} if submission.asked_in else {}
    await context.tell({**body, "channel": asked_in}, text)


async def _posted(context: SlackContext, submitted: Submitted) -> tuple[str | None, str | None]:
    """Wait for the message; return its channel and its link, None until it is posted."""
    download, ref = submitted.download, submitted.request.ref
    for pause in LINK_PAUSES:
        await asyncio.sleep(pause)
        download = await context.downloads.get(ref.project_id, ref.job_id) or download
        if download.ts:
            return download.channel, await context.message_link(download)
    return download.channel, None
