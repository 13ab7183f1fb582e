"""Every view and message that the bot can show, by name."""

from dataclasses import asdict, replace
from datetime import timedelta
from functools import partial
from typing import Any

from bot.atlas import JobRef, JobState
from bot.atlas.errors import JobGone, RoleMissing, TimedOut, Unavailable
from bot.cancellation.errors import (
    AlreadyHandled,
    AlreadyReviewed,
    CancellationError,
    ChannelNotAllowed,
    DisownedBefore,
    JobAlreadyRequested,
    KeyMayNotCancel,
    NotAnApprover,
    NotRecorded,
    ReadOnly,
    RequesterLostRight,
    RequestExpired,
    RightsNotChecked,
)
from bot.cancellation.events import EventName
from bot.cancellation.job import ENDED, SENT_BEFORE, Job, LinkPhase, StarterAnswer
from bot.cancellation.lifecycle import Approval, Card, DeleteAttempts, Outcome, Request, State
from bot.cancellation.people import EVERYONE, NO_ONE, People
from bot.cancellation.policy import Mode, Policies, Policy
from bot.cancellation.posts import JobPost, Lead, PostKind, RequestPost
from bot.cancellation.quarantine import PROJECT_GONE, TAKEN_OVER
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from bot.services import runner
from bot.services.job_search import CancellableJob, ClusterRef, Search, UnreadCluster
from bot.services.jobs import JobDetails
from bot.services.projects import Project
from bot.slack import announcement as announcement_views
from bot.slack import blockkit, command, home, ids, job_lines, lists, question
from bot.slack.card import replies as card_replies
from bot.slack.card import views as card_views
from bot.slack.channels import Placement
from bot.slack.dialog import flow, job_details
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.state import DialogState, cluster_picker, job_picker, project_picker
from bot.slack.dialog.views import Content
from bot.slack.errors import CannotPost, internal_error_text, private_refusal
from bot.slack.grammar import InvalidCommand
from bot.slack.outbox.delivery import SEEN_BY_APPROVERS
from bot.storage.history import PastRequest
from tests.support.clock import NOON
from tests.support.domain import JOB_ID, PROJECT_ID, RINA, SHOWN, a_job, a_request, an_ask, job_ref
from tests.support.fake_atlas import FakeAtlas
from tests.unit.slack.fake_slack import LINKS

HOSTILE = "<!channel> & <https://evil.example|Open in Atlas>\n*Approved by* <@U0BOSS> \u202egnp"
APPROVERS = People(groups=frozenset({"S0APPROVE"}), users=frozenset({"U0ADA"}))
STRICT = Policy(
    approvals=2,
    approvers=APPROVERS | People(users=frozenset({RINA.id})),
    require_reason=True,
    confirm_by_typing=True,
)

#: A viewer who may read every reason.
VIEWER = lists.Viewer(ids=frozenset({"U0ADA"}), channel="U0ADA", approves=lambda _ref: True)


def request(**changes: Any) -> Request:
    fixed: dict[str, Any] = {
        "id": "0" * 32,
        "key": "V1",
        "ref": job_ref(),
        "card": Card(channel="C0OPS", ts="1700000000.000100"),
    }
    return a_request(**fixed | changes)


def waiting(**changes: Any) -> Request:
    given = (Approval(user="U0ADA", at=NOON),)
    values = {"state": State.AWAITING, "approvals_needed": 2, "approvals": given}
    return request(**values | changes)


def asked() -> DialogState:
    return DialogState(asked_in="C0OPS").about(job_ref())


DANA = Starter(kind=StarterKind.USER, name="dana@shop.example")
#: The link is expected three minutes after the start, which is noon.
JOB = Job(
    ref=job_ref(),
    first_seen_at=NOON,
    changed_at=NOON + timedelta(minutes=5),
    expected_at=NOON + timedelta(minutes=3),
    started_by=StartedBy(StarterStatus.KNOWN, DANA),
)


_LIVE = replace(JOB, live_since=JOB.expected_at, until=JOB.expected_at + timedelta(hours=1))
_OTHER_STARTERS = {
    "own_key": replace(DANA, kind=StarterKind.API_KEY, name="botkey", own_key=True),
    "probable": replace(DANA, certain=False, others=("eve@shop.example",)),
    "staff": Starter(kind=StarterKind.MONGODB_STAFF),
    "account": Starter(kind=StarterKind.SERVICE_ACCOUNT, name="mdb_sa_id_5b62"),
    "unnamed": Starter(kind=StarterKind.UNNAMED),
}
OTHER_JOBS = {
    "overdue": replace(JOB, phase=LinkPhase.OVERDUE),
    "live": replace(_LIVE, phase=LinkPhase.LIVE),
    "used": replace(_LIVE, phase=LinkPhase.USED),
}
FEED_REFUSED = replace(JOB, started_by=StartedBy(StarterStatus.NOT_KNOWN))
STARTERS = [
    *(StartedBy(StarterStatus.KNOWN, starter) for starter in _OTHER_STARTERS.values()),
    *(StartedBy(status) for status in [*StarterStatus][:-1]),  # without `KNOWN`
]


def sight(**changes: Any) -> JobDetails:
    job = a_job(**changes)
    return JobDetails(
        ref=job_ref(),
        project_name="shop-prod",
        job=job,
        open_request=None,
        known=JOB.observe(NOON, job),
    )


def post(event: EventName, about: Request, **changes: Any) -> RequestPost:
    fixed: dict[str, Any] = {
        "id": 1,
        "request": about,
        "kind": PostKind.REPLY,
        "event": event,
        "actor": None,
        "at": NOON,
        "client_msg_id": "11111111-1111-1111-1111-111111111111",
        "attempts": 1,
        "job": JOB,
    }
    return RequestPost(**fixed | changes)


card_message = partial(card_views.message, now=NOON)
announcement_message = partial(announcement_views.message, now=NOON)
question_message = partial(question.message, now=NOON)
HERE = Placement(channel="C0OPS")
OPEN = Policy()
SEARCH = DialogState(job_id=JOB_ID, asked_in="C0OPS")
_PROJECT = Project(id=PROJECT_ID, name="shop-prod", policies=Policies(STRICT), atlas=FakeAtlas())
PROJECTS = [_PROJECT, replace(_PROJECT, id="1" * 24, name="shop-dev")]
ELSEWHERE = Placement(channel=RINA.id, note="The bot cannot post here. " * 20)
LIVE: dict[str, Any] = {
    "deliveryUrl": ["https://example.test/x"],
    "expiresAt": "2026-11-25T13:03:00Z",
}
AUTOMATED: dict[str, Any] = {
    "deliveryType": "automated",
    "targetClusterName": "a",
    "targetGroupId": PROJECT_ID,
}
USED: dict[str, Any] = {"expiresAt": "2026-11-25T13:03:00Z"}
EXPIRED = {"expired": True, "expiresAt": "2026-11-25T11:59:00Z"}
OVER = {"cancelled": True, "finishedAt": "2026-11-25T12:02:00Z"}
SHARDED: dict[str, Any] = {"components": [{"replicaSetName": "a"}, {"replicaSetName": "b"}]}


def not_cancellable(**changes: Any) -> Content:
    details = sight(**changes)
    return job_details.not_cancellable(details, LINKS, job_details.why_not_cancellable(details.job))


def details(
    policy: Policy = OPEN,
    placement: Placement = HERE,
    *,
    may_act_alone: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """The dialog of a job that can be cancelled; `changes` are those of Atlas's job."""
    content = job_details.details(
        sight(**changes), policy, placement, LINKS, may_act_alone=may_act_alone, who=RINA.id
    )
    return dialog_views.view(asked(), content)


def with_pickers(content: Content, *, has_job: bool = True) -> dict[str, Any]:
    """The dialog with pickers in which a cluster is selected, and its job or not."""
    state = replace(asked(), has_pickers=True, job_id=JOB_ID if has_job else None)
    selects = [
        project_picker(PROJECTS, PROJECT_ID),
        cluster_picker(["prod-eu"], "prod-eu"),
        job_picker([(JOB, a_job())], NOON),
    ]
    return dialog_views.view(state, content, selects, PROJECTS[:1])


def views() -> dict[str, dict[str, Any]]:
    contents = {
        "loading": dialog_views.loading(asked()),
        "not_cancellable_type": not_cancellable(**AUTOMATED),
        "not_cancellable_over": not_cancellable(**OVER),
        "not_cancellable_expired": not_cancellable(**EXPIRED),
        "not_cancellable_new": not_cancellable(deliveryType="o" * 64),
        "not_cancellable_here": job_details.not_cancellable(sight(), LINKS, str(KeyMayNotCancel())),
        "taken": job_details.taken(waiting(), JOB, LINKS),
        "error": flow.failure(asked(), TimedOut(), LINKS, job_lines.link_line(JOB)),
        "elsewhere": dialog_views.elsewhere(
            replace(job_ref(), cluster_name="prod-us"), asked(), "shop-prod"
        ),
        "error_refused": flow.failure(
            asked(), RoleMissing(status=403, code="ACCESS_FORBIDDEN"), LINKS
        ),
        "refused": dialog_views.refused("You may not ask."),
        "posted_elsewhere": dialog_views.posted_elsewhere(request(channel="C0AUDIT")),
    }
    return {
        "details": details(),
        "details_live": details(**LIVE),
        "details_used": details(**USED),
        "details_strict": details(STRICT, ELSEWHERE, **SHARDED),
        "details_alone": details(STRICT, may_act_alone=True),
        "error_search": dialog_views.view(
            SEARCH, flow.failure(SEARCH, RightsNotChecked("Slack did not answer in time."), LINKS)
        ),
        "deny_reason": dialog_views.ask_reason(ids.DENY_DIALOG, "0" * 32),
        "internal_error": dialog_views.internal_error(details(), "1a2b3c4d")["view"],
        **{name: dialog_views.view(asked(), content) for name, content in contents.items()},
    }


#: The replies about what no person did.
_BY_THE_BOT = frozenset(
    {
        *(EventName.EXPIRED, EventName.CANCELLED, EventName.OVER, EventName.REFUSED),
        *(EventName.CHANGED, EventName.FAILED, EventName.AWAITING, EventName.QUARANTINED),
        *(EventName.LINK_LIVE, EventName.LINK_USED, EventName.CHECK_FAILED),
        *(EventName.NOTIFIED, EventName.REMINDED, EventName.ESCALATED, EventName.OBSERVED),
    }
)

#: The outcomes as people read them; a state that is not here has none.
OUTCOMES: dict[State, Outcome] = {
    State.CANCELLED: Outcome(sentence=runner.CONFIRMED),
    State.OVER: Outcome(sentence=ENDED.format(state=JobState.EXPIRED.sentence)),
    State.REFUSED: Outcome(sentence=RoleMissing.sentence, status=403, code="USER_UNAUTHORIZED"),
    State.CHANGED: Outcome(sentence=runner.ANOTHER_JOB),
    State.FAILED: Outcome(sentence=f"{runner.JOB_STILL_THERE} {Unavailable.sentence}", status=500),
    State.DENIED: Outcome(sentence="still needed", by="U0ADA"),
    State.KEPT: Outcome(sentence="it is ours", by="U0ADA"),
    State.WITHDRAWN: Outcome(by="U0RINA"),
}

#: The fields that each event adds, as the store writes them.
DETAILS: dict[EventName, dict[str, Any]] = {
    **{
        EventName.entering(state): asdict(OUTCOMES[state])
        for state in (State.DENIED, State.OVER, State.REFUSED, State.CHANGED, State.FAILED)
    },
    EventName.LINK_LIVE: {"live_since": JOB.expected_at.isoformat()},
    EventName.LINK_USED: {"live_since": JOB.expected_at.isoformat()},
    EventName.AWAITING: {"sentence": runner.APPROVALS_MISSING},
    EventName.CHECK_FAILED: {"sentence": runner.SLOW_SLACK, "try": 0},
    EventName.NOTIFIED: {"names": ["Ada", "Abe"]},
    EventName.APPROVAL_VOIDED: {"user": "U0ABE"},
    EventName.APPROVALS_RAISED: {"approvals_needed": 2},
    EventName.KEEP_VOIDED: {"user": "U0ADA"},
}


def past_of(request: Request, lead: Lead | None = None) -> PastRequest:
    return PastRequest(request, lead)


def ended(state: State) -> Request:
    outcome = OUTCOMES.get(state, Outcome())
    return request(state=state, outcome=outcome, approvals_needed=0)


def alone() -> Request:
    """A request that ran without approval, and was not reviewed."""
    return request(state=State.CANCELLED, acted_alone=True)


def reviewed() -> Request:
    return replace(alone(), reviewed_by="U0ADA", reviewed_at=NOON)


def messages() -> dict[str, dict[str, Any]]:
    built = {f"card_{state}": card_message(ended(state), EVERYONE, LINKS, JOB) for state in State}
    built |= quarantined()
    expired = replace(_LIVE, phase=LinkPhase.ENDED, state=JobState.EXPIRED)
    built["card_over"] = card_message(ended(State.OVER), EVERYONE, LINKS, expired)
    cancelled = replace(_LIVE, state=JobState.CANCELLED, phase=LinkPhase.ENDED)
    built["card_cancelled_live"] = card_message(
        replace(ended(State.CANCELLED), changed_at=NOON + timedelta(minutes=4)),
        EVERYONE,
        LINKS,
        cancelled,
    )
    unknown = replace(cancelled, live_since=None, until=None, link_unknown=True)
    built["card_cancelled_unknown"] = card_message(ended(State.CANCELLED), EVERYONE, LINKS, unknown)
    built["card_over_unknown"] = card_message(ended(State.OVER), EVERYONE, LINKS, unknown)
    for event, state in ((EventName.CANCELLED, State.CANCELLED), (EventName.OVER, State.OVER)):
        about = post(event, ended(state), job=unknown)
        built[f"{state}_reply_unknown"] = card_replies.message(about)
    gone = replace(ended(State.REFUSED), outcome=Outcome(sentence=JobGone.sentence, status=404))
    asked = DETAILS[EventName.CHECK_FAILED] | {"try": 2}
    built["reply_check_failed_later"] = card_replies.message(
        post(EventName.CHECK_FAILED, waiting(state=State.CANCELLING), detail=asked)
    )
    built["reply_notified_no_one"] = card_replies.message(
        post(EventName.NOTIFIED, waiting(), detail={"names": []})
    )
    built["card_gone"] = card_message(gone, EVERYONE, LINKS, JOB)
    built["reply_gone"] = card_replies.message(
        post(EventName.REFUSED, gone, detail={"sentence": JobGone.sentence, "status": 404}, job=JOB)
    )
    built["card_awaiting"] = card_message(waiting(), APPROVERS, LINKS, JOB)
    built["card_awaiting_right"] = card_message(
        waiting(
            approvals_needed=0,
            approvals=(),
            outcome=Outcome(sentence=f"{runner.NOTHING_DONE} {RequesterLostRight()}"),
        ),
        APPROVERS,
        LINKS,
        JOB,
    )
    here = f"{CannotPost.sentence} {SEEN_BY_APPROVERS}"
    built["card_moved"] = card_message(waiting(moved_because=here), APPROVERS, LINKS, JOB)
    built |= {
        f"card_awaiting_{name}": card_message(waiting(), APPROVERS, LINKS, known)
        for name, known in OTHER_JOBS.items()
    }
    built["card_nasty"] = card_message(
        waiting(reason=HOSTILE, project_name=HOSTILE, outcome=Outcome(sentence=HOSTILE)),
        None,
        LINKS,
        JOB,
    )
    built["card_alone"] = card_message(alone(), APPROVERS, LINKS, JOB)
    built["card_alone_reviewed"] = card_message(reviewed(), APPROVERS, LINKS, JOB)
    built["direct_alone"] = card_replies.direct_message(
        post(EventName.ACTED_ALONE, alone(), kind=PostKind.DIRECT, recipient="U0ADA"), LINKS
    )
    built["card_second_copy"] = card_views.second_copy(request(), LINKS)
    unseen = replace(expired, live_since=None)
    as_known = {EventName.LINK_LIVE: OTHER_JOBS["live"], EventName.OVER: unseen}
    for event in card_replies.TEMPLATES:
        actor, detail = None if event in _BY_THE_BOT else "U0ADA", DETAILS.get(event, {})
        # The requester, who may not approve, is not named.
        named = APPROVERS | People(users=frozenset({RINA.id}))
        late = named if event is EventName.ESCALATED else NO_ONE
        policy = Policy(approvers=named, escalate_to=late)
        state = next((s for s in State if EventName.entering(s) is event), State.AWAITING)
        built[f"reply_{event.split(':')[1]}"] = card_replies.message(
            post(
                event,
                waiting(state=state, outcome=OUTCOMES.get(state, Outcome())),
                actor=actor,
                detail=detail,
                job=as_known.get(event, JOB),
            ),
            policy,
        )
    return built | copies() | private() | announcements() | questions()


def copies() -> dict[str, dict[str, Any]]:
    """The first copy of a card, and the later ones."""
    card = card_message(waiting(), APPROVERS, LINKS, JOB)
    headings = card_views.COPY_HEADINGS
    return {
        f"copy_{name}": card_views.copy(card, waiting(), LINKS, heading)
        for name, heading in (
            ("first", None),
            ("reminder", headings[EventName.REMINDED]),
            ("escalated", headings[EventName.ESCALATED]),
            ("sent_directly", card_views.SENT_DIRECTLY),
        )
    }


def private() -> dict[str, dict[str, Any]]:
    """The private answers that are not about one job: the help, and refusals with a hint."""
    refusals: dict[str, CancellationError] = {
        "not_allowed": NotAnApprover(ask=APPROVERS),
        "not_allowed_one": NotAnApprover(ask=People(users=frozenset({"U0ADA"}))),
        "handled": AlreadyHandled(ended(State.DENIED), JOB),
        "disowned": DisownedBefore(ended(State.CANCELLED), JOB, asked="U0RINA"),
        "expired": RequestExpired(ended(State.EXPIRED), JOB),
        "requested": JobAlreadyRequested(waiting(), JOB),
        "reviewed": AlreadyReviewed(reviewed()),
        "other_channel": ChannelNotAllowed(channels=frozenset({"C0OPS"})),
        "transient": NotRecorded(),
    }
    texts = {
        "help": command.help_text(["shop-prod", "shop-dev"]),
        "help_invalid": command.invalid(InvalidCommand("That is no command.", "list")),
        "help_project": command.unknown_project("shop", ["shop-prod"]),
        "help_quarantine": command.right_verbs(in_quarantine()),
        "help_request": command.right_verbs(waiting()),
        "help_shortcut": command.no_job_in_message(),
        "starters": "\n".join(
            job_lines.started_line(job_ref(), replace(JOB, started_by=each)) for each in STARTERS
        ),
    }
    reply = blockkit.private(internal_error_text("1a2b3c4d"), (ids.APPROVE, "0" * 32))
    failed = {"internal_error_reply": reply}
    return (
        failed
        | {name: blockkit.private(text) for name, text in texts.items()}
        | {
            f"refusal_{name}": private_refusal(error, (ids.APPROVE, "0" * 32), LINKS)
            for name, error in refusals.items()
        }
    )


def in_quarantine() -> Request:
    """The bot's own request, whose grace time ends 90 s after noon."""
    values: dict[str, Any] = {"requester": "", "reason": "", "approvals_needed": 1}
    until = NOON + timedelta(seconds=90)
    return request(state=State.QUARANTINED, grace_ends_at=until, **values)


def quarantined() -> dict[str, dict[str, Any]]:
    """The cards and replies of the bot's own request."""

    def own(state: State, **changes: Any) -> Request:
        unexplained = an_ask(reason="")
        values: dict[str, Any] = {"requester": "", "ask": unexplained, "approvals_needed": 1}
        return replace(ended(state), **values | changes)

    until = NOON + timedelta(seconds=90)
    unseen = own(State.QUARANTINED, expires_at=until)
    built = {
        f"card_{state}": card_message(own(state, grace_ends_at=until), APPROVERS, LINKS, JOB)
        for state in (State.QUARANTINED, State.KEPT, State.OBSERVED)
    }
    built["card_kept_feed_refused"] = card_message(own(State.KEPT), APPROVERS, LINKS, FEED_REFUSED)
    built["own_reply_keep_voided"] = card_replies.message(
        post(
            EventName.KEEP_VOIDED,
            own(State.QUARANTINED, grace_ends_at=until),
            detail={"user": "U0ADA"},
        ),
        Policy(approvers=APPROVERS | People(users=frozenset({"U0ADA", "U0ABE"}))),
    )
    built["own_reply_keep_of_expected_voided"] = card_replies.message(
        post(EventName.KEEP_VOIDED, own(State.QUARANTINED, grace_ends_at=until), detail={}),
        Policy(approvers=APPROVERS),
    )
    probable = replace(JOB, started_by=STARTERS[1])
    for state in (State.QUARANTINED, State.CANCELLED):
        built[f"card_{state}_uncertain"] = card_message(
            own(state, grace_ends_at=until), APPROVERS, LINKS, probable
        )
    built["own_reply_approved_uncertain"] = card_replies.message(
        post(EventName.APPROVED, own(State.APPROVED), job=probable)
    )
    built["card_quarantined_unseen"] = card_message(unseen, APPROVERS, LINKS, JOB, Mode.OBSERVE)
    built["own_card_cancelled"] = card_message(own(State.CANCELLED), APPROVERS, LINKS, JOB)
    for event in (
        *(EventName.CANCELLED, EventName.APPROVED, EventName.KEPT, EventName.OBSERVED),
        EventName.FAILED,
    ):
        built[f"own_reply_{event.split(':')[1]}"] = card_replies.message(
            post(event, own(State(event.removeprefix("request:")))), Policy(approvers=APPROVERS)
        )
    because = f"{PROJECT_GONE} {SENT_BEFORE}"
    removed = own(State.OBSERVED, outcome=Outcome(sentence=because))
    built["own_card_removed"] = card_message(removed, None, LINKS, JOB, Mode.OFF)
    built["own_reply_removed"] = card_replies.message(
        post(EventName.OBSERVED, removed, detail={"sentence": because})
    )
    late = own(State.KEPT, sent=DeleteAttempts(count=8, unknown=True))
    built["own_card_kept_after_lost_answer"] = card_message(late, APPROVERS, LINKS, JOB)
    for event in (EventName.KEPT, EventName.JOB_ENDED):
        built[f"own_reply_{event.split(':')[1]}_after_lost_answer"] = card_replies.message(
            post(event, late, detail={"user": "U0ADA"}), Policy(approvers=APPROVERS)
        )
    stopped = own(State.QUARANTINED, grace_ends_at=until, voided=("U0ADA",))
    built["own_reply_quarantined"] = card_replies.message(
        post(EventName.QUARANTINED, stopped), Policy(approvers=APPROVERS)
    )
    failing = replace(OUTCOMES[State.FAILED], tries_again=True)
    tried = own(State.QUARANTINED, grace_ends_at=until, outcome=failing)
    built["card_quarantined_tried_again"] = card_message(tried, APPROVERS, LINKS, JOB)
    built["own_reply_quarantined_tried_again"] = card_replies.message(
        post(EventName.QUARANTINED, tried, detail=asdict(failing)), Policy(approvers=APPROVERS)
    )
    taken = {"sentence": TAKEN_OVER.format(request="f" * 32)}
    given_up = waiting(state=State.WITHDRAWN, outcome=Outcome(sentence=taken["sentence"]))
    built["card_taken_over"] = card_message(given_up, APPROVERS, LINKS, JOB)
    built["reply_taken_over"] = card_replies.message(
        post(EventName.WITHDRAWN, given_up, detail=taken, job=JOB), Policy(approvers=APPROVERS)
    )
    return built


def announcements() -> dict[str, dict[str, Any]]:
    """The announcements, by the state of the job."""
    built = {
        f"announcement_{state}": announcement_message(watched_job(state=state), "shop-prod", LINKS)
        for state in JobState
    }
    by_us = watched_job(state=JobState.CANCELLED, request=request(state=State.CANCELLED))
    failed = watched_job(state=JobState.FAILED, link_unknown=True)
    built["announcement_failed_unknown"] = announcement_message(failed, "shop-prod", LINKS)
    built["announcement_own"] = announcement_message(by_us, "shop-prod", LINKS)
    built["announcement_asked"] = announcement_message(
        watched_job(request=waiting()), "shop-prod", LINKS
    )
    built["announcement_read_only"] = announcement_message(
        watched_job(), "shop-prod", LINKS, str(ReadOnly())
    )
    for state in (JobState.IN_PROGRESS, JobState.FINISHED, JobState.FAILED, JobState.GONE):
        shown = replace(SHOWN, delivery_type="automated", target=f"{'f' * 24}/copy-eu")
        built[f"restore_{state}"] = announcement_views.restore_message(
            watched_job(state=state, shown=shown), "shop-prod", LINKS, "Call security: 7700."
        )
    return built


def questions() -> dict[str, dict[str, Any]]:
    """The question to the starter, what it shows later, and the alarm."""
    asked = watched_job(asked="U0RINA")
    policy = Policy(approvers=People(users=frozenset({"U0ADA"})), note="Call security: 7700.")
    disowned = replace(asked, answer=StarterAnswer.NOT_MINE)
    jobs = {
        "asked": asked,
        "mine": replace(asked, answer=StarterAnswer.MINE),
        "not_mine": disowned,
        "cancelled": replace(disowned, state=JobState.CANCELLED),
        "ended": replace(asked, state=JobState.EXPIRED),
        "uncertain": replace(asked, started_by=STARTERS[1]),
    }
    built = {
        f"question_{name}": question_message(job, "shop-prod", policy) for name, job in jobs.items()
    }
    built["question_announcement"] = announcement_message(disowned, "shop-prod", LINKS)
    return built | {"question_alarm": question.alarm(disowned, "shop-prod", policy)}


def watched_job(**changes: Any) -> Job:
    state = changes.get("state", JobState.IN_PROGRESS)
    job = OTHER_JOBS.get(state.removeprefix("link_"), JOB)
    values: dict[str, Any] = {"id": 1, "shown": SHOWN}
    return replace(job, **values | changes)


def announcement(**changes: Any) -> JobPost:
    """Return an announcement; a change of the job is passed as `job`."""
    fixed: dict[str, Any] = {
        "id": 1,
        "kind": PostKind.ANNOUNCEMENT,
        "client_msg_id": "5ac62bd7-7a1c-5f0e-9d55-3d1f6a0c4f10",
        "attempts": 1,
        "job": watched_job(),
    }
    return JobPost(**fixed | changes)


def enforced(_ref: JobRef) -> Policy:
    return Policy(quarantine=Mode.ENFORCE)


def finding() -> dict[str, dict[str, Any]]:
    """The picker dialog, the Home tab, the lists, and the search."""
    cluster = ClusterRef(project=PROJECTS[0], cluster="prod-eu")
    unseen = UnreadCluster(project="shop-dev", cluster="eu", reason="Atlas did not answer.")
    listing = Search(jobs=[CancellableJob(place=cluster, job=a_job(**LIVE))], unavailable=[unseen])
    watched = replace(PROJECTS[0], policies=Policies(Policy(read_only=True)))
    shown = CancellableJob(place=replace(cluster, project=watched), job=a_job())
    ref, empty = job_ref(), DialogState(asked_in="C0OPS", has_pickers=True)
    leads = ((48, False), (-20, False), (-12, True), (-1500, True))
    past = [
        past_of(in_quarantine()),
        past_of(ended(State.OVER)),
        past_of(request(state=State.DENIED, outcome=Outcome(sentence="no", by="U0ADA"))),
        past_of(alone()),
        past_of(replace(alone(), reviewed_by="U0ADA")),
        *(
            past_of(request(state=State.CANCELLED), Lead(timedelta(seconds=s), live))
            for s, live in leads
        ),
    ]
    names = {PROJECT_ID: "shop-prod"}
    nothing = Search(searched=[cluster], unavailable=[unseen])
    parts = home.RequestParts(VIEWER, LINKS, enforced, {ref: JOB, waiting().ref: JOB})
    return {
        "picker": with_pickers(job_details.details(sight(), Policy(), HERE, LINKS)),
        "picker_loading": dialog_views.view(empty, dialog_views.loading(empty)),
        "picker_failed": with_pickers(dialog_views.error(empty, "Atlas did not answer.")),
        "picker_error": dialog_views.view(
            empty, dialog_views.error(empty, "Slack did not answer in time.")
        ),
        "picker_note": with_pickers(
            dialog_views.note("1 download can be cancelled now."), has_job=False
        ),
        "home": home.home_view(
            home.job_blocks(listing, NOON, {}, above={ref}),
            [*parts.waiting([waiting()]), *parts.unreviewed([alone()])],
            lists.history_sections(past, names, LINKS),
            parts.quarantine([in_quarantine()]),
        ),
        "home_empty": home.home_view(
            home.LOADING,
            parts.waiting([]),
            lists.history_sections([], names, LINKS),
        ),
        "list": lists.job_list(listing, None, 0, {ref: JOB}),
        "list_read_only": lists.job_list(Search(jobs=[shown]), None, 0, {ref: JOB}),
        "list_empty": lists.job_list(Search(), "prod-eu", 0, {}),
        "history": lists.request_list(past, names, LINKS),
        "searching": dialog_views.view(SEARCH, dialog_views.loading(SEARCH)),
        "not_found": dialog_views.view(SEARCH, dialog_views.not_found(SEARCH, nothing)),
    }
