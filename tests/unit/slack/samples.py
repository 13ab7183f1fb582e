"""Every message, reply, dialog, list and private sentence that the bot can show, by name."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from bot.atlas import JobNotFound, JobRef, RestoreJob
from bot.atlas.errors import TimedOut, Unavailable
from bot.cancellation import errors
from bot.cancellation.download import Download, LetRun, new_download
from bot.cancellation.facts import Facts, facts_of
from bot.cancellation.people import EVERYONE, NO_ONE, People, Person
from bot.cancellation.policy import Policies, Policy
from bot.cancellation.replies import ReplyKind, audience
from bot.cancellation.request import Approval, Attempts, Outcome, Request, State
from bot.cancellation.starter import Starters
from bot.cancellation.words import auto_cancel_line
from bot.services.lookup import JobDetails, Running, Unread
from bot.services.projects import Project
from bot.slack import dialog_view, list_view, message, private
from bot.slack.errors import RateLimited
from bot.slack.links import Links
from bot.slack.replies import reply_message
from bot.storage.outbox_store import Reply
from tests.support.clock import FakeClock
from tests.support.domain import (
    ADA,
    ALAN,
    AUTO_CANCEL,
    GIL,
    LINK,
    POLICY,
    PROJECT,
    REF,
    RINA,
    START,
    job_ref,
    request,
    restore_job,
    users,
)
from tests.support.fake_atlas import FakeAtlas

Json = dict[str, Any]

LINKS = Links(atlas="https://cloud.mongodb.com")
COMMAND = "/cancel-restore"
NAME = "shop-prod"
GROUP = People(groups=frozenset({"S0DBA"}))
NOTE = "Customer data. Call security too: 7700."


def at(seconds: float) -> Any:
    return START + timedelta(seconds=seconds)


#: The feed was read when it has the event.
DANA = Starters(read_at=at(25), names=("dana@shop.example",))
READ_ONLY = Policy(channel="C0OPS", read_only=True)
TWO_APPROVALS = replace(POLICY, approvals=2, approvers=GROUP, note=NOTE)
ALONE = replace(POLICY, approvals=0)

RUNS = replace(new_download(REF, restore_job(), read_at=START, now=START), starters=DANA)
TIMED = replace(RUNS, auto_cancel_at=at(90))
SENT = Attempts(count=1, accepted_at=START)
UNKNOWN = Attempts(count=1, is_unknown=True)
APPROVED = (Approval(user=ADA.id, at=at(80)),)


def read(download: Download, seconds: float = 85, **changes: Any) -> Download:
    """Return the download after another read of it."""
    return download.observed(restore_job(download.ref, **changes), at(seconds))


LIVE = read(RUNS, 190, **LINK)
USED = read(LIVE, 200, expiresAt=LINK["expiresAt"])


def ended_by(seconds: float = 85, *, live: bool = False, **flags: Any) -> Download:
    return read(LIVE if live else RUNS, seconds, **flags)


def asked(state: State = State.AWAITING, **changes: Any) -> Request:
    """Return Rina's request, asked 50 s after the start."""
    times = {"created_at": at(50), "changed_at": at(85), "expires_at": at(1850)}
    return request(state, **times, **changes)


def automatic(state: State, **changes: Any) -> Request:
    return asked(state, requester=None, reason="", needed=0, is_automatic=True, **changes)


LET_RUN = replace(TIMED, let_run=LetRun(by=ADA.id, at=at(60), reason="restore test"))
AUTO_CANCELLED = replace(TIMED, auto_cancelled_at=at(90))
DENIED = asked(State.DENIED, outcome=Outcome(by=ADA.id, reason="restore test"))
WITHDRAWN = asked(State.WITHDRAWN, outcome=Outcome(by=RINA.id))
LOST_RIGHT = asked(State.WITHDRAWN, outcome=Outcome(lost_right=True))
NOT_ALLOWED = asked(State.WITHDRAWN, outcome=Outcome(is_read_only=True))
EXPIRED = asked(State.EXPIRED)
REFUSAL = Outcome(
    status=403,
    code="USER_UNAUTHORIZED",
    error="The bot's key lacks a role in Atlas: give it Project Backup Recovery Operator.",
)
REFUSED = asked(State.REFUSED, approvals=APPROVED, outcome=REFUSAL)
CHANGES = {"snapshot_time": ("2026-12-02T11:20:00+00:00", "2026-12-02T11:40:00+00:00")}
CHANGED = asked(State.CHANGED, approvals=APPROVED, outcome=Outcome(changes=CHANGES))
FAILED = asked(
    State.FAILED,
    approvals=APPROVED,
    run_started_at=at(85),
    attempts=UNKNOWN,
    outcome=Outcome(error=TimedOut().fact),
)
CANCELLED = asked(State.CANCELLED, approvals=APPROVED, attempts=SENT)
ACTED_ALONE = asked(State.CANCELLING, requester=GIL.id, alone=GIL.id, needed=0)
TROUBLE = Unavailable().fact

#: Downloads with their requests, newest first, and the policy, by the state of the message.
CASES: Mapping[str, tuple[Download, list[Request], Policy]] = {
    "announced": (RUNS, [], POLICY),
    "announced_starter_not_in_the_feed": (
        replace(RUNS, starters=Starters(read_at=at(25))), [], POLICY,
    ),
    "announced_starter_not_known": (replace(RUNS, starters=Starters()), [], POLICY),
    "announced_several_starters": (
        replace(RUNS, starters=Starters(read_at=at(25), names=tuple("abcdefg"))), [], POLICY,
    ),
    "announced_with_a_note": (RUNS, [], TWO_APPROVALS),
    "announced_link_live": (LIVE, [], POLICY),
    "announced_link_used": (USED, [], POLICY),
    "announced_read_only": (RUNS, [], READ_ONLY),
    "auto_cancel": (TIMED, [], AUTO_CANCEL),
    "auto_cancel_after_a_withdrawal": (TIMED, [WITHDRAWN], AUTO_CANCEL),
    "auto_cancel_link_live": (replace(LIVE, auto_cancel_at=at(900)), [], AUTO_CANCEL),
    "waiting": (RUNS, [asked()], POLICY),
    "waiting_for_two": (RUNS, [asked(needed=2)], TWO_APPROVALS),
    "waiting_for_one_more": (RUNS, [asked(needed=2, approvals=APPROVED)], TWO_APPROVALS),
    "waiting_everybody_may_approve": (RUNS, [asked()], Policy(channel="C0OPS", approvals=1)),
    "waiting_with_auto_cancel": (TIMED, [asked()], AUTO_CANCEL),
    "waiting_link_live": (LIVE, [asked()], POLICY),
    "waiting_not_listed_any_more": (replace(RUNS, is_gone=True), [asked()], POLICY),
    "cancelling": (RUNS, [asked(State.CANCELLING, approvals=APPROVED)], POLICY),
    "cancelling_fault": (
        RUNS, [asked(State.CANCELLING, approvals=APPROVED, trouble=TROUBLE)], POLICY,
    ),
    "cancelling_alone": (RUNS, [ACTED_ALONE], POLICY),
    "cancelling_at_its_time": (AUTO_CANCELLED, [automatic(State.CANCELLING)], AUTO_CANCEL),
    "cancelled": (ended_by(cancelled=True), [CANCELLED], POLICY),
    "cancelled_link_live": (ended_by(210, live=True, cancelled=True), [CANCELLED], POLICY),
    "cancelled_at_its_time": (
        read(AUTO_CANCELLED, 95, cancelled=True), [automatic(State.CANCELLED)], AUTO_CANCEL,
    ),
    "let_run": (LET_RUN, [], AUTO_CANCEL),
    "let_run_link_live": (read(LET_RUN, 200, **LINK), [], AUTO_CANCEL),
    "let_run_and_asked_again": (LET_RUN, [asked()], AUTO_CANCEL),
    "denied": (RUNS, [DENIED], POLICY),
    "withdrawn": (RUNS, [WITHDRAWN], POLICY),
    "withdrawn_after_an_unknown_attempt": (
        RUNS, [replace(NOT_ALLOWED, attempts=UNKNOWN)], replace(POLICY, read_only=True),
    ),
    "withdrawn_right_lost": (RUNS, [LOST_RIGHT], POLICY),
    "withdrawn_right_to_act_alone_lost": (RUNS, [replace(LOST_RIGHT, alone=RINA.id)], POLICY),
    "withdrawn_read_only": (RUNS, [NOT_ALLOWED], READ_ONLY),
    "expired": (RUNS, [EXPIRED], POLICY),
    "expired_link_live": (LIVE, [EXPIRED], POLICY),
    "expired_with_auto_cancel": (TIMED, [EXPIRED], AUTO_CANCEL),
    "refused": (RUNS, [REFUSED], POLICY),
    "changed": (RUNS, [CHANGED], POLICY),
    "failed": (RUNS, [FAILED], POLICY),
    "failed_link_live": (LIVE, [FAILED], POLICY),
    "over_cancelled_elsewhere": (ended_by(cancelled=True), [asked(State.OVER)], POLICY),
    "over_cancelled_and_failed": (
        ended_by(cancelled=True, failed=True), [asked(State.OVER, attempts=SENT)], POLICY,
    ),
    "over_link_live": (ended_by(900, live=True, expired=True), [asked(State.OVER)], POLICY),
    "ended_cancelled": (ended_by(cancelled=True), [], POLICY),
    "ended_perhaps_by_the_bot": (ended_by(cancelled=True), [FAILED], POLICY),
    "ended_failed": (ended_by(failed=True), [], POLICY),
    "ended_expired": (ended_by(expired=True), [], POLICY),
    "ended_link_live": (ended_by(900, live=True, cancelled=True), [], POLICY),
    "ended_after_let_run": (read(read(LET_RUN, 200, **LINK), 900, expired=True), [], AUTO_CANCEL),
    "ended_not_listed": (replace(RUNS, is_gone=True), [], POLICY),
}  # fmt: skip


def facts(name: str) -> Facts:
    return facts_of(*CASES[name])


def _reply(kind: ReplyKind, name: str, *, actor: str | None = None, **detail: Any) -> Json:
    """Return a reply about the download of a case, with the mentions that it has."""
    case = facts(name)
    notified = audience(kind, case.policy, case.download, case.request)
    reply = Reply(
        id=1,
        kind=kind,
        people=notified.people,
        is_broadcast=notified.is_broadcast,
        at=at(85),
        actor=actor,
        detail=detail,
        request=case.request,
    )
    return reply_message(reply, case, at(60)) | {"reply_broadcast": notified.is_broadcast}


_ENDS = (
    "cancelled",
    "cancelled_link_live",
    "cancelled_at_its_time",
    "denied",
    "withdrawn",
    "withdrawn_right_lost",
    "withdrawn_read_only",
    "auto_cancel_after_a_withdrawal",
    "expired",
    "expired_with_auto_cancel",
    "refused",
    "changed",
    "failed",
    "over_cancelled_elsewhere",
    "over_cancelled_and_failed",
    "over_link_live",
    "ended_link_live",
)


def replies() -> Mapping[str, Json]:
    """Return one reply of each kind, and of each end."""
    kind = ReplyKind
    return {
        "waits": _reply(kind.WAITS, "waiting"),
        "waits_with_auto_cancel": _reply(kind.WAITS, "waiting_with_auto_cancel"),
        "waits_for_everybody": _reply(kind.WAITS, "waiting_everybody_may_approve"),
        "waits_again": _reply(kind.WAITS_AGAIN, "waiting", voided=[ADA.id]),
        "waits_again_for_more": _reply(kind.WAITS_AGAIN, "waiting_for_two", voided=[]),
        "reminder": _reply(kind.REMINDER, "waiting"),
        "reminder_for_two": _reply(kind.REMINDER, "waiting_for_two"),
        "acted_alone": _reply(
            kind.ACTED_ALONE, "cancelling_alone", actor=GIL.id, reason="prod data, unknown starter"
        ),
        "approval": _reply(kind.APPROVAL, "waiting_for_two", actor=ADA.id, given=1, needed=2),
        "approval_with_reason": _reply(
            kind.APPROVAL, "waiting_for_two", actor=ADA.id, given=1, needed=2, reason="not ours"
        ),
        "link_live": _reply(kind.LINK_LIVE, "announced_link_live"),
        "link_used": _reply(kind.LINK_LIVE, "announced_link_used"),
        "link_of_an_ended_download": _reply(kind.LINK_LIVE, "ended_link_live"),
        "trouble": _reply(kind.TROUBLE, "cancelling_fault", trouble=TROUBLE),
        "let_run": _reply(kind.LET_RUN, "let_run", actor=ADA.id, reason="restore test"),
        **{f"ended: {name}": _reply(kind.ENDED, name) for name in _ENDS},
    }


def download_message(name: str) -> Json:
    return message.message(facts(name), NAME, LINKS, at(60))


def messages() -> Mapping[str, Json]:
    """Return the messages of all states, the replies, and the lists."""
    timed, lost = facts("auto_cancel"), facts("expired")
    first = message.mentioned_at_post(timed, is_repost=False)
    again = message.mentioned_at_post(lost, is_repost=True)
    return {
        **{f"message: {name}": download_message(name) for name in CASES},
        "posted: auto_cancel": message.with_mentions(download_message("auto_cancel"), first),
        "posted again: expired": message.with_mentions(download_message("expired"), again),
        "short: refused": message.short_message(facts("refused"), NAME),
        **{f"reply: {name}": built for name, built in replies().items()},
        **{f"list: {name}": built for name, built in lists().items()},
        "help": list_view.help_text(COMMAND),
    }


def project(policy: Policy = POLICY, name: str = NAME) -> Project:
    policies, atlas = Policies(default=policy), FakeAtlas(FakeClock())
    return Project(id=PROJECT, name=name, policies=policies, gateway=atlas)


def details(name: str, job: RestoreJob | None = None) -> JobDetails:
    download, requests, policy = CASES[name]
    return JobDetails(
        project=project(policy),
        ref=download.ref,
        job=job or restore_job(download.ref),
        read_at=download.read_at,
        download=download,
        requests=requests,
    )


AUTOMATED = restore_job(job_ref(START, 2, "staging"), deliveryType="automated")


def other_restore() -> JobDetails:
    ref = JobRef(PROJECT, "staging", AUTOMATED.id)
    found = new_download(ref, AUTOMATED, read_at=START, now=START)
    return replace(details("announced", AUTOMATED), ref=ref, download=found)


def lists() -> Mapping[str, Json]:
    shop, dev = project(), project(name="shop-dev")
    eu = Unread("shop-dev", "eu", TimedOut().fact)
    names = ("announced", "waiting_for_two", "cancelling", "announced_read_only")
    runs = Running(downloads=[details(name) for name in names], others=[other_restore()])
    many = Running(
        downloads=[details("announced")] * 20, others=[other_restore()] * 20, unread=[eu] * 20
    )

    def shown(running: Running, projects: list[Project], cluster: str | None = None) -> Json:
        return list_view.downloads(running, projects, cluster, COMMAND, at(60))

    return {
        "some": shown(runs, [shop]),
        "none": shown(Running(), [shop, dev]),
        "none_and_unread": shown(Running(unread=[eu, Unread("x-prod", None, "No.")]), [shop, dev]),
        "none_of_a_cluster": shown(Running(clusters=["prod-eu"]), [shop], "Prod-EU"),
        "no_such_cluster": shown(Running(clusters=["prod-eu", "prod-us"]), [shop], "prod"),
        "many": shown(many, [project(name=f"shop-{number}") for number in range(40)]),
    }


def _dialog(found: JobDetails, person: Person) -> Json:
    return dialog_view.details(found, person, LINKS, at(60), "{}")


def views() -> Mapping[str, Json]:
    """Return the dialogs."""
    no_approval = replace(details("announced"), project=project(ALONE))
    return {
        "loading": dialog_view.loading("{}"),
        "cancel": _dialog(no_approval, RINA),
        "ask_for_approval": _dialog(details("announced_with_a_note"), RINA),
        "emergency": _dialog(details("announced"), GIL),
        "approve": _dialog(details("waiting"), ADA),
        "auto_cancel_for_an_approver": _dialog(details("auto_cancel"), ADA),
        "asked_already": _dialog(details("waiting_for_one_more"), RINA),
        "cancelling_already": _dialog(details("cancelling_fault"), ALAN),
        "let_run_before": _dialog(details("let_run"), RINA),
        "denied_before": _dialog(details("denied"), RINA),
        "withdrawn_before": _dialog(details("withdrawn"), RINA),
        "expired_before": _dialog(details("expired_link_live"), RINA),
        "failed_before": _dialog(details("failed"), RINA),
        "cancelled": _dialog(details("cancelled"), RINA),
        "ended_link_live": _dialog(details("ended_link_live"), RINA),
        "read_only": _dialog(details("announced_read_only"), RINA),
        "other_restore": _dialog(other_restore(), RINA),
        "problem": dialog_view.problem(private.sentence(errors.WrongCluster("prod-eu", "prod"))),
        "let_run_reason": dialog_view.let_run_reason("{}", is_own=False),
        "let_run_reason_of_the_requester": dialog_view.let_run_reason("{}", is_own=True),
        "let_run_reason_where_auto_cancel_remains": dialog_view.let_run_reason(
            "{}", is_own=True, remains=auto_cancel_line(facts("auto_cancel"))
        ),
        "let_run_problem": dialog_view.let_run_problem(
            private.sentence(errors.NothingChanged(CANCELLED))
        ),
    }


ERRORS: Mapping[str, Exception] = {
    "read_only": errors.ReadOnly(),
    "may_not_ask": errors.MayNotAsk(users("U0RINA", "U0ADA")),
    "may_not_ask_guest": errors.MayNotAsk(EVERYONE),
    "may_not_approve": errors.MayNotApprove(GROUP),
    "may_not_approve_nobody": errors.MayNotApprove(NO_ONE),
    "own_request": errors.OwnRequest(GROUP),
    "approved_already": errors.AlreadyApproved(users("U0ALAN")),
    "may_not_let_run": errors.MayNotLetRun(GROUP),
    "starter": errors.MayBeStarter(),
    "may_not_act_alone": errors.MayNotActAlone(users("U0GIL")),
    "too_early": errors.TooEarly(at(24)),
    "reason_missing": errors.ReasonMissing(),
    "cannot_cancel": errors.CannotCancel(),
    "wrong_cluster": errors.WrongCluster("prod-eu", "prod"),
    "download_ended": errors.DownloadEnded(None),
    "let_run_before": errors.NothingChanged(None, LetRun(by=ADA.id, at=at(60))),
    "nothing_waits": errors.NothingChanged(None),
    "rights_not_checked": errors.RightsNotChecked("Slack did not answer."),
    "not_recorded": errors.NotRecorded(),
    "not_active": errors.NotActive(),
    "not_read": errors.NotRead(),
    "maybe_recorded": errors.MaybeRecorded(),
    "unknown_project": errors.UnknownProject(),
    "request_not_found": errors.RequestNotFound(),
    "slack_limits": RateLimited("ratelimited", 5),
    "job_not_found": JobNotFound(),
    **{
        f"late: {name}": errors.NothingChanged(facts(name).request)
        for name in (
            "waiting",
            "cancelling",
            "cancelling_alone",
            "cancelling_at_its_time",
            "cancelled",
            "denied",
            "withdrawn",
            "expired",
            "refused",
            "changed",
            "failed",
            "over_link_live",
        )
    },
    "late: approved": errors.NothingChanged(asked(State.APPROVED, needed=0)),
}


def sentences() -> Mapping[str, str]:
    """Return the private sentences."""
    link = "https://shop.slack.com/archives/C0OPS/p1"
    waiting, running = asked(), facts("cancelling").request
    assert running
    return {
        **{name: private.sentence(error) for name, error in ERRORS.items()},
        "joined": private.joined(waiting, link),
        "joined_running": private.joined(running, None),
        "joined_as_approval": private.joined(waiting, link, is_approval=True),
        "cannot_post": private.cannot_post("C0DEV", "U0BOT"),
    }
