"""A run of one request: what Atlas answers, and the end, the DELETEs and the time that follow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from bot.atlas import (
    AtlasError,
    ClusterNotFound,
    JobNotFound,
    NotCancellable,
    Priority,
    RoleMissing,
)
from bot.atlas.errors import (
    NoConnection,
    NotFoundToCancel,
    OtherRefusal,
    RateLimited,
    TimedOut,
    Unavailable,
)
from bot.cancellation.change import RequestChange
from bot.cancellation.errors import NotActive
from bot.cancellation.events import EventName
from bot.cancellation.people import ActingPerson
from bot.cancellation.request import Attempts, State
from bot.cancellation.run import LONGEST_PAUSE, RUN_LIMIT
from bot.storage.download_store import Listing
from bot.storage.lease import Lease
from tests.support.core import CoreEnvironment
from tests.support.domain import GIL, LINK, OPERATOR, POLICY, PROJECT, REF, START, restore_job
from tests.support.fake_atlas import CANCELLED, DELETE, Answer

OTHER = {"snapshotId": "5b622f7087d9d6039fafe0ff"}
NOT_FOUND, DENIED = JobNotFound(status=404), RoleMissing(status=403, code="USER_UNAUTHORIZED")
LISTED, NO_JOB, NO_CLUSTER = "listed", "no job", "no cluster"
DOWN = Unavailable(status=503, code="UNEXPECTED_ERROR")
LOST = TimedOut(may_have_taken_effect=True)
BOTH = {"cancelled": True, "failed": True}
REJECTED = NotCancellable(status=400, code="CANNOT_CANCEL_AUTOMATED_RESTORE")


@dataclass(frozen=True)
class Play:
    """What Atlas answers, and how the run ends."""

    state: State
    deletes_sent: int
    gets: Sequence[Answer] = ()
    deletes: Sequence[int | AtlasError] = ()
    lost_delete_works: bool = True


PLAYS = {
    "it cancels": Play(State.CANCELLED, 1),
    "any 2xx is accepted": Play(State.CANCELLED, 1, deletes=[202]),
    "cancelled elsewhere": Play(State.OVER, 0, [CANCELLED]),
    "failed before": Play(State.OVER, 0, [{"failed": True}]),
    "expired before": Play(State.OVER, 0, [{"expired": True}]),
    "finished before": Play(State.OVER, 0, [{"finishedAt": START}]),
    "another job": Play(State.CHANGED, 0, [OTHER]),
    "GET: no connection, then it works": Play(State.CANCELLED, 1, [NoConnection(), DOWN]),
    "GET: one 404": Play(State.CANCELLED, 1, [NOT_FOUND]),
    "GET: lasting 404 of a job that is listed": Play(State.CANCELLED, 1, [NOT_FOUND] * 20),
    "GET: 404s after one that worked": Play(
        State.CANCELLED, 2, [{}, *[NOT_FOUND] * 5], [RateLimited(status=429)]
    ),
    "GET: refused for two minutes": Play(State.CANCELLED, 1, [DENIED] * 20),
    "GET: refused, and ended": Play(State.OVER, 0, [DENIED, {"expired": True}]),
    "DELETE: refused until the key is mended": Play(State.CANCELLED, 4, deletes=[DENIED] * 3),
    "DELETE: 409": Play(State.CANCELLED, 2, deletes=[OtherRefusal(status=409)]),
    "DELETE: rejected": Play(State.REFUSED, 1, deletes=[REJECTED]),
    "DELETE: rejected, and cancelled by somebody else": Play(
        State.OVER, 1, [{}, CANCELLED], [REJECTED]
    ),
    "DELETE: answer lost, and it failed too": Play(State.OVER, 1, [{}, BOTH], [LOST]),
    "DELETE: rejected, then the GET fails for a moment": Play(
        State.REFUSED, 1, [{}, DOWN, {}], [REJECTED]
    ),
    "DELETE: 429": Play(State.CANCELLED, 2, deletes=[RateLimited(status=429, retry_after=20)]),
    "DELETE: 404": Play(State.CANCELLED, 2, deletes=[NotFoundToCancel(status=404)]),
    "DELETE: no connection": Play(State.CANCELLED, 2, deletes=[NoConnection()]),
    "DELETE: answer lost, it worked": Play(State.CANCELLED, 1, deletes=[LOST]),
    "DELETE: answer lost, it did not work": Play(
        State.CANCELLED, 2, deletes=[LOST], lost_delete_works=False
    ),
    "DELETE: answer lost, the next ones rejected, and Atlas shows the first one late": Play(
        State.CANCELLED, 3, [{}, {}, {}, CANCELLED], [LOST, REJECTED, REJECTED]
    ),
    "DELETE: answer lost, then reads are refused for a while": Play(
        State.CANCELLED, 1, [{}, DENIED, *[NOT_FOUND] * 9], [LOST]
    ),
    "accepted, and shown late": Play(State.CANCELLED, 1, [{}, {}, {}, {}]),
    "accepted, and shown as another job meanwhile": Play(State.CANCELLED, 1, [{}, OTHER, OTHER]),
    "accepted, and it failed too": Play(
        State.CANCELLED, 1, [{}, {"cancelled": True, "failed": True}]
    ),
    "accepted, and it finished": Play(State.OVER, 1, [{}, {"finishedAt": START}]),
}


@pytest.mark.parametrize("name", PLAYS)
async def test_run_by_the_answers_of_atlas(name: str, env: CoreEnvironment) -> None:
    play = PLAYS[name]
    env.atlas.gets.extend(play.gets)
    env.atlas.deletes.extend(play.deletes)
    env.atlas.lost_delete_works = play.lost_delete_works

    ended = await env.run(await env.approved())

    assert (ended.state, env.atlas.delete_count) == (play.state, play.deletes_sent)
    assert ended.attempts.count == play.deletes_sent
    assert env.ends == [play.state]
    assert all(
        (before, after) == ("GET", "GET")
        for before, call, after in zip(
            env.atlas.calls, env.atlas.calls[1:], [*env.atlas.calls[2:], "GET"], strict=False
        )
        if call == "DELETE"
    )


@pytest.mark.parametrize(
    ("jobs", "error", "state"),
    [
        ([{"failed": True}], DOWN, State.OVER),
        ([CANCELLED], DOWN, State.CANCELLED),
    ],
)
async def test_run_ends_by_the_lists_where_its_job_cannot_be_read(
    jobs: list[dict[str, Any]], error: AtlasError, state: State, env: CoreEnvironment
) -> None:
    request = await env.runs.begin((await env.approved()).id)
    sent = await env.runs.record_sent(request)
    await env.runs.record_answer(sent, Attempts(count=1, accepted_at=START), {"status": 204})
    env.clock.advance(30)
    listed = [restore_job(**changes) for changes in jobs]
    listing = Listing(
        project_id=PROJECT, cluster=REF.cluster_name, jobs=listed, read_at=env.clock.now
    )
    await env.downloads.record_listing(listing, POLICY)
    env.atlas.gets.extend([error] * 9)

    ended = await env.run(request)

    assert (ended.state, env.atlas.calls) == (state, ["GET"])


async def test_warm_cancel_is_three_calls_and_each_delete_is_recorded_before_and_after(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()
    steps: list[str] = []
    env.atlas.on_call = steps.append
    env.on_event = lambda event: steps.append(event["event"])

    ended = await env.run(request)

    assert steps == [
        "request:cancelling",
        "GET",
        "atlas:cancel_sent",
        "DELETE",
        "atlas:cancel_answered",
        "GET",
        "request:cancelled",
    ]
    assert ended.attempts == Attempts(count=1, accepted_at=env.clock.now)
    assert set(env.atlas.priorities) == {Priority.CANCEL}
    assert (await env.replies())[-1] == "ended"


async def test_refusal_keeps_status_and_code_of_atlas(env: CoreEnvironment) -> None:
    env.atlas.deletes.append(REJECTED)

    outcome = (await env.run(await env.approved())).outcome

    assert (outcome.status, outcome.code) == (400, "CANNOT_CANCEL_AUTOMATED_RESTORE")
    assert outcome.error == REJECTED.fact


async def test_read_after_a_refused_delete_follows_at_once(env: CoreEnvironment) -> None:
    env.atlas.deletes.append(REJECTED)

    await env.run(await env.approved())

    assert env.atlas.calls == ["GET", "DELETE", "GET"]
    assert env.atlas.called_at[2] == env.atlas.called_at[1]


async def test_read_after_a_limited_delete_waits_as_atlas_says(env: CoreEnvironment) -> None:
    env.atlas.deletes.append(RateLimited(status=429, retry_after=20))

    await env.run(await env.approved())

    assert env.atlas.called_at[2] - env.atlas.called_at[1] == 20


async def test_first_read_after_a_fault_follows_at_once(env: CoreEnvironment) -> None:
    env.atlas.gets.append(DOWN)

    await env.run(await env.approved())

    assert env.atlas.called_at[:2] == [0, 0]


@pytest.mark.parametrize(("deletes", "error"), [([], None), ([LOST], "TimedOut")])
async def test_event_of_an_answer_names_the_error_where_there_was_one(
    deletes: list[AtlasError], error: str | None, env: CoreEnvironment
) -> None:
    env.atlas.deletes.extend(deletes)

    await env.run(await env.approved())

    lines = [line for _, line in await env.log.page(0, None, None)]
    (answer,) = [line for line in lines if line["event"] == "atlas:cancel_answered"]
    assert answer.get("error") == error


@pytest.mark.parametrize("pause", [10, 60])
async def test_fault_is_shown_after_ten_seconds_also_within_a_long_pause(
    pause: float, env: CoreEnvironment
) -> None:
    env.atlas.gets.append(RateLimited(status=429, retry_after=pause))

    await env.run(await env.approved())

    assert message_changes(env) == [timedelta(seconds=10), timedelta(seconds=pause)]
    assert env.atlas.called_at[1] == pause


async def test_read_back_polls_ever_more_slowly(env: CoreEnvironment) -> None:
    env.atlas.gets.extend([{}] * 9)

    await env.run(await env.approved())

    deleted_at = env.atlas.called_at[1]
    reads = [at - deleted_at for at in env.atlas.called_at[2:]]
    assert reads == [0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 23.75, 31.75]


@pytest.mark.parametrize(("seconds", "waited"), [(20, 20), (3600, 60)])
async def test_retry_after_is_honoured_up_to_a_minute(
    seconds: float, waited: float, env: CoreEnvironment
) -> None:
    env.atlas.gets.append(RateLimited(status=429, retry_after=seconds))

    await env.run(await env.approved())

    assert env.atlas.called_at[1] - env.atlas.called_at[0] == waited


# Faults that last.


def is_down(env: CoreEnvironment, minutes: float) -> None:
    """Let Atlas answer no GET for some minutes."""

    def fail(method: str) -> None:
        if method == "GET" and env.clock.now < START + timedelta(minutes=minutes):
            env.atlas.gets.append(TimedOut())

    env.atlas.on_call = fail


def message_changes(env: CoreEnvironment) -> list[timedelta]:
    """Return when the message changed after the start of the run; the last time is its end."""
    return [at - START for at in env.messages_changed_at if at > START]


async def test_lasting_fault_is_shown_after_two_reads_and_asks_people_once_after_ten_minutes(
    env: CoreEnvironment,
) -> None:
    is_down(env, minutes=15)

    ended = await env.run(await env.approved())

    assert ended.state is State.CANCELLED
    shown_at, asked_at, _ = message_changes(env)
    assert timedelta(seconds=10) <= shown_at <= timedelta(seconds=20)  # Slack has ten more
    assert timedelta(minutes=10) <= asked_at <= timedelta(minutes=10, seconds=30)
    assert (await env.replies()).count("trouble") == 1


async def test_people_are_asked_ten_minutes_after_the_start_of_the_run(
    env: CoreEnvironment,
) -> None:
    env.atlas.gets.extend([RateLimited(status=429, retry_after=60)] * 11)

    await env.run(await env.approved())

    assert message_changes(env)[1:] == [timedelta(minutes=10), timedelta(minutes=11)]


async def test_short_fault_is_not_shown(env: CoreEnvironment) -> None:
    env.atlas.gets.extend([DOWN] * 4)

    await env.run(await env.approved())

    assert len(message_changes(env)) == 1


@pytest.mark.parametrize("is_readable", [False, True])
async def test_run_fails_three_hours_after_its_start(
    env: CoreEnvironment, *, is_readable: bool
) -> None:
    request = await env.approved()
    env.atlas.on_call = lambda _method: env.atlas.gets.append({} if is_readable else DOWN)

    ended = await env.run(request)

    assert ended.state is State.FAILED
    assert bool(env.atlas.delete_count) is is_readable
    answer = (ended.outcome.status, ended.outcome.code)
    assert ended.outcome.error
    assert answer == ((None, None) if is_readable else (503, "UNEXPECTED_ERROR"))
    assert RUN_LIMIT <= env.clock.now - START <= RUN_LIMIT + timedelta(seconds=60)


@pytest.mark.parametrize("has_begun", [False, True])
async def test_run_that_was_down_for_longer_than_its_limit_still_cancels(
    env: CoreEnvironment, *, has_begun: bool
) -> None:
    request = await env.approved()
    if has_begun:
        await env.runs.begin(request.id)
    env.clock.advance(2 * RUN_LIMIT.total_seconds())

    ended = await env.run(request)

    assert (ended.state, env.atlas.calls) == (State.CANCELLED, ["GET", "DELETE", "GET"])


async def test_run_over_its_limit_fails_after_one_complete_try(env: CoreEnvironment) -> None:
    request = await env.approved()
    env.clock.advance(RUN_LIMIT.total_seconds())
    env.atlas.deletes.extend([DENIED] * 2)

    ended = await env.run(request)

    assert (ended.state, env.atlas.calls) == (State.FAILED, ["GET", "DELETE", "GET"])
    assert (ended.outcome.status, ended.outcome.error) == (403, DENIED.fact)


async def test_run_over_its_limit_reads_for_ten_seconds_before_it_fails(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()
    env.clock.advance(RUN_LIMIT.total_seconds())
    env.atlas.gets.extend([NoConnection()] * 6)

    ended = await env.run(request)

    assert (ended.state, env.atlas.delete_count) == (State.CANCELLED, 1)


@pytest.mark.parametrize("shown", [LISTED, NO_JOB, NO_CLUSTER])
async def test_run_is_over_after_404s_for_30_s_and_a_list_without_the_job(
    env: CoreEnvironment, shown: str
) -> None:
    request = await env.approved()
    env.atlas.on_call = lambda name: env.atlas.gets.append(NOT_FOUND) if name == "GET" else None
    if shown is not LISTED:
        del env.atlas.jobs_now[REF]
    if shown is NO_CLUSTER:
        env.atlas.faults[REF.cluster_name] = ClusterNotFound(status=404)
    else:
        env.atlas.empty_clusters = [REF.cluster_name]

    ended = await env.run(request)

    took = env.clock.now - START
    if shown is LISTED:
        assert (ended.state, took >= RUN_LIMIT) == (State.FAILED, True)
    else:
        assert ended.state is State.OVER
        assert timedelta(seconds=30) <= took <= timedelta(seconds=45)
        assert (await env.download()).ended == "gone"


async def test_run_tries_on_where_one_stale_list_lacks_its_job(env: CoreEnvironment) -> None:
    request = await env.approved()
    env.atlas.gets.extend([DOWN] * 9)
    env.clock.advance(30)
    stale = Listing(project_id=PROJECT, cluster=REF.cluster_name, jobs=[], read_at=env.clock.now)
    await env.downloads.record_listing(stale, POLICY)

    assert (await env.run(request)).state is State.CANCELLED


async def test_stop_while_the_record_of_a_delete_commits_sends_no_delete(
    env: CoreEnvironment,
) -> None:
    def stop(event: Mapping[str, Any]) -> None:
        if event["event"] == EventName.CANCEL_SENT:
            env.runner.is_stopping = True

    env.on_event = stop

    request = await env.run(await env.approved())

    assert (request.state, env.atlas.calls) == (State.CANCELLING, ["GET"])
    assert request.attempts.is_unknown


async def test_accepted_delete_without_effect_is_sent_again_after_a_minute(
    env: CoreEnvironment,
) -> None:
    """A proxy on the way may answer in Atlas's place."""
    request = await env.approved()
    went_on = iter([True, False])

    def answer(name: str) -> None:
        if name == DELETE and next(went_on):
            env.atlas.gets.extend([{}] * 13)  # for more than a minute

    env.atlas.on_call = answer

    ended = await env.run(request)

    calls = zip(env.atlas.calls, env.atlas.called_at, strict=True)
    first, second = [at for name, at in calls if name == DELETE]
    assert ended.state is State.CANCELLED
    assert 60 <= second - first <= 60 + LONGEST_PAUSE


# A process that dies or loses the lease.


class Killed(Exception):
    """The process is killed here."""


@pytest.mark.parametrize(("minutes", "calls_for_people"), [(5, 0), (11, 1)])
async def test_trouble_is_stored_and_people_are_asked_once_also_by_the_next_process(
    minutes: int, calls_for_people: int, env: CoreEnvironment
) -> None:
    is_down(env, minutes=20)
    request = await env.approved()
    first = env.atlas.on_call

    def kill(name: str) -> None:
        first(name)
        if env.clock.now > START + timedelta(minutes=minutes):
            raise Killed

    env.atlas.on_call = kill
    with pytest.raises(Killed):
        await env.run(request)
    assert (await env.requests.get(request.id)).trouble == "Atlas did not answer in time."
    assert (await env.replies()).count("trouble") == calls_for_people
    env.atlas.on_call = first
    env.build()
    await env.run(request)

    assert (await env.replies()).count("trouble") == 1


def after_record(env: CoreEnvironment, act: Callable[[], None]) -> None:
    """Let something happen after each commit of an attempt, before its DELETE is sent."""

    def call(event: Mapping[str, Any]) -> None:
        if event["event"] == EventName.CANCEL_SENT:
            act()

    env.on_event = call


async def run_until_killed(env: CoreEnvironment, kill_at: int) -> None:
    """Run a request, and kill the process at one of its steps; then run it in the next one."""
    steps = 0

    def step(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == kill_at:
            raise Killed

    request = await env.approved()
    env.atlas.on_call = env.atlas.on_cancelled = step
    env.on_event = step  # after each commit
    with pytest.raises(Killed):
        await env.run(request)
    env.atlas.calls.append("killed")
    env.build()
    await env.run(request)


@pytest.mark.parametrize("kill_at", range(1, 9))
async def test_next_process_continues_with_a_get_wherever_the_first_one_was_killed(
    kill_at: int, env: CoreEnvironment
) -> None:
    await run_until_killed(env, kill_at)

    (ended,) = await env.requests.of_download(REF.project_id, REF.job_id)
    assert ended.state is State.CANCELLED
    assert env.atlas.delete_count == 1
    after = env.atlas.calls[env.atlas.calls.index("killed") + 1 :]
    assert after[:1] in ([], ["GET"])
    assert (await env.log.verify()).broken is None


async def test_attempt_of_a_killed_process_that_sent_nothing_is_sent_by_the_next_one(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()

    def kill() -> None:
        raise Killed

    after_record(env, kill)
    with pytest.raises(Killed):
        await env.run(request)
    after_record(env, lambda: None)
    env.build()

    ended = await env.run(request)

    assert ended.state is State.CANCELLED
    assert ended.attempts.count == 2
    assert env.atlas.calls == ["GET", "GET", "DELETE", "GET"]


async def test_no_delete_where_the_lease_is_lost_between_record_and_send(
    env: CoreEnvironment,
) -> None:
    def lose() -> None:
        env.lease.number = None

    after_record(env, lose)

    request = await env.run(await env.approved())

    assert env.atlas.delete_count == 0
    assert [type(error) for error in env.errors] == [NotActive]
    assert (request.state, request.attempts.is_unknown) == (State.CANCELLING, True)


async def test_no_delete_by_a_process_whose_lease_another_one_has_taken(
    env: CoreEnvironment,
) -> None:
    request = await env.approved()
    number = env.lease.number
    await env.lease.release()
    successor = Lease(env.database, "process 2")
    assert await successor.take()
    env.lease.number = number  # as a process that was stopped meanwhile believes

    await env.run(request)

    assert env.atlas.calls == []
    assert [type(error) for error in env.errors] == [NotActive]


@pytest.mark.parametrize("slow", ["the record", "the check of rights"])
async def test_delete_waits_for_a_young_record_and_young_rights(
    slow: str, env: CoreEnvironment
) -> None:
    request = await env.approved()
    if slow == "the record":
        after_record(env, lambda: env.clock.advance(5.1))
    else:
        env.directory.seconds = 24.0
        after_record(env, lambda: env.clock.advance(1.1))

    def be_fast(_name: str) -> None:
        if env.atlas.calls:
            after_record(env, lambda: None)
            env.directory.seconds = 0.0

    env.atlas.on_call = be_fast
    ended = await env.run(request)

    assert (ended.state, ended.attempts.count) == (State.CANCELLED, 2)
    assert env.atlas.calls == ["GET", "GET", "DELETE", "GET"]


@pytest.mark.parametrize(("record", "rights"), [(5.0, 0.0), (1.0, 24.0)])
async def test_delete_is_sent_within_five_seconds_of_its_record_and_25_of_the_rights(
    record: float, rights: float, env: CoreEnvironment
) -> None:
    request = await env.approved()
    env.directory.seconds = rights
    after_record(env, lambda: env.clock.advance(record))

    ended = await env.run(request)

    assert (ended.state, ended.attempts.count) == (State.CANCELLED, 1)


@pytest.mark.parametrize(
    ("person", "is_stored", "seen"), [(OPERATOR, False, 1), (OPERATOR, True, 0), (GIL, False, 0)]
)
async def test_run_reports_a_download_that_the_command_line_has_stored_first(
    person: ActingPerson, is_stored: bool, seen: int, env: CoreEnvironment
) -> None:
    if is_stored:
        await env.list_new()
        env.clock.advance(1)
    request = await env.ask(person, alone=True)
    env.changes.clear()

    await env.run(request)

    assert [item.before for item in env.download_changes].count(None) == seen


# What the run stores of the download.


@pytest.mark.parametrize("shown", [LINK, {"expiresAt": LINK["expiresAt"]}])
async def test_link_that_one_read_shows_stays_known(
    shown: dict[str, Any], env: CoreEnvironment
) -> None:
    env.atlas.gets.extend([shown, {}])

    await env.run(await env.approved())

    download = await env.download()
    assert download.link_existed
    assert [item.shows_link for item in env.download_changes].count(True) == 1


async def test_end_of_a_download_is_reported_once_by_the_run_that_sees_it(
    env: CoreEnvironment,
) -> None:
    await env.run(await env.approved())

    env.clock.advance(1)
    cancelled = restore_job(cancelled=True)
    await env.downloads.record_job(REF, cancelled, env.clock.now, POLICY)

    assert [item.has_ended for item in env.download_changes].count(True) == 1


async def test_each_state_that_a_request_enters_is_reported_once(env: CoreEnvironment) -> None:
    await env.run(await env.approved())

    changes = [item for item in env.changes if isinstance(item, RequestChange)]
    assert [(item.before and item.before.state, item.after.state) for item in changes] == [
        (None, State.AWAITING),
        (State.AWAITING, State.APPROVED),
        (State.APPROVED, State.CANCELLING),
        (State.CANCELLING, State.CANCELLED),
    ]


async def test_read_of_a_run_counts_from_when_it_began(env: CoreEnvironment) -> None:
    request = await env.approved()
    env.clock.advance(10)
    env.atlas.gets.append(CANCELLED)
    began = env.clock.now
    env.atlas.on_call = lambda _name: env.clock.advance(5)

    await env.run(request)

    assert (await env.download()).read_at == began
