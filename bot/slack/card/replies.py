"""Builds the replies in a card's thread: one for each step, and the outcome last."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from bot.atlas import JobState
from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import Request, State
from bot.cancellation.people import NO_ONE, People
from bot.cancellation.policy import Policy
from bot.cancellation.posts import RequestPost, lead_of, own_part
from bot.cancellation.quarantine import NOT_KEPT, tried_until
from bot.slack import blockkit, job_lines, mrkdwn
from bot.slack.card.views import APPROVE, DENY, MARK, NOT_CERTAIN, metadata, people, review_button
from bot.slack.channels import is_direct
from bot.slack.client import Links
from bot.slack.deployment import command_code, labelled

OTHER = "{to}: {status}"  #: of events without words of their own, from other versions
ON_CARD = f"*{APPROVE}* and *{DENY}* are on the card."
MAY_APPROVE = f"May approve: {{who}}. {ON_CARD}"

MAY_KEEP = (
    "May keep it: {who}, but no one who may have started it. *Keep it* and *Cancel it now* are on "
    "the card."
)

#: Where those who may cancel it find the button, while the request waits.
ON_THE_CARD = {
    State.AWAITING: f" *{APPROVE}* is on the card.",
    State.QUARANTINED: " *Cancel it now* is on the card.",
}

#: The ends of a run that the download outlasts, or may.
NOT_CANCELLED = frozenset({EventName.FAILED, EventName.REFUSED, EventName.CHANGED})

COULD_HAVE_APPROVED = (
    f"Could have approved: {{who}}. Please read the card, and click *{MARK}*: one review is enough."
)


def message(post: RequestPost, policy: Policy | None = None) -> dict[str, Any]:
    """Build `text` and `blocks`, and `metadata` on outcomes, for chat.postMessage.

    `policy` is None if the project was removed.
    """
    template = TEMPLATES.get(post.event, OTHER)
    text = _format(template if isinstance(template, str) else template(post), post)
    if post.event in WITH_CLOCK:
        text += f"\n{job_lines.link_line(post.job)}"
    rules = policy or Policy(approvers=NO_ONE)
    call, called = _call(post, rules)
    if call:
        called -= own_part(rules, post.request.requester, alone=post.request.acted_alone)
        text += f"\n{call.format(who=people(called if policy else None))}"
    state = next((each for each in State if each.ended and post.event.endswith(f":{each}")), None)
    step = job_lines.next_step(post.request, post.job, is_served=policy is not None)
    if step and state is post.request.state:
        is_gone = mrkdwn.job_is_gone(post.request)
        clock = [] if is_gone else [job_lines.link_line(post.job)]
        text = "\n".join([text, *clock, step])
    built = blockkit.message(text) | ({"metadata": metadata(post.request, state)} if state else {})
    is_disowned = post.event is EventName.DOWNLOAD_DISOWNED
    if is_disowned and post.request.state.ended and not post.job.state.is_over:
        built["blocks"].append(blockkit.actions(job_lines.open_button(post.job.ref)))
    return built


def _call(post: RequestPost, policy: Policy) -> tuple[str, People]:
    """Return what a reply asks people to do, if anything, and whom it mentions for that."""
    is_left = post.request.by_bot and post.event in NOT_CANCELLED
    match post.event:
        case EventName.ACTED_ALONE:
            return COULD_HAVE_APPROVED, policy.first_approvers
        case EventName.REMINDED:
            return MAY_APPROVE, policy.first_approvers - People(users=post.request.approved_by)
        case EventName.ESCALATED:
            return MAY_APPROVE, policy.escalate_to
        case event if is_left or event is EventName.DOWNLOAD_DISOWNED:
            call = job_lines.call_to_cancel(post.request, post.job)
            return call + ON_THE_CARD.get(post.request.state, ""), policy.approvers
        case EventName.QUARANTINED | EventName.KEEP_VOIDED:
            return MAY_KEEP, policy.approvers - People(
                users=frozenset({post.detail.get("user") or ""})
            )
    return "", NO_ONE


def direct_message(post: RequestPost, links: Links) -> dict[str, Any]:
    """Build the direct message to an approver about a request that needed no approval."""
    reason = mrkdwn.quote(post.request.ask.reason)
    card = mrkdwn.link(links.card_of(post.request), "its card")
    text = labelled(_format(ACTED_ALONE, post))
    if is_direct(post.request.channel):  # only the requester can read the card
        message = blockkit.message(f"{text}\n{reason}")
        message["blocks"].append(blockkit.actions(review_button(post.request)))
        return message
    return blockkit.message(f"{text}\n{reason}\nRead {card}, and click *{MARK}* there.")


def without_card(request: Request, code: str) -> str:
    """Tell the requester, as safe mrkdwn, that Slack takes no card of the request."""
    step = f"{command_code('history')} shows how it ends."
    if request.state is State.AWAITING:
        step = f"An approver can type {command_code(f'approve {request.id}')}."
    return (
        f":warning: Slack takes no message about your request to cancel {mrkdwn.summary(request)}, "
        f"so no card shows it (Slack: {code}). {mrkdwn.request_status(request)} {step}"
    )


def _format(template: str, post: RequestPost) -> str:
    """Fill in a template with what every reply may name; some parts are empty, or begin a line."""
    request, detail = post.request, post.detail
    approved = mrkdwn.approved_by(request)
    sentence, job = str(detail.get("sentence") or ""), mrkdwn.summary(request)
    answer = mrkdwn.atlas_answer(detail.get("status"), detail.get("code"))
    live, link_until = detail.get("live_since"), post.job.until
    grace = request.grace_ends_at
    until = f" until {mrkdwn.date(grace, seconds=True)}" if grace and grace > post.at else ""
    return template.format(
        actor=mrkdwn.person(post.actor),
        again=f"The download is in quarantine again{until}.",
        approved=f" Approved by {approved}." if approved else "",
        before=f" Approved before by {approved}." if approved else "",
        by=f" by {mrkdwn.person(post.actor)}" if post.actor else "",
        clock=f"\n{job_lines.link_line(post.job)}",
        job=job,
        late=mrkdwn.may_still_end(request),
        Job=mrkdwn.capitalised(job),
        link_until=f", until {mrkdwn.date(link_until)}" if link_until else "",
        names=mrkdwn.join(mrkdwn.one_line(str(name), 80) for name in detail.get("names", [])),
        needed=mrkdwn.count(detail.get("approvals_needed", 0), "approval"),
        sentence=f"\n{mrkdwn.quote(sentence)}{answer}" if sentence else "",
        since=f" since {mrkdwn.date(datetime.fromisoformat(live), seconds=True)}" if live else "",
        status=mrkdwn.request_status(request),
        tried_until=mrkdwn.date(tried_until(request.ref)),
        to="Quarantine" if request.by_bot else mrkdwn.person(request.requester),
        until=mrkdwn.date(request.expires_at),
        user=mrkdwn.person(str(detail.get("user") or "")),
    )


def _notified(post: RequestPost) -> str:
    """Name who was reached, without mentions, which would notify them once more."""
    if not post.detail.get("names"):
        return ":warning: No approver could be reached by a direct message: please ask them."
    return ":incoming_envelope: This request was sent directly to {names}."


def _approval(post: RequestPost) -> str:
    request = post.request
    missing = request.approvals_needed - sum(each.at <= post.at for each in request.approvals)
    return f"{APPROVAL} {missing} more needed." if missing > 0 else f"{APPROVAL} That is enough."


def _approved(post: RequestPost) -> str:
    if post.request.by_bot:
        sentence = str(post.detail.get("sentence") or NOT_KEPT)
        why = "{actor} cancels it now" if post.actor else sentence.rstrip(".")
        by = post.job.started_by
        is_uncertain = by.starter and not (by.is_certain or post.actor)
        uncertain = f" {NOT_CERTAIN}" if is_uncertain else ""
        return f":arrow_forward: {why}: the bot now asks Atlas to cancel it.{uncertain}"
    return f"{APPROVAL} That is enough: the bot now asks Atlas to cancel the download."


def _quarantined_again(post: RequestPost) -> str:
    if post.detail.get("tries_again"):
        return (
            ":warning: {to}: The bot could not cancel {job} yet.{sentence}\nIt tries again, at "
            "first every 30 seconds, until the download has ended or {tried_until}. If you cannot "
            "wait, cancel it in Atlas, on the cluster's Backup page."
        )
    why = "The request that took the place of the quarantine ended without a cancellation."
    if post.request.voided:
        why = "The cancellation was stopped: who clicked *Cancel it now* may no longer decide."
    return f":warning: {why} {{again}}"


def _keep_voided(post: RequestPost) -> str:
    why = "The download is not kept any more: it is not certain who started it."
    if post.detail.get("user"):
        why = (
            "The keep by {user} does not count: Atlas's activity feed says that {user} started "
            "this download, or may have."
        )
    return f":rotating_light: {why} {{again}}"


def _ended_late(post: RequestPost) -> str:
    if "user" not in post.detail:  # of an earlier version, about a request that waited
        return OTHER
    whom = "{user}" if post.detail.get("user") else "{to}"
    return (
        f":warning: {whom}: {{Job}} was to go on, but a cancellation has ended it: the bot's, "
        "whose answer was lost, or that of a person in Atlas. If the copy is needed, start a new "
        "download."
    )


def _waits_again(post: RequestPost) -> str:
    if missing := post.request.approvals_missing:
        return f"{WAITS_AGAIN}: {missing} more needed.{{sentence}}\n{ON_CARD}"
    return f"{CANNOT_NOW}{{sentence}}\nOnce that is changed, one approval is enough. {ON_CARD}"


def _retried(post: RequestPost) -> str:
    again = " It needs {needed} again." if post.detail.get("approvals_needed") else ""
    again = " Its approvals still count." if post.detail.get("approvals_kept") else again
    return f":repeat: {{actor}} tries again to cancel the download.{again}"


def _check_failed(post: RequestPost) -> str:
    so_far = "Nothing was sent to Atlas yet for {job}."
    if post.detail.get("try"):
        so_far = "The bot asked Atlas to cancel {job}, but Atlas did not cancel it."
    return (
        f":warning: {{to}}: {so_far}{{approved}}{{sentence}}\nSlack must first say who may do "
        "this. The bot keeps trying until the download has ended. If it is urgent, cancel the "
        "download in Atlas, on the cluster's Backup page."
    )


def _cancelled(post: RequestPost) -> str:
    was_live = post.request.shown.link_existed or "link_live_since" in post.detail
    link = job_lines.past_link_sentence(was_live, post.job.link_unknown)
    link = link or job_lines.never_live(lead_of(post.request, post.job))
    return f":white_check_mark: {{to}}: {{Job}} is cancelled. Atlas confirms it.{link}{{approved}}"


def _withdrawn(post: RequestPost) -> str:
    why = ":inbox_tray: {to}: The bot's own request takes the place of this one."
    if post.actor:
        why = ":no_entry_sign: {to} withdrew the request: the bot does not cancel {job}."
    return f"{why}{{before}}{{sentence}}"


def _over(post: RequestPost) -> str:
    if post.actor:
        return ":information_source: {to}: {actor} ended this request.{before}{sentence}"
    job = post.job
    may_be_used = job.live_since or job.state in (JobState.FINISHED, JobState.EXPIRED)
    used = job_lines.past_link_sentence(may_be_used, job.link_unknown)
    if not used and job_lines.past_link(job):
        used = f" Its download link {job_lines.LINK_NEVER_LIVE}."
    return f":information_source: {{to}}: {{Job}} has ended.{used}{{approved}}{{sentence}}"


def _refused(post: RequestPost) -> str:
    if mrkdwn.job_is_gone(post.request):
        return ":grey_question: {to}: The request about {job} has ended.{approved}{sentence}"
    return ":no_entry: {to}: Atlas refused to cancel {job}.{approved}{sentence}"


def _link_live(post: RequestPost) -> str:
    decide = f" Decide now: {ON_CARD}"
    return (
        ":warning: The link of {job} is live{since}{link_until}. From now on a copy may have been "
        f"taken; cancelling ends the link.{decide if post.request.state is State.AWAITING else ''}"
    )


APPROVAL = ":ballot_box_with_check: {actor} approved."
ACTED_ALONE = ":rotating_light: {to} acted alone and asked to cancel {job} without approval."
WAITS_AGAIN = ":hourglass_flowing_sand: Cancel {job}? It waits for approval again, until {until}"
CANNOT_NOW = (
    ":hourglass_flowing_sand: Cancel {job}? It cannot be carried out now, and waits until {until}."
)

#: The replies while a download goes on that say how long is left, beside those of an end.
WITH_CLOCK = frozenset(
    {
        *(EventName.QUARANTINED, EventName.KEEP_VOIDED, EventName.DOWNLOAD_DISOWNED),
        *(EventName.CHECK_FAILED, EventName.AWAITING),
    }
)

#: The template of each reply, or a function that chooses it.
TEMPLATES: Mapping[EventName, str | Callable[[RequestPost], str]] = {
    EventName.ACTED_ALONE: ACTED_ALONE,
    EventName.REVIEWED: ":ballot_box_with_check: {actor} reviewed what was done without approval.",
    EventName.NOTIFIED: _notified,
    EventName.REMINDED: (
        ":bell: Cancel {job}? Reminder: The request waits for approval.{clock}\n"
        "The request ends {until}."
    ),
    EventName.ESCALATED: (
        ":rotating_light: Cancel {job}? Escalated: The request waits for approval.{clock}\n"
        "The request ends {until}."
    ),
    EventName.QUARANTINED: _quarantined_again,
    EventName.KEPT: ":unlock: {Job} is kept{by}: it goes on.{late}{before}{sentence}",
    EventName.JOB_ENDED: _ended_late,
    EventName.KEEP_VOIDED: _keep_voided,
    EventName.DOWNLOAD_DISOWNED: job_lines.DISOWNED,
    EventName.OBSERVED: ":eyes: {Job} goes on: the bot does not cancel it.{before}{sentence}",
    EventName.APPROVAL_GIVEN: _approval,
    EventName.APPROVED: _approved,
    EventName.APPROVAL_VOIDED: (
        ":warning: The approval of {user} does not count any more: {user} may no longer approve."
    ),
    EventName.APPROVALS_RAISED: ":warning: The policy now requires {needed}.",
    EventName.AWAITING: _waits_again,
    EventName.RETRIED: _retried,
    EventName.LINK_LIVE: _link_live,
    EventName.LINK_USED: (
        ":rotating_light: The link of {job} was used or withdrawn; it was live{since}. "
        "A copy may have been taken, which a cancellation cannot undo: tell your security team."
    ),
    EventName.CHECK_FAILED: _check_failed,
    EventName.CANCELLED: _cancelled,
    EventName.DENIED: (
        ":no_entry_sign: {to}: Denied{by}: the bot does not cancel {job}.{before}{sentence}"
    ),
    EventName.WITHDRAWN: _withdrawn,
    EventName.EXPIRED: (
        ":alarm_clock: {to}: Not approved in time: the bot does not cancel {job}.{before}{sentence}"
    ),
    EventName.OVER: _over,
    EventName.REFUSED: _refused,
    EventName.CHANGED: (
        ":warning: {to}: {Job} has changed since you asked, so nothing was done."
        "{approved}{sentence}"
    ),
    EventName.FAILED: ":x: {to}: The bot could not finish cancelling {job}.{approved}{sentence}",
}
