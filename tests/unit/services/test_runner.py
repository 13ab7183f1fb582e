"""A run: GET, DELETE, GET; and each way in which Atlas or the database can fail in between."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from bot.atlas import (
    JobNotFound,
    JobState,
    NoConnection,
    NotCancellable,
    RateLimited,
    TimedOut,
    Unavailable,
)
from bot.atlas.errors import ClusterNotFound, JobGone, ProjectNotFound, error_for
from bot.cancellation.errors import AlreadyHandled, NotRecorded, RightsNotChecked
from bot.cancellation.job import ENDED, READ_STEP
from bot.cancellation.lifecycle import DeleteAttempts, Request, State
from bot.cancellation.people import Kind
from bot.services.runner import (
    ACCEPTED_BUT_NOT_CANCELLED,
    ANOTHER_JOB,
    CANCELLED_AND_FAILED,
    CONFIRMED,
    ENDED_OTHERWISE,
    JOB_STILL_THERE,
    NOTHING_DONE,
    READ_BACKOFF,
    SENT_BUT_NOT_CANCELLED,
    SENT_BUT_UNREADABLE,
)
from bot.timings import Timings
from tests.support.clock import NOON
from tests.support.domain import a_job, a_request
from tests.support.polling import wait_until
from tests.unit.services.runner_environment import (
    ACCEPTED,
    CANCELLED,
    EXPIRED,
    THERE,
    UNKNOWN,
    Answer,
    FakeLeaseStore,
    ScriptedAtlas,
    run,
)

NO_CLUSTER = ClusterNotFound(status=404, code="CLUSTER_NOT_FOUND")
REJECTED = NotCancellable(status=400, code="CANNOT_CANCEL_AUTOMATED_RESTORE")
PREPARED = JobState.IN_PROGRESS.sentence
LOST = NoConnection(may_have_taken_effect=True)
LIMITED = RateLimited(status=429, retry_after=55.0)
MAINTENANCE = error_for(
    405, {}, {"errorCode": "WRITES_NOT_ALLOWED_DURING_APP_UPGRADES"}, "DELETE /job"
)


async def test_run_reads_deletes_and_reads_again_and_records_it() -> None:
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED])
    store = FakeLeaseStore(a_request(), written=atlas.calls)
    state, outcome = await run(atlas, store)

    assert (state, outcome.sentence) == (State.CANCELLED, CONFIRMED)
    assert atlas.calls == ["GET", "sent", "DELETE", "answered 204", "GET"]
    assert atlas.refs == [store.request.ref] * 3
    assert store.answers == [{"status": 204, "code": None}]


ANSWERS: dict[str, Answer] = {
    "there": THERE,
    "cancelled": CANCELLED,
    "expired": EXPIRED,
    "cancelled and failed": a_job(cancelled=True, failed=True),
    "another snapshot": a_job(snapshotId="f" * 24),
    "not found": JobNotFound(status=404, code="RESTORE_JOB_NOT_FOUND"),
    "no cluster": NO_CLUSTER,
    "no project": ProjectNotFound(status=404, code="GROUP_NOT_FOUND"),
    "404": error_for(404, {}, {"errorCode": "CLUSTER_NOT_FOUND"}, "DELETE /job"),
    "accepted": ACCEPTED,
    "rejected": REJECTED,
    "lost": LOST,
    "timed out": TimedOut(),
    "limited": LIMITED,
    "maintenance": MAINTENANCE,
    "503": Unavailable(status=503),
}
#: How often Atlas answers so before it is believed: it may list the job all the same.
NOT_FOUND = ", ".join(["GET not found"] * 5)
MISSED = ", ".join(["GET not found"] * 3)
GONE = {"status": 404, "code": "RESTORE_JOB_NOT_FOUND", "sentence": JobGone.sentence}
REJECTION = {"status": 400, "code": REJECTED.code, "sentence": str(REJECTED)}


@pytest.mark.parametrize(
    ("exchange", "settled", "expected"),
    [
        ("GET expired", State.OVER, {"sentence": ENDED.format(state=JobState.EXPIRED.sentence)}),
        (
            "GET cancelled and failed",
            State.OVER,
            {"sentence": ENDED.format(state="It reads cancelled and failed.")},
        ),
        ("GET another snapshot", State.CHANGED, {"sentence": ANOTHER_JOB}),
        (NOT_FOUND, State.REFUSED, GONE),
        (f"GET there, DELETE 404, {NOT_FOUND}", State.REFUSED, GONE),
        ("GET there, DELETE 404, GET there, DELETE accepted, GET cancelled", State.CANCELLED, {}),
        (
            "GET no cluster, GET no project, GET there, DELETE accepted, GET cancelled",
            State.CANCELLED,
            {},
        ),
        (
            f"GET there, DELETE accepted, {NOT_FOUND}",
            State.FAILED,
            {"sentence": f"{SENT_BUT_UNREADABLE} {JobGone.sentence}"},
        ),
        (
            f"{MISSED}, GET there, DELETE lost, GET not found, GET not found, GET cancelled",
            State.CANCELLED,
            {},
        ),
        ("GET there, DELETE accepted, GET there, GET there, GET cancelled", State.CANCELLED, {}),
        ("GET there, DELETE lost, GET another snapshot, GET cancelled", State.CANCELLED, {}),
        (
            "GET there, DELETE accepted, GET cancelled and failed",
            State.OVER,
            {"sentence": CANCELLED_AND_FAILED},
        ),
        ("GET there, DELETE rejected, GET there", State.REFUSED, REJECTION),
        ("GET there, DELETE rejected, GET 503", State.REFUSED, REJECTION),
        ("GET there, DELETE rejected, GET cancelled", State.OVER, {}),
        ("GET there, DELETE lost, GET cancelled", State.CANCELLED, {}),
        ("GET there, DELETE lost, GET there, DELETE accepted, GET cancelled", State.CANCELLED, {}),
        (
            "GET there, DELETE lost, GET expired",
            State.OVER,
            {"sentence": ENDED_OTHERWISE.format(state=JobState.EXPIRED.sentence)},
        ),
        ("GET there, DELETE limited, GET there", State.FAILED, {"status": 429}),
        (
            "GET there, DELETE maintenance, GET there",
            State.FAILED,
            {"status": 405, "sentence": f"{JOB_STILL_THERE} {MAINTENANCE}"},
        ),
        ("GET there, DELETE maintenance, GET cancelled", State.OVER, {}),
        ("GET timed out", State.FAILED, {"sentence": f"{NOTHING_DONE} {TimedOut()}"}),
    ],
)
async def test_each_atlas_script_gives_the_expected_calls_and_state(
    exchange: str, settled: State, expected: Mapping[str, object]
) -> None:
    steps = [step.split(" ", 1) for step in exchange.split(", ")]
    reads, deletes = (
        [ANSWERS[answer] for call, answer in steps if call == method]
        for method in ("GET", "DELETE")
    )
    atlas = ScriptedAtlas(reads, deletes)
    state, outcome = await run(atlas)

    assert (state, atlas.calls) == (settled, [call for call, _ in steps])
    assert {name: getattr(outcome, name) for name in expected} == expected


@pytest.mark.parametrize(("requester", "state"), [("", State.FAILED), ("U0RINA", State.REFUSED)])
@pytest.mark.parametrize(
    ("answer", "sentence"), [("not found", JobGone.sentence), ("no cluster", str(NO_CLUSTER))]
)
async def test_job_that_is_not_found_for_two_seconds_ends_only_the_bots_own_request_as_failed(
    requester: str, state: State, answer: str, sentence: str
) -> None:
    """The request of a quarantine can be tried again: Atlas may list the download still."""
    atlas = ScriptedAtlas(reads=[ANSWERS[answer]])
    found, outcome = await run(atlas, FakeLeaseStore(a_request(requester=requester)))

    assert (found, outcome.sentence) == (state, sentence)
    assert 1.5 < sum(atlas.clock.sleeps) < 3


async def test_first_404_after_the_timeout_is_believed() -> None:
    atlas = ScriptedAtlas(reads=[ANSWERS["not found"]], seconds=6.0)
    start = atlas.clock.monotonic()
    state, _ = await run(atlas)

    assert state is State.REFUSED
    assert atlas.clock.monotonic() - start <= Timings.run_timeout + atlas.seconds


async def test_accepted_delete_without_effect_fails_within_the_timeout() -> None:
    atlas = ScriptedAtlas(reads=[THERE], seconds=0.3)
    start = atlas.clock.monotonic()
    state, outcome = await run(atlas)

    assert state is State.FAILED
    assert outcome.sentence == ACCEPTED_BUT_NOT_CANCELLED.format(state=PREPARED)
    assert atlas.calls.count("DELETE") == 1
    # The last wait ends at the deadline, and one read follows.
    assert atlas.clock.monotonic() - start == pytest.approx(Timings.run_timeout + atlas.seconds)


@pytest.mark.parametrize(("answer", "status"), [("503", 503), ("404", 404)])
async def test_lasting_fault_of_the_delete_fails_within_the_timeout(
    answer: str, status: int
) -> None:
    atlas = ScriptedAtlas(reads=[THERE], deletes=[ANSWERS[answer]])
    start = atlas.clock.monotonic()
    state, outcome = await run(atlas)

    assert (state, outcome.status) == (State.FAILED, status)
    assert "still there" in outcome.sentence
    assert atlas.clock.monotonic() - start < Timings.run_timeout + Timings.final_read_timeout


@pytest.mark.parametrize("seconds", [4.0, 12.0])
async def test_short_rate_limit_is_waited_out(seconds: float) -> None:
    limited = RateLimited(status=429, retry_after=seconds)
    atlas = ScriptedAtlas(reads=[THERE, THERE, CANCELLED], deletes=[limited, ACCEPTED])

    assert (await run(atlas))[0] is State.CANCELLED
    assert seconds in atlas.clock.sleeps


async def test_fault_after_a_delete_is_reported_as_sent() -> None:
    atlas = ScriptedAtlas(reads=[THERE, TimedOut()])
    state, outcome = await run(atlas)

    assert state is State.FAILED
    assert outcome.sentence.startswith("The cancellation was sent")
    assert atlas.timeouts[-1] is not None
    assert atlas.timeouts[-1] >= Timings.final_read_timeout


@pytest.mark.parametrize("fault", [NotRecorded(), AlreadyHandled(a_request())])
async def test_unrecorded_attempt_sends_no_delete(fault: Exception) -> None:
    atlas = ScriptedAtlas(reads=[THERE])
    store = FakeLeaseStore(faults={"sent": fault})
    with pytest.raises(type(fault)):
        await run(atlas, store)

    assert atlas.calls == ["GET"]
    assert store.settled is None


@pytest.mark.parametrize("read_back", [CANCELLED, TimedOut()])
async def test_unrecorded_answer_settles_nothing(read_back: Answer) -> None:
    store = FakeLeaseStore(faults={"answer": AlreadyHandled(a_request())})
    with pytest.raises(AlreadyHandled):
        await run(ScriptedAtlas(reads=[THERE, read_back]), store)

    assert store.settled is None


@pytest.mark.parametrize("read_back", [CANCELLED, TimedOut()])
async def test_answer_is_recorded_while_the_job_is_read_again_and_before_the_outcome(
    read_back: Answer,
) -> None:
    atlas = ScriptedAtlas(reads=[THERE, read_back])

    class SlowStore(FakeLeaseStore):
        async def record_delete_answer(
            self,
            request: Request,
            sent: DeleteAttempts,
            answer: Mapping[str, object],
            read_at: datetime,
        ) -> Request:
            await wait_until(lambda: atlas.calls[-1] == "GET")
            assert self.settled is None
            return await super().record_delete_answer(request, sent, answer, read_at)

    store = SlowStore(written=atlas.calls)
    await run(atlas, store)

    assert atlas.calls == ["GET", "sent", "DELETE", "GET", "answered 204"]


async def test_reads_after_the_delete_follow_the_backoff_and_are_recorded_after_it() -> None:
    atlas = ScriptedAtlas(reads=[THERE] * 7 + [CANCELLED])
    store = FakeLeaseStore(written=atlas.calls)
    store.now = atlas.clock
    await run(atlas, store)

    assert atlas.calls[:3] == ["GET", "sent", "DELETE"]
    assert store.read_at[0] == NOON
    gaps = [after - before for before, after in pairwise(store.read_at)]
    assert max(gaps) <= READ_STEP + timedelta(seconds=READ_BACKOFF[-1])
    assert atlas.clock.sleeps == [*READ_BACKOFF, READ_BACKOFF[-1]]
    assert atlas.timeouts[0] == pytest.approx(Timings.run_timeout)


async def test_first_read_after_an_accepted_delete_is_immediate_also_after_failed_ones() -> None:
    failed = Unavailable(status=503)
    atlas = ScriptedAtlas(reads=[*[THERE] * 4, CANCELLED], deletes=[failed, failed, ACCEPTED])
    await run(atlas)

    assert atlas.clock.sleeps == [*READ_BACKOFF[:2], *READ_BACKOFF[:2]]


@pytest.mark.parametrize("last", [THERE, LIMITED])
@pytest.mark.parametrize("seconds", [Timings.run_timeout, 55.0])
async def test_rate_limit_until_the_deadline_ends_the_run_without_waiting(
    seconds: float, last: Answer
) -> None:
    limited = RateLimited(status=429, retry_after=seconds)
    atlas = ScriptedAtlas(reads=[THERE, last], deletes=[limited], seconds=0.0)
    state, _ = await run(atlas)

    assert (state, atlas.calls) == (State.FAILED, ["GET", "DELETE", "GET"])
    assert atlas.clock.sleeps == [0.0]


async def test_answer_of_a_failed_delete_is_recorded_with_its_error() -> None:
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED], deletes=[Unavailable(status=503)])
    store = FakeLeaseStore()
    await run(atlas, store)

    assert store.answers == [{"status": 503, "code": None, "error": "Unavailable"}]


async def test_rejected_delete_keeps_an_earlier_attempt_unknown() -> None:
    """The earlier DELETE, whose answer was lost, may have cancelled the job."""
    atlas = ScriptedAtlas(reads=[THERE, CANCELLED], deletes=[REJECTED])
    state, _ = await run(atlas, FakeLeaseStore(a_request(sent=UNKNOWN)))
    assert state is State.CANCELLED

    atlas = ScriptedAtlas(reads=[THERE, TimedOut()], deletes=[REJECTED])
    state, outcome = await run(atlas, FakeLeaseStore(a_request(sent=UNKNOWN)))
    assert state is State.FAILED
    assert outcome.sentence.startswith(SENT_BUT_UNREADABLE)


async def test_taken_over_run_past_its_deadline_fails_without_a_second_delete() -> None:
    atlas = ScriptedAtlas(reads=[THERE], seconds=Timings.run_timeout + 1)
    state, outcome = await run(atlas, FakeLeaseStore(a_request(sent=UNKNOWN)))

    assert (state, atlas.calls) == (State.FAILED, ["GET"])
    assert outcome.sentence == SENT_BUT_NOT_CANCELLED.format(state=PREPARED)


async def test_link_that_only_earlier_reads_show_is_recorded_once() -> None:
    live = a_job(deliveryUrl=["https://x.invalid/y"])
    timed = live.model_copy(update={"expires_at": NOON})
    after = FakeLeaseStore()
    await run(ScriptedAtlas(reads=[THERE, live, live, timed, CANCELLED]), after)
    while_slack_is_away = FakeLeaseStore()
    away = RightsNotChecked("Slack does not answer.")
    atlas = ScriptedAtlas(reads=[live, live, timed, timed, CANCELLED])
    await run(atlas, while_slack_is_away, away, away, away, Kind.MEMBER)

    assert (after.reads, while_slack_is_away.reads) == ([live, timed], [live, timed])
    assert after.job == CANCELLED
    assert while_slack_is_away.written[:3] == ["read", "read", "sent"]
