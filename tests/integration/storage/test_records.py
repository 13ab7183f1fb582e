"""What each decision leaves behind: its events, its replies, and what the message then shows."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.cancellation.decisions import AutoCancelStep, Judgement, LetRunResult, SubmitResult
from bot.cancellation.download import Ended, Fingerprint, LetRun
from bot.cancellation.errors import NothingChanged, RequestNotFound, TooEarly
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import Policy
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Ending, Request, State
from bot.cancellation.starter import Starters
from bot.storage.download_store import Listing
from tests.integration.storage.record import Record
from tests.support.core import core_environment
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
    TEAM,
    job_ref,
    person,
    restore_job,
)

TWO_APPROVALS = replace(POLICY, approvals=2)
NO_APPROVAL = replace(POLICY, approvals=0)
OTHER_PROJECT = "5b6212af90dc76637950a2c7"


@pytest.fixture
async def record() -> AsyncIterator[Record]:
    async with core_environment(AUTO_CANCEL) as env:
        yield Record(env)


async def test_each_approval_is_recorded_under_its_approver(record: Record) -> None:
    request = await record.submit(TWO_APPROVALS, asked_in="C0DEV")
    shown = await record.wanted_version()

    first = await record.env.requests.approve(request.id, ADA, TWO_APPROVALS)
    assert await record.wanted_version() > shown
    second = await record.env.requests.approve(request.id, ALAN, TWO_APPROVALS)

    assert (first.state, set(first.approved_by)) == (State.AWAITING, {"U0ADA"})
    assert (second.state, set(second.approved_by)) == (State.APPROVED, {"U0ADA", "U0ALAN"})
    assert second.asked_in == "C0DEV"
    assert await record.actors() == [
        ("request:created", "U0RINA"),
        ("request:approval_given", "U0ADA"),
        ("request:approved", "U0ALAN"),
    ]
    assert {(line["request"], line["team"]) for line in await record.lines()} == {
        (request.id, TEAM)
    }
    assert await record.replies() == [
        (ReplyKind.WAITS, "U0RINA", {}),
        (ReplyKind.APPROVAL, "U0ADA", {"given": 1, "needed": 2}),
        (ReplyKind.APPROVAL, "U0ALAN", {"given": 2, "needed": 2}),
    ]


async def test_approval_by_a_submit_is_recorded_with_its_reason(record: Record) -> None:
    await record.submit(TWO_APPROVALS)

    await record.submit(TWO_APPROVALS, ADA, key="V2", reason="not ours")
    await record.submit(TWO_APPROVALS, ALAN, key="V3", reason="nor mine")

    lines = [(line["event"], line["reason"]) for line in (await record.lines())[1:]]
    assert lines == [("request:approval_given", "not ours"), ("request:approved", "nor mine")]
    reasons = [detail["reason"] for _, _, detail in (await record.replies())[1:]]
    assert reasons == ["not ours", "nor mine"]


async def test_one_approval_is_enough_while_the_time_stands(record: Record) -> None:
    await record.env.list_new()
    request = await record.submit(TWO_APPROVALS)
    assert request.needed == 2

    approved = await record.env.requests.approve(request.id, ADA, AUTO_CANCEL)

    assert (approved.state, approved.needed, approved.missing) == (State.APPROVED, 1, 0)


async def test_request_that_needs_no_approval_is_approved_by_its_requester(record: Record) -> None:
    request = await record.submit(NO_APPROVAL)

    assert (request.state, request.team, request.alone) == (State.APPROVED, TEAM, None)
    assert await record.actors() == [
        ("request:created", "U0RINA"),
        ("request:approved", "U0RINA"),
    ]
    assert await record.replies() == []


async def test_box_without_approvals_to_skip_is_no_acting_alone(record: Record) -> None:
    request = await record.submit(NO_APPROVAL, GIL, alone=True)

    assert request.alone is None
    assert [name for name, _ in await record.actors()] == ["request:created", "request:approved"]


async def test_acting_alone_is_recorded_and_told_with_its_reason(record: Record) -> None:
    request = await record.submit(POLICY, GIL, alone=True, reason="wrong cluster")

    assert (request.state, request.alone) == (State.APPROVED, "U0GIL")
    assert await record.actors() == [
        ("request:created", "U0GIL"),
        ("request:acted_alone", "U0GIL"),
    ]
    alone = (ReplyKind.ACTED_ALONE, "U0GIL", {"reason": "wrong cluster"})
    assert await record.replies() == [alone]


async def test_acting_alone_on_a_waiting_request_is_recorded_and_told_with_its_reason(
    record: Record,
) -> None:
    await record.submit()

    request = await record.submit(POLICY, GIL, key="V2", alone=True, reason="too late else")

    assert (request.state, request.requester, request.alone) == (
        State.APPROVED,
        "U0RINA",
        "U0GIL",
    )
    assert (await record.actors())[1:] == [("request:acted_alone", "U0GIL")]
    assert (await record.lines())[1]["reason"] == "too late else"
    alone = (ReplyKind.ACTED_ALONE, "U0GIL", {"reason": "too late else"})
    assert (await record.replies())[1:] == [alone]


async def test_submit_that_needs_no_approval_starts_a_waiting_request_in_its_name(
    record: Record,
) -> None:
    await record.submit(TWO_APPROVALS)

    started = await record.submit(NO_APPROVAL, GIL, key="V2")

    assert (started.state, started.needed, started.missing) == (State.APPROVED, 0, 0)
    assert (await record.actors())[1:] == [("request:approved", "U0GIL")]
    told = (
        ReplyKind.APPROVAL,
        "U0GIL",
        {"given": 1, "needed": 1, "reason": "wrong cluster"},
    )
    assert (await record.replies())[-1] == told
    assert (await record.lines())[-1]["reason"] == "wrong cluster"


async def test_let_run_without_a_request_is_recorded_and_told(record: Record) -> None:
    await record.env.list_new()
    shown = await record.wanted_version()

    decision = await record.let_run(ADA)

    assert decision.result is LetRunResult.LET_RUN
    (line,) = await record.lines()
    values = [line[name] for name in ("event", "actor", "request", "job", "cluster", "reason")]
    assert values == ["download:let_run", "U0ADA", None, REF.job_id, "prod-eu", "a test"]
    assert line["project"] == REF.project_id
    assert (await record.env.download()).let_run == LetRun(by="U0ADA", at=START, reason="a test")
    assert await record.replies() == [(ReplyKind.LET_RUN, "U0ADA", {"reason": "a test"})]
    assert await record.wanted_version() > shown


@pytest.mark.parametrize(("who", "event"), [(ADA, "request:denied"), (RINA, "request:withdrawn")])
async def test_let_run_of_a_request_is_recorded_with_its_reason_and_told(
    who: ActingPerson, event: str, record: Record
) -> None:
    request = await record.submit()

    await record.let_run(who, request)

    line = (await record.lines())[-1]
    assert (line["event"], line["actor"], line["reason"]) == (event, who.id, "a test")
    ended = await record.env.requests.get(request.id)
    assert (ended.outcome.by, ended.outcome.reason) == (who.id, "a test")
    assert (await record.replies())[-1] == (ReplyKind.ENDED, who.id, {})


async def test_late_click_is_told_the_request_that_has_ended(record: Record) -> None:
    request = await record.submit()
    await record.let_run(ADA, request)

    with pytest.raises(NothingChanged) as caught:
        await record.let_run(ALAN, request)

    assert caught.value.request is not None
    assert (caught.value.request.id, caught.value.request.state) == (request.id, State.DENIED)


async def test_time_is_not_ended_before_the_feed_was_read_where_it_can_be(record: Record) -> None:
    await record.env.list_new()
    with_email = person("U0ADA", email="ada@example.com")

    with pytest.raises(TooEarly):
        await record.let_run(with_email, feed_is_readable=True)
    await record.let_run(with_email, feed_is_readable=False)

    assert (await record.env.download()).let_run is not None


async def test_auto_cancel_makes_a_request_of_the_bot_and_shows_it(record: Record) -> None:
    await record.env.list_new()
    shown = await record.wanted_version()
    record.wait(90)

    assert await record.auto_cancel() is AutoCancelStep.CREATE

    assert await record.actors() == [("request:created", None), ("request:approved", None)]
    assert {line["team"] for line in await record.lines()} == {None}
    assert await record.wanted_version() > shown


@pytest.mark.parametrize(("decided_by", "has_time"), [(None, True), (RINA, True), (ADA, False)])
async def test_new_download_that_is_stored_without_a_time_gets_it_when_it_is_listed(
    decided_by: ActingPerson | None, has_time: bool, record: Record
) -> None:
    """The command line stores it without one, or the bot before auto-cancel is switched on."""
    await record.env.downloads.start_watch(PROJECT, START)
    request = await record.submit(POLICY)
    if decided_by:  # Rina withdraws the request; Ada lets the download run
        await record.let_run(decided_by, request)
    shown = await record.wanted_version()
    listed_at = record.wait(10)
    await record.env.see()
    is_shown = await record.wanted_version() > shown
    record.wait(10)
    await record.env.see()

    time = (await record.env.download()).auto_cancel_at
    assert time == (listed_at + timedelta(seconds=90) if has_time else None)
    assert is_shown is has_time


async def test_auto_cancel_time_is_used_once_also_where_its_run_fails(record: Record) -> None:
    await record.env.list_new()
    used_at = record.wait(90)
    await record.auto_cancel()
    (request,) = await record.env.runs.running()
    running = await record.env.runs.begin(request.id)
    await record.env.runs.settle(running, Ending(State.FAILED), AUTO_CANCEL)

    assert await record.auto_cancel() is AutoCancelStep.WAIT

    assert (await record.env.download()).auto_cancelled_at == used_at
    assert await record.env.downloads.due_to_auto_cancel() == []


async def test_request_does_not_expire_before_its_time_or_once_it_is_approved(
    record: Record,
) -> None:
    request = await record.submit()
    record.wait(1799)
    await record.env.requests.expire(request.id, POLICY)
    assert (await record.env.requests.get(request.id)).state is State.AWAITING

    await record.env.requests.approve(request.id, ADA, POLICY)
    record.wait(1)
    await record.env.requests.expire(request.id, POLICY)

    assert (await record.env.requests.get(request.id)).state is State.APPROVED


async def test_request_does_not_end_with_a_download_that_goes_on_or_once_it_is_approved(
    record: Record,
) -> None:
    request = await record.submit()
    await record.env.requests.end_with_download(request.id, POLICY)
    assert (await record.env.requests.get(request.id)).state is State.AWAITING

    await record.env.requests.approve(request.id, ADA, POLICY)
    later = START + timedelta(seconds=5)
    await record.env.downloads.record_job(REF, restore_job(cancelled=True), later, POLICY)
    await record.env.requests.end_with_download(request.id, POLICY)

    assert (await record.env.requests.get(request.id)).state is State.APPROVED


@pytest.mark.parametrize(("is_gone", "state"), [(True, "over"), (False, "awaiting")])
async def test_waiting_request_ends_with_a_download_that_is_gone_and_by_no_stale_list(
    record: Record, *, is_gone: bool, state: str
) -> None:
    await record.env.list_new()
    request = await record.submit()
    later = START + timedelta(seconds=90)
    stale = Listing(project_id=PROJECT, cluster="prod-eu", jobs=[], read_at=later)
    await record.env.downloads.record_listing(stale, POLICY)
    if is_gone:
        await record.env.downloads.record_gone(REF, POLICY)

    for item in (await record.env.requests.due()).ended:
        await record.env.requests.end_with_download(item.id, POLICY)

    assert (await record.env.requests.get(request.id)).state == state


async def test_request_is_reminded_of_once(record: Record) -> None:
    request = await record.submit()

    for _ in range(2):
        await record.env.requests.remind(request.id, POLICY)

    assert await record.actors() == [("request:created", "U0RINA"), ("request:reminded", None)]


async def test_row_and_event_have_the_same_time_in_whole_milliseconds(record: Record) -> None:
    record.wait(0.999_998)

    request = await record.submit()

    (line,) = await record.lines()
    assert request == await record.env.requests.get(request.id)
    assert request.created_at == datetime.fromisoformat(line["at"])
    assert request.created_at == START + timedelta(milliseconds=999)


async def test_each_event_is_a_log_line_with_its_hash(record: Record) -> None:
    with capture_logs() as logs:
        await record.submit(POLICY, GIL, alone=True)

    logged = [(line["name"], line["hash"]) for line in logs if line["event"] == "audit"]
    assert len(logged) == 2
    assert logged == [(line["event"], line["hash"]) for line in await record.lines()]


async def test_change_of_a_message_that_slack_shows_dates_from_now(record: Record) -> None:
    await record.env.list_new()
    await record.env.outbox.message_shown(REF, await record.wanted_version(), "C0OPS", "1.0")
    changed_at = record.wait(10)

    await record.env.downloads.show_again()

    assert await record.env.outbox.oldest() == changed_at


async def test_id_of_a_request_is_128_random_bits(record: Record) -> None:
    ids = [
        (await record.submit(key=f"V{number}", ref=ref, job=restore_job(ref))).id
        for number, ref in enumerate([REF, job_ref(START, 2)])
    ]

    assert [len(bytes.fromhex(item)) for item in ids] == [16, 16]
    assert len({*ids}) == 2


async def test_single_approval_is_told_as_one_of_one(record: Record) -> None:
    request = await record.submit()

    await record.env.requests.approve(request.id, ADA, POLICY)

    told = (ReplyKind.APPROVAL, "U0ADA", {"given": 1, "needed": 1})
    assert (await record.replies())[-1] == told


async def test_request_about_an_announced_download_is_shown_on_its_message(record: Record) -> None:
    await record.env.list_new()
    shown = await record.wanted_version()

    await record.submit(NO_APPROVAL)

    assert await record.wanted_version() > shown


async def running(record: Record) -> Request:
    request = await record.submit()
    approved = await record.env.requests.approve(request.id, ADA, POLICY)
    return await record.env.runs.begin(approved.id)


async def test_each_attempt_and_its_answer_are_recorded(record: Record) -> None:
    request = await running(record)

    sent = await record.env.runs.record_sent(request)
    attempts = replace(sent.attempts, accepted_at=record.env.clock.now, is_unknown=False)
    answer = {"status": 204, "code": None}
    await record.env.runs.record_answer(sent, attempts, answer)

    assert (await record.env.requests.get(request.id)).attempts == attempts
    first, second = (await record.lines())[-2:]
    assert (first["event"], first["attempt"]) == ("atlas:cancel_sent", 1)
    assert [second[name] for name in ("event", "status", "code")] == [
        "atlas:cancel_answered",
        204,
        None,
    ]


async def test_request_that_waits_again_has_a_new_time_and_names_who_counts_no_more(
    record: Record,
) -> None:
    request = await running(record)
    record.wait(60)
    judgement = Judgement(voided=frozenset({"U0ADA"}), needed=2, missing=2)

    returned = await record.env.runs.await_again(request, judgement, POLICY)

    waiting = await record.env.requests.get(request.id)
    assert returned == waiting
    assert (waiting.state, waiting.needed, waiting.approvals) == (State.AWAITING, 2, ())
    assert waiting.expires_at == START + timedelta(seconds=60) + POLICY.approval_ttl
    assert waiting.run_started_at is None
    voided, again = (await record.lines())[-2:]
    assert (voided["event"], voided["user"]) == ("request:approval_voided", "U0ADA")
    assert again["event"] == "request:awaiting"
    told = (ReplyKind.WAITS_AGAIN, None, {"voided": ["U0ADA"]})
    assert (await record.replies())[-1] == told


async def test_acting_alone_does_not_outlast_the_right_to_it(record: Record) -> None:
    alone = await record.submit(POLICY, GIL, alone=True)
    request = await record.env.runs.begin(alone.id)

    waiting = await record.env.runs.await_again(request, Judgement(needed=1, missing=1), POLICY)

    assert (waiting.alone, waiting.missing) == (None, 1)


async def test_lasting_fault_is_stored_shown_and_told(record: Record) -> None:
    request = await running(record)
    shown = await record.wanted_version()

    await record.env.runs.record_trouble(request, "Atlas is down.", POLICY, is_long=True)

    assert (await record.env.requests.get(request.id)).trouble == "Atlas is down."
    assert await record.wanted_version() > shown
    told = (ReplyKind.TROUBLE, None, {"trouble": "Atlas is down."})
    assert (await record.replies())[-1] == told


async def test_end_of_a_run_is_shown(record: Record) -> None:
    request = await running(record)
    shown = await record.wanted_version()

    await record.env.runs.settle(request, Ending(State.FAILED), POLICY)

    assert await record.wanted_version() > shown


async def test_step_of_a_run_whose_request_has_moved_changes_nothing(record: Record) -> None:
    stale = await running(record)
    await record.env.runs.settle(stale, Ending(State.FAILED), POLICY)
    recorded = await record.lines()

    with pytest.raises(NothingChanged):
        await record.env.runs.record_sent(stale)
    with pytest.raises(NothingChanged):
        await record.env.runs.settle(stale, Ending(State.CANCELLED), POLICY)

    assert await record.lines() == recorded
    assert (await record.env.requests.get(stale.id)).state is State.FAILED


async def test_run_that_missed_a_delete_of_another_process_changes_nothing(record: Record) -> None:
    stale = await running(record)
    sent = await record.env.runs.record_sent(stale)

    with pytest.raises(NothingChanged):
        await record.env.runs.record_sent(stale)
    with pytest.raises(NothingChanged):
        await record.env.runs.settle(stale, Ending(State.REFUSED), POLICY)

    assert await record.env.requests.get(stale.id) == sent


async def test_transition_that_no_request_makes_is_an_error(record: Record) -> None:
    waiting = await record.submit()

    with pytest.raises(AssertionError, match="awaiting never becomes refused"):
        await record.env.runs.settle(waiting, Ending(State.REFUSED), POLICY)


async def test_requests_are_deleted_with_their_old_download_and_no_other(record: Record) -> None:
    old = await running(record)
    await record.env.runs.settle(old, Ending(State.FAILED), POLICY)
    record.wait(timedelta(days=91).total_seconds())
    later = job_ref(record.env.clock.now, 2)
    kept = await record.submit(key="V2", ref=later, job=restore_job(later))
    await record.env.requests.approve(kept.id, ADA, POLICY)

    assert await record.env.downloads.delete_old() == 1

    assert await record.env.requests.of_download(REF.project_id, REF.job_id) == []
    (found,) = await record.env.requests.of_download(later.project_id, later.job_id)
    assert (found.id, set(found.approved_by)) == (kept.id, {"U0ADA"})


async def test_submit_delivered_again_after_the_end_gives_the_same_request(record: Record) -> None:
    request = await record.submit()
    await record.let_run(ADA, request)

    again = await record.submitted()

    assert (again.result, again.request.id) == (SubmitResult.CREATED, request.id)
    assert again.request.state is State.DENIED


async def test_listed_download_belongs_to_the_cluster_that_its_own_links_name(
    record: Record,
) -> None:
    other = restore_job(cluster_name="prod-us")
    listing = Listing(project_id=PROJECT, cluster="prod-eu", jobs=[other], read_at=START)

    await record.env.downloads.record_listing(listing, POLICY)

    assert (await record.env.download()).ref.cluster_name == "prod-us"


async def test_message_goes_to_the_channel_of_the_policy_before_that_of_a_dialog(
    record: Record,
) -> None:
    await record.submit(channel="C0DEV")

    assert (await record.env.download()).channel == "C0OPS"


async def test_request_keeps_what_the_person_was_shown_also_where_another_is_stored(
    record: Record,
) -> None:
    await record.env.list_new()
    shown = restore_job(snapshotId="5b622f7087d9d6039fafe0ff")

    request = await record.submit(job=shown)

    assert request.shown == Fingerprint.of(shown)


@pytest.mark.parametrize(("seconds", "deleted"), [(0, 0), (1, 1)])
async def test_download_is_kept_for_ninety_days(seconds: int, deleted: int, record: Record) -> None:
    await record.env.list_new()
    record.wait(timedelta(days=90, seconds=seconds).total_seconds())

    assert await record.env.downloads.delete_old() == deleted


async def test_ended_download_whose_row_was_deleted_is_not_announced_again(record: Record) -> None:
    await record.env.list_new(REF, failed=True)
    record.wait(timedelta(days=90, seconds=1).total_seconds())
    assert await record.env.downloads.delete_old() == 1

    await record.env.see()

    assert await record.env.downloads.get(PROJECT, REF.job_id) is None


async def test_old_download_with_an_open_request_is_kept(record: Record) -> None:
    await record.submit()
    record.wait(timedelta(days=91).total_seconds())

    assert await record.env.downloads.delete_old() == 0


async def test_download_that_is_gone_is_shown_and_counted_once(record: Record) -> None:
    await record.env.list_new()
    shown = await record.wanted_version()

    for _ in range(2):
        await record.env.downloads.record_gone(REF, POLICY)

    assert (await record.env.download()).ended is Ended.GONE
    assert [item.has_ended for item in record.env.download_changes].count(True) == 1
    assert await record.wanted_version() == shown + 1


async def test_request_is_due_for_its_reminder_and_reminded_of_once(record: Record) -> None:
    request = await record.submit()
    record.wait(59)
    assert not (await record.env.requests.due()).to_remind
    record.wait(1)
    assert [item.id for item in (await record.env.requests.due()).to_remind] == [request.id]

    for _ in range(2):
        await record.env.requests.remind(request.id, POLICY)

    assert not (await record.env.requests.due()).to_remind
    assert [name for name, _ in await record.actors()].count("request:reminded") == 1


@pytest.mark.parametrize(
    ("read_after", "now", "project", "policy", "is_awaited"),
    [
        (59, 59, PROJECT, POLICY, True),
        (60, 60, PROJECT, POLICY, False),
        (None, 120, PROJECT, POLICY, True),
        (None, 121, PROJECT, POLICY, False),
        (None, 60, OTHER_PROJECT, POLICY, False),
        (None, 7200, PROJECT, AUTO_CANCEL, True),  # its time is not used yet
        (19, 7200, PROJECT, AUTO_CANCEL, True),
        (20, 7200, PROJECT, AUTO_CANCEL, False),
        (None, 7200, OTHER_PROJECT, AUTO_CANCEL, False),
    ],
)
async def test_starters_are_read_for_a_minute_or_two_and_while_let_it_run_waits_for_them(
    read_after: int | None,
    now: int,
    project: str,
    *,
    policy: Policy,
    is_awaited: bool,
    record: Record,
) -> None:
    record.env.policy = policy
    await record.env.list_new()
    if read_after is not None:
        starters = Starters(read_at=START + timedelta(seconds=read_after))
        await record.env.downloads.record_starters(PROJECT, {REF.job_id: starters})
    record.wait(now)

    found = await record.env.downloads.without_final_starters(project)

    assert [item.ref for item in found] == [REF] * is_awaited


@pytest.mark.parametrize(
    ("before", "after", "is_shown"),
    [
        ({}, {}, False),
        ({}, LINK, True),
        ({}, {"cancelled": True}, True),
        ({"failed": True}, {"failed": True, "cancelled": True}, True),
    ],
)
async def test_answer_is_shown_where_it_changes_the_link_or_the_end(
    before: dict[str, Any], after: dict[str, Any], is_shown: bool, record: Record
) -> None:
    await record.env.list_new(REF, **before)
    shown = await record.wanted_version()

    later = START + timedelta(seconds=5)
    await record.env.downloads.record_job(REF, restore_job(**after), later, POLICY)

    assert (await record.wanted_version() > shown) is is_shown


async def test_click_about_a_download_that_is_not_stored_any_more_finds_nothing(
    record: Record,
) -> None:
    with pytest.raises(RequestNotFound):
        await record.let_run(ADA)


@pytest.mark.parametrize(
    ("decision", "link", "told"),
    [
        (None, LINK, 1),
        (None, {}, 0),
        ("let run", LINK, 0),
        ("open", LINK, 0),  # its own end will be told
        ("expired", LINK, 2),
        ("denied", LINK, 1),
        ("withdrawn", LINK, 1),
    ],
)
async def test_end_after_a_live_link_is_told_unless_somebody_let_the_download_run(
    decision: str | None, link: dict[str, Any], told: int, record: Record
) -> None:
    await record.env.list_new(REF, **link)
    request = await record.submit() if decision not in {None, "let run"} else None
    if decision == "expired" and request:
        record.wait(1800)
        await record.env.requests.expire(request.id, POLICY)
    elif decision in {"let run", "denied", "withdrawn"}:
        await record.let_run(RINA if decision == "withdrawn" else ADA, request)

    later = record.wait(5)
    await record.env.downloads.record_job(REF, restore_job(failed=True), later, POLICY)

    kinds = [kind for kind, _, _ in await record.replies()]
    assert kinds.count(ReplyKind.ENDED) == told


async def test_message_stays_in_its_channel_after_the_settings_name_another_one(
    record: Record,
) -> None:
    await record.env.list_new()
    elsewhere = replace(POLICY, channel="C0NEW")

    await record.env.downloads.record_job(REF, restore_job(), record.wait(5), elsewhere)

    assert (await record.env.download()).channel == "C0OPS"


@pytest.mark.parametrize(
    ("watch_started", "is_stored", "seen", "new"),
    [(-60, False, 1, 1), (60, False, 1, 0), (None, False, 1, 0), (-60, True, 0, 0)],
)
async def test_submit_says_whether_it_stored_the_download_first_and_whether_that_is_new(
    watch_started: int | None, is_stored: bool, seen: int, new: int, record: Record
) -> None:
    if watch_started is not None:
        started_at = START + timedelta(seconds=watch_started)
        await record.env.downloads.start_watch(PROJECT, started_at)
    record.wait(60)
    if is_stored:
        await record.env.see()
    record.env.changes.clear()

    await record.submitted()

    changes = record.env.download_changes
    assert [item.before for item in changes].count(None) == seen
    assert [item.is_new for item in changes].count(True) == new


@pytest.mark.parametrize(
    ("seconds", "is_due"),
    [(89, False), (90, True), (-60, False), (-61, True)],  # the last ones: the clock was set back
)
async def test_download_is_due_at_its_auto_cancel_time_or_after_the_clock_was_set_back(
    seconds: int, is_due: bool, record: Record
) -> None:
    await record.env.list_new()
    record.wait(seconds)

    assert len(await record.env.downloads.due_to_auto_cancel()) == is_due


async def test_read_of_a_download_that_is_not_stored_any_more_changes_nothing(
    record: Record,
) -> None:
    await record.env.downloads.record_job(REF, restore_job(), START, POLICY)

    assert record.env.changes == []
    assert await record.env.downloads.get(PROJECT, REF.job_id) is None


async def test_live_link_that_nobody_has_decided_about_is_told_once(record: Record) -> None:
    await record.env.list_new()

    for _ in range(2):
        later = record.wait(5)
        await record.env.downloads.record_job(REF, restore_job(**LINK), later, POLICY)

        assert [kind for kind, _, _ in await record.replies()] == [ReplyKind.LINK_LIVE]


@pytest.mark.parametrize(
    ("job", "watch_started", "is_announced"),
    [
        ({}, 60, True),  # it goes on
        ({"failed": True}, -60, True),
        ({"failed": True}, 60, False),  # it ended before the watch began
        ({"deliveryType": "automated"}, -60, False),
    ],
)
async def test_listed_job_is_announced_where_it_is_a_download_that_goes_on_or_is_new(
    job: dict[str, Any], watch_started: int, is_announced: bool, record: Record
) -> None:
    await record.env.downloads.start_watch(PROJECT, START + timedelta(seconds=watch_started))
    record.wait(60)
    record.env.atlas.jobs_now[REF] = job

    await record.env.see()

    stored = await record.env.downloads.get(PROJECT, REF.job_id)
    assert (stored is not None) is is_announced
