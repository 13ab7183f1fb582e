"""Handles selections, the button to try again, and the submissions of dialogs."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import structlog

from bot.cancellation import errors
from bot.cancellation import policy as rules
from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import TYPED_TEXTS, Ask, Request, State
from bot.services.service import Submission
from bot.slack import ids
from bot.slack.blockkit import REQUEST_KEY, decode_metadata, input_of, is_in_home
from bot.slack.channels import may_use
from bot.slack.client import Links
from bot.slack.decisions import Decisions
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import views
from bot.slack.dialog.flow import update_dialog
from bot.slack.dialog.state import (
    DETAILS_NOT_SHOWN,
    PICKERS,
    DialogState,
    Shown,
    UnreadableDialog,
    read_pickers,
    read_state,
    selection,
    submit_problem,
)
from bot.slack.dialog.views import Content
from bot.slack.errors import SlackError, sentence_for
from bot.slack.home import republish
from bot.slack.payloads import Actor, actor_of

#: Keyword arguments of Bolt's `ack`.
Response = dict[str, Any]
#: A decision about a request by its id, with the reason.
ReasonedDecision = Callable[[Decisions, str, Actor, str], Coroutine[Any, Any, Request]]

log = structlog.get_logger(__name__)

TRY_AGAIN = "Try again in a moment."
CHECK_THE_BOX = "Check the box to cancel without approval, which ends that request."
RULES_CHANGED = "The rules for this job changed after this dialog was opened: open it again."
#: Closes all views of the dialog.
CLOSE: Response = {"response_action": "clear"}
#: Seconds between the reads of a request until its card is posted.
CARD_POLL_INTERVALS = (0.3, 0.7, 1.0, 2.0, 4.0)


async def on_submission(deps: Dependencies, body: dict[str, Any]) -> Response:
    response = await _answer(deps, body["view"], actor_of(body, deps.identity))
    if DETAILS_NOT_SHOWN in response.get("errors", {}).values():
        read_selection(deps, body)  # the update of its selection may have lost to another
    return response


async def on_decision(
    decision: ReasonedDecision, deps: Dependencies, body: dict[str, Any]
) -> Response:
    """Carry out a decision with the reason of its dialog; answer the dialog."""
    view, actor = body["view"], actor_of(body, deps.identity)
    request_id = str(decode_metadata(view).get(REQUEST_KEY) or "")
    response = CLOSE
    try:
        work = decision(Decisions(deps), request_id, actor, typed_text(view, ids.REASON))
        await deps.before_ack(work)
    except CancellationError as error:
        log.info("decision refused", actor=actor.id, why=type(error).__name__)
        response = refusal(error, view, deps.links)
    if is_in_home(body):
        republish(deps, body)
    return response


def read_selection(deps: Dependencies, body: dict[str, Any]) -> None:
    """Read what is selected in the pickers of a dialog up to the clicked one, or in all.

    A dialog without pickers is read for the job that it is about.
    """
    view, by = body.get("view") or {}, deps.interaction(body)
    clicked = [each["action_id"] for each in body.get("actions") or ()]
    last = next((each for each in clicked if each in PICKERS), ids.JOB)
    try:
        state = selection(view, last)
        kept = read_pickers(view, state, last) if state.has_pickers else []
    except UnreadableDialog as error:
        deps.reply(body, str(error))
        return
    log.info("dialog is read", picker=last, cluster=state.cluster, job=state.job_id)
    deps.start(update_dialog(deps, state, by, view, kept), "dialog", by)


async def _answer(deps: Dependencies, view: Mapping[str, Any], actor: Actor) -> Response:
    """Turn a submitted view into a request before the ack."""
    try:
        state = read_state(view)
        if state.only_closes:
            return CLOSE
        if problem := submit_problem(view, state):
            log.info("submission refused", actor=actor.id, why="no job selected and shown")
            return {"response_action": "errors", "errors": dict([problem])}
        request = await deps.before_ack(_submit(deps, view, state, actor))
    except (UnreadableDialog, CancellationError) as error:
        log.info("submission refused", actor=actor.id, why=type(error).__name__)
        return refusal(error, view, deps.links)
    if request.channel == state.asked_in:
        return CLOSE
    deps.background.start(_link_card(deps, request, str(view["id"])), "link to the card")
    return update_with(views.posted_elsewhere(request))


async def _submit(
    deps: Dependencies, view: Mapping[str, Any], state: DialogState, actor: Actor
) -> Request:
    ask, shown = _asked(state, view)
    policy = deps.service.projects.policy(ask.ref)
    alone = policy.approvals > 0 and bool(input_of(view, ids.ALONE).get("selected_options"))
    typed = typed_text(view, ids.TYPED)
    # What needs no answer of Slack comes first: it allows few reads of groups.
    missing = rules.check_reason(policy, ask.reason, alone=alone)
    if why_not := missing or rules.check_typed_name(policy, ask.ref.cluster_name, typed):
        raise why_not
    groups, directory = policy.approvers.groups if policy.approvals else (), deps.directory
    read, people = directory.acting_person, policy.requesters
    if alone:
        read, people = directory.acting_now, policy.requesters | policy.break_glass
    person, members = await asyncio.gather(
        deps.acting(read, actor, people, partial(rules.may_request, policy)),
        directory.members_of(groups),
    )
    if why_not := may_use(policy, state.asked_in, is_click=state.is_click):
        raise why_not
    submission = Submission(
        key=str(view["id"]),
        person=person,
        ask=ask,
        channel=shown.card_channel,
        typed=typed,
        approver_members=members,
        alone=alone,
    )
    return await deps.service.submit(submission)


async def _link_card(deps: Dependencies, request: Request, view_id: str) -> None:
    """Add a link to the card to the dialog, once the card is posted."""
    for interval in CARD_POLL_INTERVALS:
        await deps.sleep(interval)
        try:
            current = await deps.service.requests.get(request.id)
            if url := deps.links.card_of(current):
                view = views.without_state(views.posted_elsewhere(current, url))
                # Slack gives no hash for the answer to a submission, which this replaces.
                await deps.client.views_update(view_id=view_id, view=view)
                return
        except CancellationError as error:
            log.warning("card could not be linked", error=str(error))
            return
        except SlackError as error:
            # The dialog was closed or Slack is unavailable; it already shows the channel.
            log.info("card could not be linked", error=error.sentence)
            return


def _asked(state: DialogState, view: Mapping[str, Any]) -> tuple[Ask, Shown]:
    """Return what the person asks with a view: the job that it shows, and what they typed."""
    if not (state.ref and state.shown):
        raise UnreadableDialog
    typed = {name: typed_text(view, name) for name in TYPED_TEXTS}
    ask = Ask(ref=state.ref, shown=state.shown.job, asked_in=state.asked_in, **typed)
    return ask, state.shown


def refusal(error: Exception, view: Mapping[str, Any], links: Links) -> Response:
    """Answer a dialog with an error: below an input if typing helps, to keep what was typed."""
    sentence, block_id = str(error), _block_of(error)
    existing = {block.get("block_id") for block in view.get("blocks") or ()}
    if block_id is None or (block_id == ids.ALONE and block_id not in existing):
        return update_with(views.refused(sentence_for(error, links)))
    if block_id in existing:
        if isinstance(error, errors.JobAlreadyRequested):
            sentence += f" {CHECK_THE_BOX}"
        elif isinstance(error, errors.RightsNotChecked) and error.is_temporary:
            sentence += f" {TRY_AGAIN}"
        return {"response_action": "errors", "errors": {block_id: sentence}}
    # Slack refuses an error at a block that the dialog does not have.
    why = RULES_CHANGED if isinstance(error, errors.NotAllowed) else sentence
    state = replace(read_state(view), has_pickers=False)
    return {"response_action": "update", "view": views.view(state, views.error(state, why))}


def _block_of(error: Exception) -> str | None:
    """Return the input at which an error can be mended."""
    match error:
        case errors.NameNotTyped():
            return ids.TYPED
        case errors.MayNotActAlone():
            return ids.ALONE
        case errors.JobAlreadyRequested(request=request) if request.state is State.AWAITING:
            return ids.ALONE
        case errors.ReasonMissing() | errors.DenialReasonMissing() | errors.KeepReasonMissing():
            return ids.REASON
        case errors.StorageError() | errors.RightsNotChecked():  # to submit once more
            return ids.REASON
    return None


def update_with(content: Content) -> Response:
    return {"response_action": "update", "view": views.without_state(content)}


def typed_text(view: Mapping[str, Any], block_id: str) -> str:
    """Read a text input; without NUL, which PostgreSQL rejects."""
    return str(input_of(view, block_id).get("value") or "").replace("\0", "")
