"""The buttons of a message: approve cancelling, let it run, cancel this download."""

from collections.abc import Mapping
from typing import Any

from bot.atlas import JobRef
from bot.cancellation import errors
from bot.cancellation.decisions import LetRunDecision, LetRunResult
from bot.cancellation.decisions import let_run as decide_let_run
from bot.cancellation.errors import CancellationError
from bot.cancellation.facts import Facts, facts_of
from bot.cancellation.people import ActingPerson
from bot.cancellation.words import auto_cancel_line
from bot.log_config import without_secrets
from bot.services.projects import Project
from bot.slack import blockkit, dialog_view
from bot.slack.context import EXPECTED, SlackContext, channel_of
from bot.slack.dialog import Wanted, open_dialog, refused
from bot.slack.values import REASON, parse_value


async def open_job(context: SlackContext, body: Mapping[str, Any], value: str) -> None:
    """Open the dialog of the job whose button was clicked."""
    try:
        ref, _ = _parse(value)
    except CancellationError as error:
        await context.tell_error(body, error)
        return

    async def choose() -> tuple[ActingPerson, list[Project]]:
        project = context.projects.get(ref.project_id)
        may_ask = project.policies.of(ref.cluster_name).may_ask
        person = await context.acting(body, may_ask)
        if person not in may_ask:
            raise errors.MayNotAsk(may_ask)
        return person, [project]

    await open_dialog(context, body, Wanted(ref.job_id, ref.cluster_name), choose)


async def approve(context: SlackContext, body: Mapping[str, Any], request_id: str) -> None:
    """Record an approval; the message shows it."""
    try:
        await context.within_ack(body, _approve(context, body, request_id))
    except EXPECTED as error:
        # After the acknowledgement, for which Slack waits.
        context.background.start(context.tell_error(body, error), "answer")


async def _approve(context: SlackContext, body: Mapping[str, Any], request_id: str) -> None:
    context.check_active()
    request = await context.requests.store.get(request_id)
    person = await context.acting(body, context.policy_people(request.ref))
    await context.requests.approve(request_id, person)


async def ask_why(context: SlackContext, body: Mapping[str, Any], value: str) -> None:
    """Open the dialog that asks why a download is let run, if this person may let it run."""
    try:
        context.check_active()
        ref, request_id = _parse(value)
        person = await context.acting(body, context.policy_people(ref))
        decision, facts = await _check(context, ref, request_id, person)
        metadata = blockkit.encode_metadata({"value": value, "channel": channel_of(body)})
        is_own = decision.result is LetRunResult.WITHDRAWN
        remains = () if decision.ends_auto_cancel else auto_cancel_line(facts)
        view = dialog_view.let_run_reason(metadata, is_own=is_own, remains=remains)
        await context.client.views_open(trigger_id=str(body.get("trigger_id")), view=view)
    except EXPECTED as error:
        await context.tell_error(body, error)


async def let_run(context: SlackContext, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Handle the submit of that dialog; return the answer for Slack, None to close it."""
    try:
        await context.within_ack(body, _let_run(context, body))
    except CancellationError as error:
        return refused(error, dialog_view.let_run_problem)
    return None


async def _let_run(context: SlackContext, body: Mapping[str, Any]) -> None:
    context.check_active()
    view = body.get("view") or {}
    reason = without_secrets(str(blockkit.input_of(view, REASON).get("value") or "").strip())
    ref, request_id = _parse(str(blockkit.decode_metadata(view).get("value")))
    person = await context.acting(body, context.policy_people(ref))
    await context.requests.let_run(ref, request_id, person, reason)


async def _check(
    context: SlackContext, ref: JobRef, request_id: str | None, person: ActingPerson
) -> tuple[LetRunDecision, Facts]:
    """Raise why this person may not let the download run; return what the click does."""
    download, newest = await context.downloads.with_request(ref.project_id, ref.job_id)
    opened = newest if newest and newest.is_open else None
    if download is None or (opened.id if opened else None) != request_id:
        raise errors.NothingChanged(newest)
    policy = context.projects.policy(ref)
    decision = decide_let_run(
        policy,
        download,
        opened,
        person,
        now=context.now(),
        reason="to be asked",
        feed_is_readable=context.requests.feed_is_readable(ref.project_id),
    )
    return decision, facts_of(download, [opened] if opened else [], policy)


def _parse(value: str) -> tuple[JobRef, str | None]:
    parsed = parse_value(value)
    if parsed is None:
        raise errors.RequestNotFound
    return parsed
