"""People who request, approve, deny and withdraw by Slack's interface, and retry."""

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
    from tests.tools.campaign.worlds import MessageTracker

Json = dict[str, Any]

APPROVE, DENY = "cancel_restore_approve", "cancel_restore_deny"
WITHDRAW, RETRY = "cancel_restore_withdraw", "cancel_restore_retry"
KEEP, REVIEW = "cancel_restore_keep", "cancel_restore_review"

#: Seconds until a person sends the command again without a dialog.
DIALOG = 8.0

#: Seconds until a scenario is abandoned.
SCENARIO_TIMEOUT = 480.0


class People:
    """Plays scenarios in one Slack."""

    def __init__(
        self,
        slack: FakeSlackServer,
        messages: MessageTracker,
        rng: random.Random,
        start: Callable[[str], RestoreJob],
    ) -> None:
        self._slack = slack
        self._messages = messages
        self._rng = rng
        self._start = start
        self._plays: Mapping[str, Callable[[Scenario], Awaitable[None]]] = {
            "asked": self._do_nothing,
            "asked by two": self._do_nothing,
            "approved": self._approve,
            "approved by two": self._approve,
            "denied": self._deny,
            "withdrawn": self._withdraw,
            "no approval": self._do_nothing,
            "one approval of two": self._approve_once,
            "competing decisions": self._compete,
            "cancelled elsewhere": self._cancel_elsewhere,
            "approved in a copy": self._approve_in_copy,
            "approved after reminders": self._approve_after_reminders,
            "copy against channel": self._copy_against_channel,
            "acts alone": self._do_nothing,
            "kept": self._keep,
            "not kept": self._do_nothing,
            "cancelled early": self._cancel_early,
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
        if scenario.kind == "asked by two":
            askers.append(scenario.second)
        if scenario.in_quarantine:
            await self._download(scenario)
        else:
            await asyncio.gather(*(self._ask(scenario, user) for user in askers))
        await self._plays[scenario.kind](scenario)
        await self._wait_for_outcome(scenario)
        if scenario.alone:
            await self._review(scenario)

    async def _download(self, scenario: Scenario) -> None:
        """Start a download after the first read of the watch, so that the bot must find it."""
        await self._until(lambda: self._slack.state.messages(WATCH_CHANNEL))
        scenario.job = self._start(scenario.project)
        scenario.acknowledged = True
        await self._until(lambda: self._messages.of(scenario.job.id))

    async def _ask(self, scenario: Scenario, user: str) -> None:
        """Type the command and submit the dialog, again and again until it is taken."""
        line = f"/cancel-restore {scenario.project} {CLUSTER} {scenario.job.id}"
        while not self._messages.of(scenario.job.id):  # a card is as good as an acknowledgement
            before = self._view_id(user)
            await self._slack.people.types(user, scenario.channel, line)
            if not await self._dialog(user, before):
                await self._pause()
                continue
            if await self._submit(scenario, user):
                return

    def _view_id(self, user: str) -> str | None:
        view = self._slack.state.view_of(user)
        return view["id"] if view else None

    async def _dialog(self, user: str, before: str | None) -> bool:
        """Wait for a new dialog with a submit button."""

        def shown() -> bool:
            view = self._slack.state.view_of(user)
            return bool(view and view.get("submit") and view["id"] != before)

        try:
            await self._slack.until(shown, DIALOG)
        except TimeoutError:
            return False
        return True

    async def _submit(self, scenario: Scenario, user: str) -> bool:
        """Click the button until the dialog closes; False if it shows a final error."""
        values: dict[str, object] = {"reason": "started by mistake"}
        if scenario.alone:
            values["alone"] = ["alone"]
        for _ in range(12):
            scenario.submitted_at = scenario.submitted_at or time.time()
            try:
                ack = await self._slack.people.submits(user, None, values)
            except CannotDo:
                return False  # the dialog has no button any more, or is gone
            body = ack.body if isinstance(ack.body, dict) else {}
            action = body.get("response_action", "clear")
            if ack.ok and action == "clear":
                scenario.acknowledged = True
                return True
            if ack.ok and action == "update":
                scenario.refusal = self._slack.state.text_of(body["view"])
                return False
            await self._pause()
        return False

    async def _do_nothing(self, scenario: Scenario) -> None:
        """No further action."""

    async def _approve(self, scenario: Scenario) -> None:
        needed = 2 if scenario.project == "trio" else 1
        user = self._rng.sample(APPROVERS, needed)
        await asyncio.gather(*(self._click_until_decided(scenario, each, APPROVE) for each in user))

    async def _approve_once(self, scenario: Scenario) -> None:
        await self._click_until_decided(scenario, self._rng.choice(APPROVERS), APPROVE)

    async def _deny(self, scenario: Scenario) -> None:
        user = self._rng.choice(APPROVERS)
        while await self._waits(scenario):
            before = self._view_id(user)
            if await self._click(scenario, user, DENY) and await self._dialog(user, before):
                await self._submit_reason(user)
            await self._pause()

    async def _submit_reason(self, user: str) -> None:
        try:
            await self._slack.people.submits(user, None, {"reason": "still needed"})
        except CannotDo:
            return  # it was closed meanwhile

    async def _withdraw(self, scenario: Scenario) -> None:
        await self._click_until_decided(scenario, scenario.requester, WITHDRAW)

    async def _compete(self, scenario: Scenario) -> None:
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
        user = self._rng.choice(APPROVERS)
        while await self._waits(scenario):
            thread = self._messages.of(scenario.job.id)
            assert thread
            own = self._slack.state.dm(user)
            copies = self._messages.copies_of(thread.request).items()
            mine = [each for (channel, _), each in copies if channel == own]
            card = mine[-1] if mine and self._rng.random() < 0.8 else thread.card
            await self._click(scenario, user, APPROVE, card)
            await self._pause()

    async def _approve_after_reminders(self, scenario: Scenario) -> None:
        await self._waits(scenario)
        await asyncio.sleep(self._rng.uniform(2.0, 12.0))
        await self._approve_in_copy(scenario)

    async def _copy_against_channel(self, scenario: Scenario) -> None:
        await self._waits(scenario)
        await asyncio.sleep(self._rng.uniform(0.0, 4.0))
        await asyncio.gather(self._approve_in_copy(scenario), self._deny(scenario))

    async def _keep(self, scenario: Scenario) -> None:
        user = self._rng.choice(APPROVERS)
        while await self._is(scenario, "quarantined"):
            before = self._view_id(user)
            if await self._click(scenario, user, KEEP) and await self._dialog(user, before):
                await self._submit_reason(user)
            await self._pause()

    async def _cancel_early(self, scenario: Scenario) -> None:
        user = self._rng.choice(APPROVERS)
        while await self._is(scenario, "quarantined"):
            await self._click(scenario, user, APPROVE)
            await self._pause()

    async def _review(self, scenario: Scenario) -> None:
        """Click **Mark as reviewed** until the card does not offer it any more."""
        user, thread = self._rng.choice(APPROVERS), self._messages.of(scenario.job.id)
        assert thread
        while REVIEW in str(thread.card["blocks"]):
            await self._click(scenario, user, REVIEW)
            await self._pause()
        scenario.reviewed = True

    async def _click_until_decided(self, scenario: Scenario, user: str, action: str) -> None:
        """Click until the card waits no more; once in a while two times in the same moment."""
        while await self._waits(scenario):
            twice = self._rng.random() < 0.2
            await asyncio.gather(*(self._click(scenario, user, action) for _ in range(1 + twice)))
            await self._pause()

    async def _waits(self, scenario: Scenario) -> bool:
        """Whether the card still waits for a decision, once there is a card."""
        return await self._is(scenario, "awaiting")

    async def _is(self, scenario: Scenario, state: str) -> bool:
        await self._until(lambda: self._messages.of(scenario.job.id))
        thread = self._messages.of(scenario.job.id)
        return thread is not None and thread.state == state

    async def _click(
        self, scenario: Scenario, user: str, action: str, card: Json | None = None
    ) -> bool:
        thread = self._messages.of(scenario.job.id)
        assert thread
        if action == APPROVE:
            scenario.approved_at.setdefault(user, time.time())
        try:
            return (await self._slack.people.clicks(user, card or thread.card, action)).ok
        except CannotDo:
            return False  # the card has changed in this moment

    async def _wait_for_outcome(self, scenario: Scenario) -> None:
        """Wait for the outcome; retry a failed request, and approve it again, by its card."""
        while True:
            await self._until(lambda: self._has_ended_or_waits_again(scenario))
            thread = self._messages.of(scenario.job.id)
            assert thread
            if thread.state == "awaiting":
                await self._approve(scenario)
            elif thread.state == "failed":
                scenario.retried += 1
                by_bot = scenario.in_quarantine  # only approvers may retry the bot's own request
                user = self._rng.choice(APPROVERS) if by_bot else scenario.requester
                await self._click(scenario, user, RETRY)
                await self._pause()
            else:
                return

    def _has_ended_or_waits_again(self, scenario: Scenario) -> bool:
        thread = self._messages.of(scenario.job.id)
        waits_again = scenario.retried and thread and thread.state == "awaiting"
        return bool(waits_again or (thread and thread.settled))

    async def _until(self, predicate: Callable[[], object]) -> None:
        await self._slack.until(predicate, SCENARIO_TIMEOUT)

    async def _pause(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.5, 2.5))
