"""A whole cancellation, from the submit to the posted outcome, with Slack and Atlas 40 ms away."""

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
from tests.acceptance.environment import environment
from tests.support.process import BotProcess
from tests.tools.bench.proxy import far
from tests.tools.bench.report import Goal, Row, Table, in_turn, median, ratio, seconds_of, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from bot.sandbox.atlas import Call
    from bot.sandbox.slack.event_bus import ChangeEvent
    from tests.tools.bench.report import Scale

Json = dict[str, Any]

#: Seconds of the added round trip, to Slack and to Atlas.
FAR = 0.04

#: How much of the unavoidable time a cancellation may take.
LIMIT = 1.2

#: What Slack and Atlas see after the submit has left Slack, and which round trips to Slack and to
#: Atlas must have gone by until then: the submission's way to the bot and one post's way back are
#: half of one each. The card goes out beside the first GET, so nothing waits for it.
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

#: What a bare round trip asks for: the least that each stand-in answers.
BARE = {"Slack": "/api/api.test", "Atlas": "/"}

#: Seconds for one look-up or cancellation on a busy machine.
PATIENCE = 15.0

NOTES = (
    (
        "The bot is a process of its own, in Socket Mode, with SQLite; proxies add the round trip"
        " between it and the stand-ins of Slack and Atlas. Times are as those see them, from when"
        " Slack sends the submission."
    ),
    (
        "Unavoidable, each after the one before: the submission to the bot (½), GET, DELETE"
        " and GET at Atlas (3), the outcome to Slack (½). The card needs none of them."
    ),
)


@dataclass(slots=True, kw_only=True)
class House:
    """Both stand-ins, the bot far from them, and what was seen of the cancellation under way."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    bot: BotProcess
    bare: Mapping[str, Callable[[], Awaitable[None]]]
    seen: dict[str, float] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    async def bare_round_trips(self) -> dict[str, float]:
        """Return how long the least of an exchange takes on a warm connection, in seconds."""
        return {name: await seconds_of(each) for name, each in self.bare.items()}

    async def cancels(self) -> dict[str, float]:
        """Look a job up, submit, and return when each step was seen, in seconds after it."""
        number = next(self.numbers)
        channel = Channel(id=f"C0BENCH{number:04d}", name=f"bench-{number}")
        channel.members.update(MEMBERS)
        self.slack.workspace.add(channel)  # a channel of its own: the bot paces its posts in each
        cluster = self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
        job = self.atlas.world.add_job(cluster).id
        before = self.slack.state.view_of("rina")
        await self.slack.people.types("rina", channel.id, f"/cancel-restore {CLUSTER} {job}")
        view = await self.slack.until(lambda: self._dialog(before), PATIENCE)
        return await self._submits(view)

    def _dialog(self, before: Json | None) -> Json | None:
        view = self.slack.state.view_of("rina")
        is_new = view and (before is None or view["id"] != before["id"])
        return view if view and is_new and view.get("submit") else None

    async def _submits(self, view: Json | None) -> dict[str, float]:
        self.seen.clear()
        begun = time.perf_counter()
        await self.slack.people.submits("rina", view, {"reason": "started by mistake"})
        self.saw("ack at Slack")
        await self.slack.until(lambda: len(self.seen) == len(STEPS), PATIENCE)
        return {step: at - begun for step, at in self.seen.items()}

    def saw(self, step: str) -> None:
        self.seen.setdefault(step, time.perf_counter())

    def atlas_answered(self, call: Call) -> None:
        if call.method == "DELETE":
            self.saw("DELETE")
        elif "/restoreJobs/" in call.path:
            self.saw(READS["DELETE" in self.seen])

    def slack_changed(self, item: ChangeEvent) -> None:
        """Note the messages of the request; the last are those that say how it ended."""
        message = item.data.get("message") or {}
        state = ((message.get("metadata") or {}).get("event_payload") or {}).get("state")
        if item.kind == "message" and "thread_ts" not in message:
            self.saw("card at Slack")
        elif item.kind == "message" and state == "cancelled":
            self.saw(OUTCOME)
        elif item.kind == "message_changed" and state == "cancelled":
            self.saw("card edited")


async def measure(scale: Scale) -> list[Table]:
    async with AsyncExitStack() as stack:
        house = await _open(stack)
        variants: dict[str, Callable[[], Awaitable[Mapping[str, float]]]] = {
            "bot": house.cancels,
            "bare": house.bare_round_trips,
        }
        given = await in_turn(variants, scale.pick(6, 40), warm=2)
    rows = [_row(step, given["bot"], given["bare"]) for step in STEPS]
    share = rows[list(STEPS).index(OUTCOME)].cells[-1]
    assert isinstance(share, float)
    goal = Goal.at_most(f"≤ {LIMIT} × the unavoidable round trips", share, LIMIT)
    title = f"From the submit to the outcome, at {FAR * 1000:.0f} ms round trips"
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


async def _open(stack: AsyncExitStack) -> House:
    """Start all of it; the bot knows Slack and Atlas only by the far addresses."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cancel-restore-bench-"))
    atlas = await stack.enter_async_context(FakeAtlasServer())
    slack = await stack.enter_async_context(FakeSlackServer())
    to_atlas = await stack.enter_async_context(far(atlas.port, FAR))
    to_slack = await stack.enter_async_context(far(_port(slack.base_url), FAR))
    # The address of the socket, which Slack gives, is far away too.
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
    house = House(slack=slack, atlas=atlas, bot=bot, bare=bare)
    stack.callback(atlas.recorder.subscribe(house.atlas_answered))
    stack.callback(slack.world.events.subscribe(house.slack_changed))
    await bot.ready()
    return house


async def _exchange(stack: AsyncExitStack, port: int, path: str) -> Callable[[], Awaitable[None]]:
    """Connect, and return what sends one GET and reads its answer, with no HTTP client between."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)

    async def exchange() -> None:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))

    return exchange


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
