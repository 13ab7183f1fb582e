"""People who ask, approve, deny and withdraw as Slack lets them, and try again as people do."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.sandbox.slack import CannotDo
from tests.tools.campaign.worlds import APPROVERS, CHANNELS, CLUSTER

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.slack import FakeSlackServer
    from tests.tools.campaign.worlds import Board

Json = dict[str, Any]

APPROVE, DENY = "cancel_restore_approve", "cancel_restore_deny"
WITHDRAW, RETRY = "cancel_restore_withdraw", "cancel_restore_retry"

#: Seconds until a person sends the command again without a dialog.
DIALOG = 8.0

#: Seconds until a person gives up.
SCENARIO_TIMEOUT = 240.0


@dataclass(frozen=True, slots=True)
class ScenarioKind:
    """What people have in mind with a job, and how it may end.

    `weight`: how often, beside the others.
    """

    project: str
    ends: frozenset[str]
    weight: int


CANCELLED = frozenset({"cancelled"})

PLOTS: Mapping[str, ScenarioKind] = {
    "asked": ScenarioKind("free", CANCELLED, 40),
    "asked by two": ScenarioKind("free", CANCELLED, 4),
    "approved": ScenarioKind("pair", CANCELLED, 14),
    "approved by two": ScenarioKind("trio", CANCELLED, 12),
    "denied": ScenarioKind("pair", frozenset({"denied"}), 7),
    "withdrawn": ScenarioKind("trio", frozenset({"withdrawn"}), 6),
    "no approval": ScenarioKind("brief", frozenset({"expired"}), 5),
    "one approval of two": ScenarioKind("brief", frozenset({"expired"}), 4),
    "everybody at once": ScenarioKind("pair", frozenset({"cancelled", "denied", "withdrawn"}), 5),
    "cancelled elsewhere": ScenarioKind("pair", frozenset({"over"}), 3),
}


@dataclass(slots=True)
class Scenario:
    """One job, and what people did about it.

    Attributes:
        acknowledged: whether a submission was taken without a word against it: on our word.
        told_off: what the dialog said instead, the last time.
        yes: who clicked Approve, with the moment of the first click (wall clock).
        submitted_at: when a submission was sent first (wall clock).
        elsewhere: whether the job was cancelled in Atlas.
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
    """Plays scenarios in one Slack."""

    def __init__(self, slack: FakeSlackServer, board: Board, dice: random.Random) -> None:
        self._slack = slack
        self._board = board
        self._dice = dice
        self._plays: Mapping[str, Callable[[Scenario], Awaitable[None]]] = {
            "asked": self._no_more,
            "asked by two": self._no_more,
            "approved": self._approve,
            "approved by two": self._approve,
            "denied": self._deny,
            "withdrawn": self._withdraw,
            "no approval": self._no_more,
            "one approval of two": self._approve_once,
            "everybody at once": self._all_at_once,
            "cancelled elsewhere": self._cancel_elsewhere,
        }

    async def play(self, scenario: Scenario) -> None:
        """Run a scenario until it is done; failed actions are retried."""
        try:
            async with asyncio.timeout(SCENARIO_TIMEOUT):
                await self._play(scenario)
        except TimeoutError:
            return

    async def _play(self, scenario: Scenario) -> None:
        askers = [scenario.requester]
        if scenario.plot == "asked by two":
            askers.append(scenario.second)
        await asyncio.gather(*(self._ask(scenario, who) for who in askers))
        await self._plays[scenario.plot](scenario)
        await self._see_to_the_end(scenario)

    async def _ask(self, scenario: Scenario, who: str) -> None:
        """Type the command and submit the dialog, again and again until it is taken."""
        began = time.monotonic()
        line = f"/cancel-restore {scenario.project} {CLUSTER} {scenario.job.id}"
        while not self._board.of(scenario.job.id):  # a card is as good as an acknowledgement
            before = self._screen(who)
            await self._slack.people.types(who, scenario.channel, line)
            if not await self._dialog(who, before):
                await self._rest()
                continue
            if await self._submit(scenario, who):
                scenario.seconds = time.monotonic() - began
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

    async def _submit(self, scenario: Scenario, who: str) -> bool:
        """Click the button until the dialog closes; False when it says that there is no use."""
        for _ in range(12):
            scenario.submitted_at = scenario.submitted_at or time.time()
            try:
                ack = await self._slack.people.submits(who, None, {"reason": "started by mistake"})
            except CannotDo:
                return False  # the dialog has no button any more, or is gone
            body = ack.body if isinstance(ack.body, dict) else {}
            action = body.get("response_action", "clear")
            if ack.ok and action == "clear":
                scenario.acknowledged = True
                return True
            if ack.ok and action == "update":
                scenario.told_off = self._slack.state.text_of(body["view"])
                return False
            await self._rest()
        return False

    async def _no_more(self, scenario: Scenario) -> None:
        """No further action."""

    async def _approve(self, scenario: Scenario) -> None:
        needed = 2 if scenario.project == "trio" else 1
        who = self._dice.sample(APPROVERS, needed)
        await asyncio.gather(*(self._insist(scenario, each, APPROVE) for each in who))

    async def _approve_once(self, scenario: Scenario) -> None:
        await self._insist(scenario, self._dice.choice(APPROVERS), APPROVE)

    async def _deny(self, scenario: Scenario) -> None:
        who = self._dice.choice(APPROVERS)
        while await self._waits(scenario):
            before = self._screen(who)
            if await self._click(scenario, who, DENY) and await self._dialog(who, before):
                await self._submit_reason(who)
            await self._rest()

    async def _submit_reason(self, who: str) -> None:
        try:
            await self._slack.people.submits(who, None, {"reason": "still needed"})
        except CannotDo:
            return  # it was closed meanwhile

    async def _withdraw(self, scenario: Scenario) -> None:
        await self._insist(scenario, scenario.requester, WITHDRAW)

    async def _all_at_once(self, scenario: Scenario) -> None:
        await self._waits(scenario)
        await asyncio.gather(
            self._approve(scenario), self._deny(scenario), self._withdraw(scenario)
        )

    async def _cancel_elsewhere(self, scenario: Scenario) -> None:
        if await self._waits(scenario):
            scenario.elsewhere = True
            scenario.job.cancel()
            await self._approve(scenario)

    async def _insist(self, scenario: Scenario, who: str, action: str) -> None:
        """Click until the card waits no more; once in a while two times in the same moment."""
        while await self._waits(scenario):
            twice = self._dice.random() < 0.2
            await asyncio.gather(*(self._click(scenario, who, action) for _ in range(1 + twice)))
            await self._rest()

    async def _waits(self, scenario: Scenario) -> bool:
        """Whether the card still waits for a decision, once there is a card."""
        await self._until(lambda: self._board.of(scenario.job.id))
        thread = self._board.of(scenario.job.id)
        return thread is not None and thread.state == "awaiting"

    async def _click(self, scenario: Scenario, who: str, action: str) -> bool:
        thread = self._board.of(scenario.job.id)
        assert thread
        if action == APPROVE:
            scenario.yes.setdefault(who, time.time())
        scenario.clicks += 1
        try:
            return (await self._slack.people.clicks(who, thread.card, action)).ok
        except CannotDo:
            return False  # the card has changed in this moment

    async def _see_to_the_end(self, scenario: Scenario) -> None:
        """Wait for the outcome; what failed is tried again, as its card offers."""
        while True:
            await self._until(lambda: self._ended(scenario))
            thread = self._board.of(scenario.job.id)
            assert thread
            if thread.state != "failed":
                return
            scenario.retried += 1
            await self._click(scenario, scenario.requester, RETRY)
            await self._rest()

    def _ended(self, scenario: Scenario) -> bool:
        thread = self._board.of(scenario.job.id)
        return thread is not None and thread.settled

    async def _until(self, predicate: Callable[[], object]) -> None:
        await self._slack.until(predicate, SCENARIO_TIMEOUT)

    async def _rest(self) -> None:
        await asyncio.sleep(self._dice.uniform(0.5, 2.5))


def write_scenarios(
    count: int, start: Callable[[str], RestoreJob], dice: random.Random
) -> list[Scenario]:
    """Think of so many scenarios, each with a job of its own."""
    plots = dice.choices(list(PLOTS), [plot.weight for plot in PLOTS.values()], k=count)
    return [
        Scenario(number, plot, start(PLOTS[plot].project), f"room-{number % CHANNELS}")
        for number, plot in enumerate(plots)
    ]
