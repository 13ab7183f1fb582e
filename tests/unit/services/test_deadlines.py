"""What each second brings: requests that expire or wait, and downloads whose time has come."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from bot.atlas import Unavailable
from bot.cancellation.download import Download
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Request, State
from bot.cancellation.starter import Starters
from bot.services.deadlines import Deadlines, auto_cancel_result
from bot.services.projects import Projects
from tests.support.domain import ADA, AUTO_CANCEL, PROJECT, REF, START, request
from tests.unit.services.environment import Environment, new_environment, restore_event

EXEMPT = replace(AUTO_CANCEL, auto_cancel_exempt=frozenset({"nightly"}))
DELAY = 90.0


@pytest.fixture
async def env() -> AsyncIterator[Environment]:
    async with new_environment() as opened:
        yield opened


@dataclass
class Due:
    """The deadlines of an environment, with what they told the runner and the metrics."""

    env: Environment
    wakes: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def wake(self) -> None:
        self.wakes += 1

    def count(self, how: str) -> None:
        self.counts[how] += 1

    async def read_starters(self, download: Download) -> Starters | None:
        return await self.env.feed().read_starters(download)

    def deadlines(self, projects: Projects | None = None) -> Deadlines:
        return Deadlines(
            requests=self.env.requests,
            downloads=self.env.downloads,
            projects=projects or self.env.projects,
            start_run=self.wake,
            read_starters=self.read_starters,
            count_auto_cancel=self.count,
        )

    async def step(self, after: float = 0.0) -> None:
        self.env.clock.advance(after)
        await self.deadlines().step()

    async def requests(self) -> list[Request]:
        return list(await self.env.requests.of_download(REF.project_id, REF.job_id))


@pytest.fixture
def due(env: Environment) -> Due:
    return Due(env)


async def see_new_download(env: Environment) -> None:
    """Let the watch see a download that started after it, so that it gets a time."""
    env.policy = EXEMPT
    env.clock.now = START - timedelta(seconds=1)
    await env.downloads.start_watch(PROJECT)
    env.clock.now = START + timedelta(seconds=25)
    await env.see()


@pytest.mark.parametrize(
    ("seconds", "state"), [(1799, State.AWAITING), (1800, State.EXPIRED), (9999, State.EXPIRED)]
)
async def test_request_expires_at_its_time_and_not_before(
    env: Environment, due: Due, seconds: float, state: State
) -> None:
    asked = await env.ask()
    await due.step(after=seconds)

    assert (await env.requests.get(asked.id)).state is state


async def test_waiting_request_is_reminded_of_once_after_a_minute(
    env: Environment, due: Due
) -> None:
    await env.ask()
    counts = []
    for after in (59, 1, 60, 600):
        await due.step(after=after)
        kinds = [reply.kind for reply in await env.replies()]
        counts.append(kinds.count(ReplyKind.REMINDER))

    assert counts == [0, 1, 1, 1]


async def test_request_whose_download_ended_is_over_at_once(env: Environment, due: Due) -> None:
    asked = await env.ask()
    env.atlas.flags[REF] = {"failed": True}
    env.clock.advance(1)
    await env.see()
    await due.step()

    assert (await env.requests.get(asked.id)).state is State.OVER


async def test_download_that_nobody_lets_run_is_cancelled_at_its_time(
    env: Environment, due: Due
) -> None:
    await see_new_download(env)
    await due.step(after=DELAY - 1)
    before = await due.requests()
    await due.step(after=1)
    (made,) = await due.requests()
    await due.step(after=1)

    assert not before
    assert (made.state, made.requester, made.is_automatic) == (State.APPROVED, None, True)
    assert due.wakes == 1
    assert len(await due.requests()) == 1


async def test_waiting_request_is_approved_at_the_time_of_its_download(
    env: Environment, due: Due
) -> None:
    await see_new_download(env)
    asked = await env.ask()
    await due.step(after=DELAY)
    (request_then,) = await due.requests()

    assert (request_then.id, request_then.state) == (asked.id, State.APPROVED)
    assert request_then.is_automatic


async def test_download_that_was_let_run_is_not_cancelled(env: Environment, due: Due) -> None:
    await see_new_download(env)
    await env.requests.let_run(
        REF, None, ADA, env.policy, reason="restore test", feed_is_readable=True
    )
    await due.step(after=DELAY)

    assert await due.requests() == []
    assert due.wakes == 0


@pytest.mark.parametrize(
    ("starters", "is_readable", "is_let_run"),
    [
        (["nightly"], True, True),
        (["nightly"], False, False),
        (["nightly", "eve"], True, False),
        (["eve"], True, False),
        ([], True, False),
    ],
)
async def test_only_an_exempt_starter_that_is_certain_lets_the_download_run(
    env: Environment, due: Due, starters: list[str], is_readable: bool, is_let_run: bool
) -> None:
    await see_new_download(env)
    env.atlas.events = [restore_event(name) for name in starters]
    await env.feed().read()
    env.atlas.feed_error = None if is_readable else Unavailable(status=503)
    await due.step(after=DELAY)
    download = await env.download()

    assert (download.let_run is not None) is is_let_run
    assert bool(await due.requests()) is not is_let_run
    assert due.counts == ({"exempt": 1} if is_let_run else {})


async def test_exempt_starter_is_not_let_run_before_the_time(env: Environment, due: Due) -> None:
    await see_new_download(env)
    env.atlas.events = [restore_event("nightly")]
    await due.step(after=DELAY - 1)

    assert (await env.download()).let_run is None


async def test_open_request_of_a_project_that_is_read_only_now_is_withdrawn(
    env: Environment, due: Due
) -> None:
    asked = await env.ask()
    env.policy = replace(env.policy, read_only=True)
    await due.deadlines().end_read_only()
    after = await env.requests.get(asked.id)

    assert (after.state, after.outcome.by) == (State.WITHDRAWN, None)
    assert after.outcome.is_read_only


async def test_open_request_of_a_project_that_is_not_named_any_more_waits(
    env: Environment, due: Due
) -> None:
    asked = await env.ask()
    deadlines = due.deadlines(Projects([]))
    await deadlines.end_read_only()
    env.clock.advance(9999)
    await deadlines.step()

    assert (await env.requests.get(asked.id)).state is State.AWAITING


@pytest.mark.parametrize(
    ("state", "is_automatic", "how"),
    [
        (State.CANCELLED, True, "cancelled"),
        (State.FAILED, True, "failed"),
        (State.REFUSED, True, "failed"),
        (State.OVER, True, None),
        (State.CANCELLED, False, None),
    ],
)
def test_end_of_an_auto_cancel_is_counted_by_how_it_ended(
    state: State, is_automatic: bool, how: str | None
) -> None:
    assert auto_cancel_result(request(state, is_automatic=is_automatic)) == how
