"""A complete cancellation, from submit to posted outcome, with 40 ms to Slack and Atlas."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.sandbox.atlas import PROJECT_ID, FakeAtlasServer
from bot.sandbox.slack import Channel, FakeSlackServer
from tests.acceptance.environment import environment, state_of
from tests.support.process import BotProcess
from tests.tools.bench.proxy import with_round_trip
from tests.tools.reporting.report import Goal, Row, Table, in_turn, median, ratio, seconds_of, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bot.sandbox.atlas import Call
    from bot.sandbox.slack.event_bus import ChangeEvent
    from tests.tools.reporting.report import Scale

Json = dict[str, Any]

#: Seconds of the added round trip, to Slack and to Atlas.
ROUND_TRIP = 0.04

#: The longest that a cancellation may take, as a multiple of its unavoidable round trips.
LIMIT = 1.25

#: Calls to Slack and Atlas after the submit, and the round trips to Slack and to Atlas that
#: come before: the submission and the post count half a round trip each. The card is posted
#: during the first GET, so nothing waits for it.
STEPS = {
    "ack at Slack": (1, 0),
    "card at Slack": (1, 0),
    "GET, compared with what was shown": (0.5, 0.5),
    "DELETE": (0.5, 1.5),
    "GET, which reads cancelled": (0.5, 2.5),
    "outcome in the thread": (1, 3),
    "card edited": (1, 3),
}
OUTCOME = "outcome in the thread"
READS = ("GET, compared with what was shown", "GET, which reads cancelled")

CLUSTER = "prod-eu"
MEMBERS = ("U0RINA0001", "U0BOT00001")

#: The path of a bare round trip, with the shortest answer of each fake server.
BARE = {"Slack": "/api/api.test", "Atlas": "/"}

#: Seconds for which a person reads the dialog: a lookup of the person is older then, and cards
#: change less often than Slack allows.
READING = 2.0

#: Seconds for one dialog or cancellation on a busy machine.
STEP_TIMEOUT = 15.0

NOTES = (
    (
        "The bot is a separate process, in Socket Mode, with SQLite; proxies add the round-trip"
        " time to the fake Slack and Atlas. Times are taken there, from the submission on."
    ),
    (
        "Unavoidable, in sequence: the submission to the bot (½), GET, DELETE and GET at Atlas (3),"
        " the outcome to Slack (½). The card is posted, and Slack is asked about the requester, in"
        " parallel."
    ),
)


@dataclass(slots=True, kw_only=True)
class CancellationEnvironment:
    """Both fake servers, the bot behind proxies, and the times of the current cancellation."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    bot: BotProcess
    bare: Mapping[str, Callable[[], Awaitable[None]]]
    times: dict[str, float] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    async def bare_round_trips(self) -> dict[str, float]:
        """Return the seconds of a bare round trip on a warm connection, by service."""
        return {name: await seconds_of(each) for name, each in self.bare.items()}

    async def cancel_job(self) -> dict[str, float]:
        """Open a dialog, submit, and return the seconds from the submit to each step."""
        number = next(self.numbers)
        channel = Channel(id=f"C0BENCH{number:04d}", name=f"bench-{number}")
        channel.members.update(MEMBERS)
        self.slack.workspace.add(
            channel
        )  # a new channel, because the bot limits its posts per channel
        cluster = self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
        job = self.atlas.world.add_job(cluster).id
        before = self.slack.state.view_of("rina")
        await self.slack.people.types("rina", channel.id, f"/cancel-restore {CLUSTER} {job}")
        view = await self.slack.until(lambda: self._dialog(before), STEP_TIMEOUT)
        await asyncio.sleep(READING)
        return await self._submit(view)

    def _dialog(self, before: Json | None) -> Json | None:
        view = self.slack.state.view_of("rina")
        is_new = view and (before is None or view["id"] != before["id"])
        return view if view and is_new and view.get("submit") else None

    async def _submit(self, view: Json | None) -> dict[str, float]:
        self.times.clear()
        begun = time.perf_counter()
        await self.slack.people.submits("rina", view, {"reason": "started by mistake"})
        self.record_step("ack at Slack")
        await self.slack.until(lambda: len(self.times) == len(STEPS), STEP_TIMEOUT)
        return {step: at - begun for step, at in self.times.items()}

    def record_step(self, step: str) -> None:
        self.times.setdefault(step, time.perf_counter())

    def atlas_answered(self, call: Call) -> None:
        if call.method == "DELETE":
            self.record_step("DELETE")
        elif "/restoreJobs/" in call.path:
            self.record_step(READS["DELETE" in self.times])

    def slack_changed(self, item: ChangeEvent) -> None:
        """Record the steps that are messages of the request."""
        message = item.data.get("message") or {}
        state = state_of(message)
        if item.kind == "message" and "thread_ts" not in message:
            self.record_step("card at Slack")
        elif item.kind == "message" and state == "cancelled":
            self.record_step(OUTCOME)
        elif item.kind == "message_changed" and state == "cancelled":
            self.record_step("card edited")


async def measure(scale: Scale) -> list[Table]:
    async with AsyncExitStack() as stack:
        env = await _open(stack)
        variants: dict[str, Callable[[], Awaitable[Mapping[str, float]]]] = {
            "bot": env.cancel_job,
            "bare": env.bare_round_trips,
        }
        given = await in_turn(variants, scale.pick(6, 40), warm=2)
    rows = [_row(step, given["bot"], given["bare"]) for step in STEPS]
    share = rows[list(STEPS).index(OUTCOME)].cells[-1]
    assert isinstance(share, float)
    goal = Goal.at_most(f"≤ {LIMIT} × the unavoidable round trips", share, LIMIT)
    title = f"From the submit to the outcome, at {ROUND_TRIP * 1000:.0f} ms round trips"
    trips = {name: median([each[name] for each in given["bare"]]) * 1000 for name in BARE}
    measured = ", ".join(f"{shown(ms)} ms to {name}" for name, ms in trips.items())
    notes = [*NOTES, f"A bare round trip, measured in the same rounds: {measured}."]
    columns = ("round trips", "least ms", "ms", "× least")
    return [Table(title=title, columns=columns, rows=rows, goals=[goal], notes=notes)]


def _row(step: str, bot: Sequence[Mapping[str, float]], bare: Sequence[Mapping[str, float]]) -> Row:
    to_slack, to_atlas = STEPS[step]
    least = [to_slack * each["Slack"] + to_atlas * each["Atlas"] for each in bare]
    seen = [each[step] for each in bot]
    figures = [median(least) * 1000, median(seen) * 1000, ratio(seen, least)]
    return Row(step, [to_slack + to_atlas, *figures])


async def _open(stack: AsyncExitStack) -> CancellationEnvironment:
    """Start everything; the bot reaches Slack and Atlas through the proxies only."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cancel-restore-bench-"))
    atlas = await stack.enter_async_context(FakeAtlasServer())
    slack = await stack.enter_async_context(FakeSlackServer())
    to_atlas = await stack.enter_async_context(with_round_trip(atlas.port, ROUND_TRIP))
    to_slack = await stack.enter_async_context(with_round_trip(_port(slack.base_url), ROUND_TRIP))
    # Slack returns the address of the WebSocket, which goes through the proxy too.
    slack.world.base_url = f"http://127.0.0.1:{to_slack}"
    environ = {
        **environment(slack, atlas, Path(folder)),
        "MONGODB_ATLAS_BASE_URL": f"http://127.0.0.1:{to_atlas}",
    }
    bot = stack.enter_context(BotProcess(environ))
    bare = {
        "Slack": await _exchange(stack, to_slack, BARE["Slack"]),
        "Atlas": await _exchange(stack, to_atlas, BARE["Atlas"]),
    }
    env = CancellationEnvironment(slack=slack, atlas=atlas, bot=bot, bare=bare)
    stack.callback(atlas.recorder.subscribe(env.atlas_answered))
    stack.callback(slack.world.events.subscribe(env.slack_changed))
    await bot.ready()
    return env


async def _exchange(stack: AsyncExitStack, port: int, path: str) -> Callable[[], Awaitable[None]]:
    """Connect, and return a function that sends one GET over the raw connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)

    async def exchange() -> None:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))

    return exchange


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
