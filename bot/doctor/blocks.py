"""Shows Slack one of each message and dialog with the longest texts: does it take them?

`blocks.validate` posts nothing.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal, NamedTuple, cast

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import AtlasReader, JobRef, JobState, RestoreJob
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.events import EventName
from bot.cancellation.job import Job, LinkPhase, QuarantineDecision, StarterAnswer
from bot.cancellation.lifecycle import Approval, Ask, Card, JobFingerprint, Outcome, Request, State
from bot.cancellation.people import People
from bot.cancellation.policy import Policies, Policy
from bot.cancellation.posts import Lead, PostKind, RequestPost
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from bot.doctor.people import describe_failure
from bot.doctor.results import REPORT, CheckResult
from bot.services.job_search import CancellableJob, ClusterRef, Search, UnreadCluster
from bot.services.jobs import JobDetails
from bot.services.projects import Project
from bot.slack import announcement, blockkit, home, ids, lists, question
from bot.slack.card import replies
from bot.slack.card import views as card_views
from bot.slack.channels import Placement
from bot.slack.client import Links
from bot.slack.command import help_text
from bot.slack.dialog import job_details
from bot.slack.dialog import views as dialog_views
from bot.slack.dialog.state import DialogState, cluster_picker, job_picker, project_picker
from bot.slack.errors import RateLimited, SlackError, private_refusal
from bot.storage.history import PastRequest

#: Seconds for all samples, one after the other: Slack does not publish the method's rate limit.
TIMEOUT = 20.0
BLOCKS = CheckResult("slack_blocks", "messages, dialogs and Home tab", "Slack")
REFUSALS = frozenset({"invalid_blocks", "invalid_message", "invalid_view"})
NOT_KNOWN = "Slack does not know the method blocks.validate: they were not checked"
LATER = "Run doctor again in a few minutes; the bot works without this check."


class Sample(NamedTuple):
    name: str
    kind: Literal["message", "view"]  #: the argument of `blocks.validate`
    payload: dict[str, Any]


async def check_blocks(
    client: AsyncWebClient, samples: Sequence[Sample], seconds: float = TIMEOUT
) -> list[CheckResult]:
    """Return each refusal as a problem; a slow or limited Slack leaves a warning."""
    found: list[CheckResult] = []
    checked = 0
    try:
        async with asyncio.timeout(seconds):
            for sample in samples:
                found += await _refusals(client, sample)
                checked += 1
    except TimeoutError:
        why = f"Slack did not answer within {seconds:.0f} s"
    except SlackError as error:
        if error.code == "unknown_method":
            return [BLOCKS.unchecked(NOT_KNOWN)]
        is_limited = isinstance(error, RateLimited)
        why = "Slack limits the calls" if is_limited else describe_failure(error.code)
    else:
        return found or [BLOCKS.ok(f"Slack accepts one of each of {checked} kinds")]
    left = f"{len(samples) - checked} of {len(samples)}"
    return [*found, BLOCKS.warning(f"{left} not checked: {why}", LATER)]


async def _refusals(client: AsyncWebClient, sample: Sample) -> list[CheckResult]:
    view, message = (sample.payload, None) if sample.kind == "view" else (None, sample.payload)
    try:
        await client.blocks_validate(view=view, message=message)
    except SlackError as error:
        if error.code not in REFUSALS or not isinstance(error.__cause__, SlackApiError):
            raise
        why = "; ".join(_reasons(error.__cause__.response.data))
        return [replace(BLOCKS, subject=sample.name).problem(f"Slack refuses it: {why}", REPORT)]
    return []


def _reasons(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong, with the JSON pointer to it; Slack does not document every shape."""
    for each in answer.get("errors") or [{}]:
        if isinstance(each, Mapping):
            yield f"{each.get('message') or answer['error']} at {each.get('pointer') or '/'}"
        else:
            yield str(each)


WHEN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
USER, CHANNEL, TEAM = "U" * 11, "C" * 11, "T" * 11
#: The longest texts that Atlas and Slack allow; escaping makes these longer still.
NAME = "&" * 64
REASON = "<&>" * 1000
REF = JobRef(project_id="a" * 24, cluster_name="x" * 64, job_id="b" * 24)
PEOPLE = People(users=frozenset(f"U{number:010}" for number in range(500)))
POLICY = Policy(
    approvals=5, approvers=PEOPLE, require_reason=True, confirm_by_typing=True, note="&" * 200
)
JOB = RestoreJob.model_validate(
    {
        "id": REF.job_id,
        "deliveryType": "download",
        "snapshotId": "c" * 24,
        "timestamp": WHEN.isoformat(),
        "deliveryUrl": ["https://atlas.example/x"],
        "expiresAt": (WHEN + HOUR).isoformat(),
        "components": [{"replicaSetName": "a"}, {"replicaSetName": "b"}],
    }
)
STARTER = Starter(kind=StarterKind.API_KEY, name="<&>" * 85, certain=False, others=("&" * 255,) * 9)
KNOWN = Job(
    ref=REF,
    first_seen_at=WHEN,
    changed_at=WHEN,
    expected_at=WHEN,
    state=JobState.LINK_LIVE,
    live_since=WHEN,
    until=WHEN + HOUR,
    phase=LinkPhase.LIVE,
    started_by=StartedBy(StarterStatus.KNOWN, STARTER),
    shown=JobFingerprint.of(JOB),
    quarantine=QuarantineDecision.BEYOND_LIMIT,
)
RESTORE = replace(JobFingerprint.of(JOB), target=f"{'a' * 24}/{'x' * 64}")
ASKED = replace(KNOWN, started_by=StartedBy(StarterStatus.KNOWN, replace(STARTER, certain=True)))
DISOWNED = replace(KNOWN, asked=USER, answer=StarterAnswer.NOT_MINE)
ASK = Ask(ref=REF, shown=JobFingerprint.of(JOB), asked_in=CHANNEL, reason=REASON)
REQUEST = Request(
    id="d" * 32,
    key="V",
    state=State.AWAITING,
    ask=ASK,
    project_name=NAME,
    team=TEAM,
    requester=USER,
    channel=CHANNEL,
    approvals_needed=5,
    created_at=WHEN,
    changed_at=WHEN,
    expires_at=WHEN + HOUR,
    approvals=tuple(Approval(user=f"U{number:010}", at=WHEN) for number in range(4)),
    voided=tuple(PEOPLE.users),
    outcome=Outcome(sentence=REASON, status=503, code="X" * 100, by=USER),
    card=Card(channel=CHANNEL, ts="1700000000.000100"),
    moved_because=REASON,
    acted_alone=True,
)
QUARANTINED = replace(REQUEST, state=State.QUARANTINED, requester="", ask=replace(ASK, reason=""))
PAST = [PastRequest(REQUEST, Lead(HOUR, was_live=True))] * 20
VIEWER = lists.Viewer(ids=frozenset({USER}), channel=CHANNEL)
ABOUT = DialogState(asked_in=CHANNEL).about(REF)
DETAILS = JobDetails(ref=REF, project_name=NAME, job=JOB, open_request=None, known=KNOWN)


def _project(number: int) -> Project:
    atlas = cast("AtlasReader", None)  # views read nothing
    return Project(id=f"{number:024}", name=NAME, policies=Policies(POLICY), atlas=atlas)


PROJECTS = [_project(number) for number in range(250)]
PLACES = [ClusterRef(project=project, cluster=REF.cluster_name) for project in PROJECTS]
UNREAD = [
    UnreadCluster(project=f"{number}{NAME}", cluster=f"{number:064}", reason=REASON)
    for number in range(400)
]
FOUND = Search(
    jobs=[CancellableJob(place=place, job=JOB) for place in PLACES],
    unavailable=UNREAD,
    searched=PLACES,
)
KNOWN_JOBS = {found.ref: KNOWN for found in FOUND.jobs}


def samples(links: Links) -> Iterator[Sample]:
    """Yield one of each kind."""
    for name, message in _messages(links):
        yield Sample(name, "message", {part: message[part] for part in ("text", "blocks")})
    for name, view in _views(links):
        yield Sample(name, "view", view)


def _messages(links: Links) -> Iterator[tuple[str, dict[str, Any]]]:
    card_of = partial(card_views.message, now=WHEN)
    card = card_of(REQUEST, PEOPLE, links, KNOWN)
    heading = card_views.COPY_HEADINGS[EventName.ESCALATED]
    failed = replace(REQUEST, state=State.FAILED)
    yield "card of a request", card
    yield "copy of a card", card_views.copy(card, REQUEST, links, heading)
    yield "card in quarantine", card_of(QUARANTINED, PEOPLE, links, KNOWN)
    yield "card of a failed request", card_of(failed, PEOPLE, links, KNOWN)
    yield "reply in a thread", replies.message(_post(EventName.CHECK_FAILED), POLICY)
    over = replace(_post(EventName.DOWNLOAD_DISOWNED), request=failed, job=DISOWNED)
    yield "alarm in a thread", replies.message(over, POLICY)
    again = (ids.COMMAND, "x" * blockkit.VALUE)
    private = private_refusal(RightsNotChecked(REASON), again)
    yield "private reply", private
    yield "direct message", replies.direct_message(_post(EventName.ACTED_ALONE), links)
    yield "announcement", announcement.message(KNOWN, NAME, links, now=WHEN)
    restore = announcement.restore_message(replace(KNOWN, shown=RESTORE), NAME, links, "&" * 200)
    yield "announcement of a restore", restore
    yield "question to a starter", question.message(ASKED, NAME, POLICY, now=WHEN)
    yield "answered question to a starter", question.message(DISOWNED, NAME, POLICY, now=WHEN)
    yield "list of jobs", lists.job_list(FOUND, REF.cluster_name, 20, KNOWN_JOBS)
    yield "list of requests", lists.request_list(PAST, {REF.project_id: NAME}, links)
    yield "help", blockkit.message(help_text([NAME] * 250), blockkit.TEXT)


def _post(event: EventName) -> RequestPost:
    request = replace(REQUEST, channel=USER, card=None)
    return RequestPost(
        id=1,
        kind=PostKind.REPLY,
        client_msg_id="",
        attempts=1,
        request=request,
        event=event,
        actor=USER,
        at=WHEN,
        job=KNOWN,
        detail={"sentence": REASON, "status": 503, "code": "X" * 100},
    )


def _views(links: Links) -> Iterator[tuple[str, dict[str, Any]]]:
    place = Placement(channel=CHANNEL, note="y" * 900)
    details = job_details.details(DETAILS, POLICY, place, links, may_act_alone=True)
    why = "y" * blockkit.ALERT
    selects = [
        project_picker(PROJECTS, PROJECTS[0].id),
        cluster_picker([f"{number:064}" for number in range(250)]),
        job_picker(
            [(replace(KNOWN, ref=replace(REF, job_id=f"{n:024}")), JOB) for n in range(250)], WHEN
        ),
    ]
    with_pickers = replace(ABOUT, has_pickers=True)
    parts = home.RequestParts(VIEWER, links, lambda _ref: POLICY, {REF: KNOWN})
    waiting = [*parts.waiting([REQUEST] * 40), *parts.unreviewed([REQUEST] * 40)]
    urgent = parts.quarantine([QUARANTINED] * 40)
    past = lists.history_sections(PAST[: home.MAX_PAST], {}, links)
    yield "dialog of a job", dialog_views.view(ABOUT, details)
    yield "dialog with pickers", dialog_views.view(with_pickers, details, selects, PROJECTS)
    contents = {
        "a job that cannot be cancelled": job_details.not_cancellable(DETAILS, links, why),
        "an error": dialog_views.error(ABOUT, REASON, NAME),
        "a request": job_details.taken(REQUEST, KNOWN, links),
        "a search": dialog_views.not_found(ABOUT, FOUND),
    }
    for name, content in contents.items():
        yield f"dialog of {name}", dialog_views.view(ABOUT, content)
    yield "dialog of a denial", dialog_views.ask_reason(ids.DENY_DIALOG, REQUEST.id)
    jobs = home.job_blocks(FOUND, WHEN, KNOWN_JOBS)
    yield "Home tab", home.home_view(jobs, waiting, past, urgent)
