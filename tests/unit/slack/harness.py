"""`BoltHarness`: payloads in, answers and calls out, over the real service and no network."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slack_bolt.request.async_request import AsyncBoltRequest

from bot.cancellation.policy import Policies, Policy
from bot.slack.bolt_app import App
from bot.slack.dependencies import Dependencies
from bot.slack.directory import Directory
from bot.slack.errors import CallLimits
from bot.storage.replicas import CallBudget
from bot.tasks import BackgroundTasks
from tests.support.service import OPEN_TO_ALL, ServiceOnSqlite
from tests.support.timings import DATABASE_TIMEOUT
from tests.unit.slack.fake_slack import IDENTITY, LINKS, FakeSlack

Sleep = Callable[[float], Awaitable[object]]
#: Builds a harness from a policy, the names of projects, and keyword arguments.
NewBolt = Callable[..., "BoltHarness"]


async def no_sleep(_seconds: float) -> None:
    return None


@dataclass(slots=True)
class Answer:
    """The response to Slack for one payload."""

    status: int
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.body.get("text", ""))


class BoltHarness(ServiceOnSqlite):
    """Sends payloads to the whole app and records every call to Slack."""

    def __init__(
        self,
        directory: Path,
        policy: Policy | Policies = OPEN_TO_ALL,
        *names: str,
        ack_timeout: float = DATABASE_TIMEOUT,
        reason_check_timeout: float = DATABASE_TIMEOUT,
        sleep: Sleep = no_sleep,
    ) -> None:
        super().__init__(directory, policy, *names)
        self.slack = FakeSlack()
        self.background = BackgroundTasks()
        self.acks: list[float] = []

        async def advance_and_sleep(seconds: float) -> None:
            self.clock.advance(seconds)
            await sleep(seconds)

        monotonic = self.clock.monotonic
        people = Directory(self.slack, IDENTITY, timeout=DATABASE_TIMEOUT, monotonic=monotonic)
        limits = CallLimits(monotonic, CallBudget(self.database, self.clock))
        deps = Dependencies(
            client=self.slack,
            links=LINKS,
            service=self.service,
            finder=self.finder,
            history=self.history,
            directory=people,
            background=self.background,
            limits=limits,
            ack_timeout=ack_timeout,
            reason_check_timeout=reason_check_timeout,
            sleep=advance_and_sleep,
        )
        self.app = App(deps, self.acks.append)

    async def send(self, payload: dict[str, Any]) -> Answer:
        """Send a payload and wait until all its work is done."""
        answer = await self.ack(payload)
        await self.finish()
        return answer

    async def ack(self, payload: dict[str, Any]) -> Answer:
        """Send a payload and wait for its answer only."""
        request = AsyncBoltRequest(mode="socket_mode", body=payload)
        response = await self.app.async_dispatch(request)
        return Answer(response.status, json.loads(response.body or "{}"))

    async def finish(self) -> None:
        """Wait until all work in the background is done."""
        await self.background.drain(DATABASE_TIMEOUT)

    @property
    def private(self) -> list[str]:
        """The texts of ephemeral messages, sent after the ack."""
        return [call["text"] for call in self.slack.called("chat.postEphemeral")]

    @property
    def offered(self) -> list[tuple[str, str, str]]:
        """The buttons of the last ephemeral message: label, action id and value."""
        blocks = self.slack.called("chat.postEphemeral")[-1]["blocks"]
        shown = json.loads(blocks) if isinstance(blocks, str) else blocks
        buttons = [each for block in shown for each in block.get("elements", ())]
        return [(each["text"]["text"], each["action_id"], each["value"]) for each in buttons]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The views of the dialog, in order."""
        calls = [c for c in self.slack.calls if c.method in {"views.open", "views.update"}]
        return [self._view(call.arguments["view"]) for call in calls]

    @staticmethod
    def _view(view: str | dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(view)) if isinstance(view, str) else view
