"""People who ask, approve, deny and withdraw as Slack lets them, and try again as people do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.sandbox.slack import CannotDo
from tests.tools.campaign.town import APPROVERS, CHANNELS, CLUSTER

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.slack import FakeSlackServer
    from tests.tools.campaign.town import Board

Json = dict[str, Any]

APPROVE, DENY = "cancel_restore_approve", "cancel_restore_deny"
WITHDRAW, RETRY = "cancel_restore_withdraw", "cancel_restore_retry"

#: Seconds that somebody waits for a dialog before typing the command again.
DIALOG = 8.0

#: Seconds for which somebody tries; after that they would look in Atlas.
PATIENCE = 240.0


@dataclass(frozen=True, slots=True)
class Plot:
    """What people have in mind with a job, and how it may end.

    `weight`: how often, beside the others.
    """

    project: str
    ends: frozenset[str]
    weight: int


CANCELLED = frozenset({"cancelled"})

PLOTS: Mapping[str, Plot] = {
    "asked": Plot("free", CANCELLED, 40),
    "asked by two": Plot("free", CANCELLED, 4),
    "approved": Plot("pair", CANCELLED, 14),
    "approved by two": Plot("trio", CANCELLED, 12),
    "denied": Plot("pair", frozenset({"denied"}), 7),
    "withdrawn": Plot("trio", frozenset({"withdrawn"}), 6),
    "nobody approves": Plot("brief", frozenset({"expired"}), 5),
    "one approval of two": Plot("brief", frozenset({"expired"}), 4),
    "everybody at once": Plot("pair", frozenset({"cancelled", "denied", "withdrawn"}), 5),
    "cancelled elsewhere": Plot("pair", frozenset({"over"}), 3),
}


@dataclass(slots=True)
class Story:
    """One job, and what people did about it.

    Attributes:
        acknowledged: whether a submission was taken without a word against it: on our word.
        told_off: what the dialog said instead, the last time.
        yes: who clicked Approve, with the moment of the first click (wall clock).
        submitted_at: when a submission was sent first (wall clock).
        elsewhere: whether somebody cancelled the job in Atlas.
        seconds: from the first command to the acknowledged submission.
    """

    number: int
    plot: str
    job: RestoreJob
    channel: str
    acknowledged: bool = False
    told_off: str = ""
    yes: dict[str, float] = field(default_factory=dict)
    submitted_at: float | None = None
    elsewhere: bool = False
    seconds: float | None = None
    clicks: int = 0
    retried: int = 0

    @property
    def project(self) -> str:
        return PLOTS[self.plot].project

    @property
    def requester(self) -> str:
        return f"member-{2 * self.number}"

    @property
    def second(self) -> str:
        """Who else asks, where two do."""
        return f"member-{2 * self.number + 1}"


class People:
    """Plays stories in one Slack."""

    def __init__(self, slack: FakeSlackServer, board: Board, dice: random.Random) -> None:
        self._slack = slack
        self._board = board
        self._dice = dice
        self._plays: Mapping[str, Callable[[Story], Awaitable[None]]] = {
            "asked": self._no_more,
            "asked by two": self._no_more,
            "approved": self._approve,
            "approved by two": self._approve,
            "denied": self._deny,
            "withdrawn": self._withdraw,
            "nobody approves": self._no_more,
            "one approval of two": self._approve_once,
            "everybody at once": self._all_at_once,
            "cancelled elsewhere": self._cancel_elsewhere,
        }

    async def play(self, story: Story) -> None:
        """Play a story until people have no more to do; whatever fails, they try again."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._play(story)
        except TimeoutError:
            return

    async def _play(self, story: Story) -> None:
        askers = [story.requester]
        if story.plot == "asked by two":
            askers.append(story.second)
        await asyncio.gather(*(self._ask(story, who) for who in askers))
        await self._plays[story.plot](story)
        await self._see_to_the_end(story)

    async def _ask(self, story: Story, who: str) -> None:
        """Type the command and submit the dialog, again and again until it is taken."""
        began = time.monotonic()
        line = f"/cancel-restore {story.project} {CLUSTER} {story.job.id}"
        while not self._board.of(story.job.id):  # a card is as good as an acknowledgement
            before = self._screen(who)
            await self._slack.people.types(who, story.channel, line)
            if not await self._dialog(who, before):
                await self._rest()
                continue
            if await self._submit(story, who):
                story.seconds = time.monotonic() - began
                return

    def _screen(self, who: str) -> str | None:
        view = self._slack.state.view_of(who)
        return view["id"] if view else None

    async def _dialog(self, who: str, before: str | None) -> bool:
        """Wait for a new dialog with a submit button."""

        def shown() -> bool:
            view = self._slack.state.view_of(who)
            return bool(view and view.get("submit") and view["id"] != before)

        try:
            await self._slack.until(shown, DIALOG)
        except TimeoutError:
            return False
        return True

    async def _submit(self, story: Story, who: str) -> bool:
        """Click the button until the dialog closes; False when it says that there is no use."""
        for _ in range(12):
            story.submitted_at = story.submitted_at or time.time()
            try:
                ack = await self._slack.people.submits(who, None, {"reason": "started by mistake"})
            except CannotDo:
                return False  # the dialog has no button any more, or is gone
            body = ack.body if isinstance(ack.body, dict) else {}
            action = body.get("response_action", "clear")
            if ack.ok and action == "clear":
                story.acknowledged = True
                return True
            if ack.ok and action == "update":
                story.told_off = self._slack.state.text_of(body["view"])
                return False
            await self._rest()
        return False

    async def _no_more(self, story: Story) -> None:
        """Nobody has more to do."""

    async def _approve(self, story: Story) -> None:
        needed = 2 if story.project == "trio" else 1
        who = self._dice.sample(APPROVERS, needed)
        await asyncio.gather(*(self._insist(story, each, APPROVE) for each in who))

    async def _approve_once(self, story: Story) -> None:
        await self._insist(story, self._dice.choice(APPROVERS), APPROVE)

    async def _deny(self, story: Story) -> None:
        who = self._dice.choice(APPROVERS)
        while await self._waits(story):
            before = self._screen(who)
            if await self._click(story, who, DENY) and await self._dialog(who, before):
                await self._submit_reason(who)
            await self._rest()

    async def _submit_reason(self, who: str) -> None:
        try:
            await self._slack.people.submits(who, None, {"reason": "still needed"})
        except CannotDo:
            return  # it was closed meanwhile

    async def _withdraw(self, story: Story) -> None:
        await self._insist(story, story.requester, WITHDRAW)

    async def _all_at_once(self, story: Story) -> None:
        await self._waits(story)
        await asyncio.gather(self._approve(story), self._deny(story), self._withdraw(story))

    async def _cancel_elsewhere(self, story: Story) -> None:
        if await self._waits(story):
            story.elsewhere = True
            story.job.cancel()
            await self._approve(story)

    async def _insist(self, story: Story, who: str, action: str) -> None:
        """Click until the card waits no more; once in a while two times in the same moment."""
        while await self._waits(story):
            twice = self._dice.random() < 0.2
            await asyncio.gather(*(self._click(story, who, action) for _ in range(1 + twice)))
            await self._rest()

    async def _waits(self, story: Story) -> bool:
        """Whether the card still waits for a decision, once there is a card."""
        await self._until(lambda: self._board.of(story.job.id))
        thread = self._board.of(story.job.id)
        return thread is not None and thread.state == "awaiting"

    async def _click(self, story: Story, who: str, action: str) -> bool:
        thread = self._board.of(story.job.id)
        assert thread
        if action == APPROVE:
            story.yes.setdefault(who, time.time())
        story.clicks += 1
        try:
            return (await self._slack.people.clicks(who, thread.card, action)).ok
        except CannotDo:
            return False  # the card has changed in this moment

    async def _see_to_the_end(self, story: Story) -> None:
        """Wait for the outcome; what failed is tried again, as its card offers."""
        while True:
            await self._until(lambda: self._ended(story))
            thread = self._board.of(story.job.id)
            assert thread
            if thread.state != "failed":
                return
            story.retried += 1
            await self._click(story, story.requester, RETRY)
            await self._rest()

    def _ended(self, story: Story) -> bool:
        thread = self._board.of(story.job.id)
        return thread is not None and thread.settled

    async def _until(self, predicate: Callable[[], object]) -> None:
        await self._slack.until(predicate, PATIENCE)

    async def _rest(self) -> None:
        await asyncio.sleep(self._dice.uniform(0.5, 2.5))


def write_stories(
    count: int, start: Callable[[str], RestoreJob], dice: random.Random
) -> list[Story]:
    """Think of so many stories, each with a job of its own."""
    plots = dice.choices(list(PLOTS), [plot.weight for plot in PLOTS.values()], k=count)
    return [
        Story(number, plot, start(PLOTS[plot].project), f"room-{number % CHANNELS}")
        for number, plot in enumerate(plots)
    ]
