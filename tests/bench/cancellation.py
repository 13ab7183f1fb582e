"""A whole cancellation, from the submit to the posted outcome, with Slack and Atlas 40 ms away."""

from __future__ import annotations

import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.sandbox.atlas import PROJECT_ID, AtlasStandIn
from bot.sandbox.slack import Channel, SlackStandIn
from tests.acceptance.house import environment
from tests.bench.proxy import far
from tests.bench.report import Goal, Row, Table, in_turn, median
from tests.process import BotProcess

if TYPE_CHECKING:
    from bot.sandbox.atlas import Call
    from bot.sandbox.slack.news import Item
    from tests.bench.report import Scale

Json = dict[str, Any]

#: Seconds of the added round trip, to Slack and to Atlas.
FAR = 0.04

#: How much of the unavoidable time a cancellation may take.
LIMIT = 1.15

#: What Slack and Atlas see after the submit has left Slack, and the round trips that must have
#: gone by until then: the submission's way to the bot and one post's way back are half of one each.
#: The card goes out beside the first GET, so nothing waits for it.
STEPS = {
    "ack at Slack": 1.0,
    "card at Slack": 1.0,
    "GET, compared with what was shown": 1.0,
    "DELETE": 2.0,
    "GET, which reads cancelled": 3.0,
    "outcome in the thread": 4.0,
    "card edited": 4.0,
}
OUTCOME = "outcome in the thread"
READS = ("GET, compared with what was shown", "GET, which reads cancelled")

CLUSTER = "prod-eu"
MEMBERS = ("U0RINA0001", "U0BOT00001")

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

    slack: SlackStandIn
    atlas: AtlasStandIn
    bot: BotProcess
    seen: dict[str, float] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

    async def cancels(self) -> dict[str, float]:
        """Look a job up, submit, and return when each step was seen, in seconds after it."""
        number = next(self.numbers)
        channel = Channel(id=f"C0BENCH{number:04d}", name=f"bench-{number}")
        channel.members.update(MEMBERS)
        self.slack.workspace.add(channel)  # a channel of its own: the bot paces its posts in each
        cluster = self.atlas.world.projects[PROJECT_ID].clusters[CLUSTER]
        job = self.atlas.world.add_job(cluster).id
        before = self.slack.view_of("rina")
        await self.slack.types("rina", channel.id, f"/cancel-restore {CLUSTER} {job}")
        view = await self.slack.until(lambda: self._dialog(before), PATIENCE)
        return await self._submits(view)

    def _dialog(self, before: Json | None) -> Json | None:
        view = self.slack.view_of("rina")
        is_new = view and (before is None or view["id"] != before["id"])
        return view if view and is_new and view.get("submit") else None

    async def _submits(self, view: Json | None) -> dict[str, float]:
        self.seen.clear()
        begun = time.perf_counter()
        await self.slack.submits("rina", view, {"reason": "started by mistake"})
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

    def slack_changed(self, item: Item) -> None:
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
        given = await in_turn({"bot": house.cancels}, scale.pick(6, 40), warm=2)
    rounds = given["bot"]
    milliseconds = {step: median([seen[step] for seen in rounds]) * 1000 for step in STEPS}
    least = {step: trips * FAR * 1000 for step, trips in STEPS.items()}
    rows = [
        Row(step, [STEPS[step], least[step], milliseconds[step], milliseconds[step] / least[step]])
        for step in STEPS
    ]
    share = milliseconds[OUTCOME] / least[OUTCOME]
    goal = Goal.at_most(f"≤ {LIMIT} × the unavoidable round trips", share, LIMIT)
    title = f"From the submit to the outcome, at {FAR * 1000:.0f} ms round trips"
    columns = ("round trips", "least ms", "ms", "× least")
    return [Table(title=title, columns=columns, rows=rows, goals=[goal], notes=NOTES)]


async def _open(stack: AsyncExitStack) -> House:
    """Start all of it; the bot knows Slack and Atlas only by the far addresses."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cancel-restore-bench-"))
    atlas = await stack.enter_async_context(AtlasStandIn())
    slack = await stack.enter_async_context(SlackStandIn())
    to_atlas = await stack.enter_async_context(far(atlas.port, FAR))
    to_slack = await stack.enter_async_context(far(_port(slack.base_url), FAR))
    # The address of the socket, which Slack gives, is far away too.
    slack.world.base_url = f"http://127.0.0.1:{to_slack}"
    environ = {
        **environment(slack, atlas, Path(folder)),
        "MONGODB_ATLAS_BASE_URL": f"http://127.0.0.1:{to_atlas}",
    }
    bot = stack.enter_context(BotProcess(environ))
    house = House(slack=slack, atlas=atlas, bot=bot)
    stack.callback(atlas.wire.subscribe(house.atlas_answered))
    stack.callback(slack.world.news.subscribe(house.slack_changed))
    await bot.ready()
    return house


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
