"""People who ask, approve, deny and withdraw as Slack lets them, and try again as people do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from bot.sandbox.slack import CannotDo
from tests.tools.campaign.worlds import APPROVERS, CLUSTER, WATCH_CHANNEL

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Mapping

    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.slack import FakeSlackServer
    from tests.tools.campaign.scenarios import Scenario
    from tests.tools.campaign.worlds import Board

Json = dict[str, Any]

APPROVE, DENY = "cancel_restore_approve", "cancel_restore_deny"
WITHDRAW, RETRY = "cancel_restore_withdraw", "cancel_restore_retry"
KEEP, REVIEW = "cancel_restore_keep", "cancel_restore_review"

#: Seconds until a person sends the command again without a dialog.
DIALOG = 8.0

#: Seconds until a person gives up.
SCENARIO_TIMEOUT = 240.0


class People:
    """Plays scenarios in one Slack."""

    def __init__(
        self,
        slack: FakeSlackServer,
        board: Board,
        dice: random.Random,
        start: Callable[[str], RestoreJob],
    ) -> None:
        self._slack = slack
        self._board = board
        self._dice = dice
        self._start = start
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
            "approved in a copy": self._approve_in_copy,
            "approved after reminders": self._approve_after_reminders,
            "copy against channel": self._copy_against_channel,
            "acts alone": self._no_more,
            "kept": self._keep,
            "not kept": self._no_more,
            "cancelled at once": self._cancel_at_once,
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
        if scenario.in_quarantine:
            await self._download(scenario)
        else:
            await asyncio.gather(*(self._ask(scenario, who) for who in askers))
        await self._plays[scenario.plot](scenario)
        await self._see_to_the_end(scenario)
        if scenario.alone:
            await self._review(scenario)

    async def _download(self, scenario: Scenario) -> None:
        """Start a download once the watch has looked, so that the bot must find it by itself."""
        await self._until(lambda: self._slack.state.messages(WATCH_CHANNEL))
        scenario.job = self._start(scenario.project)
        scenario.acknowledged = True
        await self._until(lambda: self._board.of(scenario.job.id))

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
        values: dict[str, object] = {"reason": "started by mistake"}
        if scenario.alone:
            values["alone"] = ["alone"]
        for _ in range(12):
            scenario.submitted_at = scenario.submitted_at or time.time()
            try:
                ack = await self._slack.people.submits(who, None, values)
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

    async def _approve_in_copy(self, scenario: Scenario) -> None:
        """Approve by the button of the own copy of the card; a copy may never come."""
        who = self._dice.choice(APPROVERS)
        while await self._waits(scenario):
            thread = self._board.of(scenario.job.id)
            assert thread
            own = self._slack.state.dm(who)
            copies = self._board.copies_of(thread.request).items()
            mine = [each for (channel, _), each in copies if channel == own]
            card = mine[-1] if mine and self._dice.random() < 0.8 else thread.card
            await self._click(scenario, who, APPROVE, card)
            await self._rest()

    async def _approve_after_reminders(self, scenario: Scenario) -> None:
        await self._waits(scenario)
        await asyncio.sleep(self._dice.uniform(2.0, 12.0))
        await self._approve_in_copy(scenario)

    async def _copy_against_channel(self, scenario: Scenario) -> None:
        await self._waits(scenario)
        await asyncio.sleep(self._dice.uniform(0.0, 4.0))
        await asyncio.gather(self._approve_in_copy(scenario), self._deny(scenario))

    async def _keep(self, scenario: Scenario) -> None:
        who = self._dice.choice(APPROVERS)
        while await self._is(scenario, "quarantined"):
            before = self._screen(who)
            if await self._click(scenario, who, KEEP) and await self._dialog(who, before):
                await self._submit_reason(who)
            await self._rest()

    async def _cancel_at_once(self, scenario: Scenario) -> None:
        who = self._dice.choice(APPROVERS)
        while await self._is(scenario, "quarantined"):
            await self._click(scenario, who, APPROVE)
            await self._rest()

    async def _review(self, scenario: Scenario) -> None:
        """Click **Reviewed** until the card does not offer it any more."""
        who, thread = self._dice.choice(APPROVERS), self._board.of(scenario.job.id)
        assert thread
        while REVIEW in str(thread.card["blocks"]):
            await self._click(scenario, who, REVIEW)
            await self._rest()
        scenario.reviewed = True

    async def _insist(self, scenario: Scenario, who: str, action: str) -> None:
        """Click until the card waits no more; once in a while two times in the same moment."""
        while await self._waits(scenario):
            twice = self._dice.random() < 0.2
            await asyncio.gather(*(self._click(scenario, who, action) for _ in range(1 + twice)))
            await self._rest()

    async def _waits(self, scenario: Scenario) -> bool:
        """Whether the card still waits for a decision, once there is a card."""
        return await self._is(scenario, "awaiting")

    async def _is(self, scenario: Scenario, state: str) -> bool:
        await self._until(lambda: self._board.of(scenario.job.id))
        thread = self._board.of(scenario.job.id)
        return thread is not None and thread.state == state

    async def _click(
        self, scenario: Scenario, who: str, action: str, card: Json | None = None
    ) -> bool:
        thread = self._board.of(scenario.job.id)
        assert thread
        if action == APPROVE:
            scenario.yes.setdefault(who, time.time())
        scenario.clicks += 1
        try:
            return (await self._slack.people.clicks(who, card or thread.card, action)).ok
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
