"""The buttons of a message: approve cancelling, let it run, cancel this download."""

from collections.abc import Mapping
from typing import Any

from bot.atlas import JobRef
from bot.cancellation import errors
from bot.cancellation.decisions import let_run as decide_let_run
from bot.cancellation.errors import CancellationError
from bot.cancellation.people import ActingPerson
from bot.log_config import without_secrets
from bot.slack import blockkit, dialog_view, private
from bot.slack.context import EXPECTED, SlackContext
from bot.slack.dialog import Wanted, open_dialog
from bot.slack.values import REASON, parse_value


async def open_job(context: SlackContext, body: Mapping[str, Any], value: str) -> None:
    """Open the dialog of the job whose button was clicked."""
    try:
        ref, _ = _parse(value)
        project = context.projects.get(ref.project_id)
        policy = project.policies.of(ref.cluster_name)
        person = await context.acting(body, policy.may_ask)
        if person not in policy.may_ask:
            raise errors.MayNotAsk(policy.may_ask)
    except EXPECTED as error:
        await context.tell_error(body, error)
        return
    wanted = Wanted(ref.job_id, ref.cluster_name, (project,))
    await open_dialog(context, body, person, wanted)


async def approve(context: SlackContext, body: Mapping[str, Any], request_id: str) -> None:
    """Record an approval; the message shows it."""
    try:
        context.check_active()
        request = await context.requests.store.get(request_id)
        person = await context.acting(body, context.policy_people(request.ref))
        await context.within_ack(context.requests.approve(request_id, person))
    except EXPECTED as error:
        # After the acknowledgement, for which Slack waits.
        context.background.start(context.tell_error(body, error), "answer")


async def ask_why(context: SlackContext, body: Mapping[str, Any], value: str) -> None:
    """Open the dialog that asks why a download is let run, if this person may let it run."""
    try:
        context.check_active()
        ref, request_id = _parse(value)
        person = await context.acting(body, context.policy_people(ref))
        is_own = await _check(context, ref, request_id, person)
        metadata = blockkit.encode_metadata({"value": value, "channel": _channel(body)})
        view = dialog_view.let_run_reason(metadata, is_own=is_own)
        await context.client.views_open(trigger_id=str(body.get("trigger_id")), view=view)
    except EXPECTED as error:
        await context.tell_error(body, error)


async def let_run(context: SlackContext, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Handle the submit of that dialog; return the answer for Slack, None to close it."""
    view = body.get("view") or {}
    reason = without_secrets(str(blockkit.input_of(view, REASON).get("value") or "").strip())
    try:
        context.check_active()
        ref, request_id = _parse(str(blockkit.decode_metadata(view).get("value")))
        person = await context.acting(body, context.policy_people(ref))
        await context.within_ack(context.requests.let_run(ref, request_id, person, reason))
    except errors.ReasonMissing as error:
        return {"response_action": "errors", "errors": {REASON: str(error)}}
    except CancellationError as error:
        text = private.sentence(error)
        return {"response_action": "update", "view": dialog_view.let_run_problem(text)}
    return None


async def _check(
    context: SlackContext, ref: JobRef, request_id: str | None, person: ActingPerson
) -> bool:
    """Raise why this person may not let the download run; return whether the request is own."""
    requests = await context.requests.store.of_download(ref.project_id, ref.job_id)
    opened = next((request for request in requests if request.is_open), None)
    store = context.lookup.downloads
    download = await store.get(ref.project_id, ref.job_id) if store else None
    if download is None or (opened.id if opened else None) != request_id:
        raise errors.NothingChanged(opened or next(iter(requests), None))
    decide_let_run(
        context.projects.policy(ref),
        download,
        opened,
        person,
        now=context.now(),
        reason="to be asked",
        feed_is_readable=context.requests.feed_is_readable(ref.project_id),
    )
    return opened is not None and opened.requester == person.id


def _parse(value: str) -> tuple[JobRef, str | None]:
    parsed = parse_value(value)
    if parsed is None:
        raise errors.RequestNotFound
    return parsed


def _channel(body: Mapping[str, Any]) -> str:
    return str((body.get("channel") or {}).get("id") or "")
