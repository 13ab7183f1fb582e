"""The whole app on a bench: payloads in, answers and calls out, with no network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slack_bolt.request.async_request import AsyncBoltRequest

from bot.slack.bolt_app import App, build_app
from bot.slack.directory import Directory
from bot.tasks import BackgroundTasks
from tests.unit.slack.fake_desk import OPEN_TO_ALL, FakeDesk
from tests.unit.slack.fake_slack import IDENTITY, LINKS, FakeSlack

if TYPE_CHECKING:
    from bot.cancellation.policy import Policy


async def no_sleep(_seconds: float) -> None:
    return None


@dataclass(slots=True)
class Answer:
    """What went back to Slack for one payload."""

    status: int
    body: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.body.get("text", ""))


class Bench:
    """Send a payload, let the work after the ack end, and look at everything."""

    def __init__(self, policy: Policy = OPEN_TO_ALL, *names: str, patience: float = 2.5) -> None:
        self.slack = FakeSlack()
        self.desk = FakeDesk(policy, names=names or ("shop-prod",))
        self.background = BackgroundTasks()
        self.acks: list[float] = []
        self.app: App = build_app(
            self.slack,
            IDENTITY,
            signing_secret=None,
            service=self.desk,
            directory=Directory(self.slack, IDENTITY, patience=0.2),
            background=self.background,
            links=LINKS,
            on_ack=self.acks.append,
            sleep=no_sleep,
            ack_timeout=patience,
        )

    async def send(self, payload: dict[str, Any]) -> Answer:
        """Send a payload and wait until all is done."""
        answer = await self.ack(payload)
        await self.background.drain(2.0)
        return answer

    async def ack(self, payload: dict[str, Any]) -> Answer:
        """Send a payload and wait for its answer alone."""
        request = AsyncBoltRequest(mode="socket_mode", body=payload)
        response = await self.app.async_dispatch(request)
        return Answer(response.status, json.loads(response.body or "{}"))

    @property
    def private(self) -> list[str]:
        """What was said to one person alone, after the ack."""
        return [call["text"] for call in self.slack.called("chat.postEphemeral")]

    @property
    def shown(self) -> list[dict[str, Any]]:
        """The views that a dialog went through."""
        calls = [c for c in self.slack.calls if c.method in {"views.open", "views.update"}]
        return [self._view(call.arguments["view"]) for call in calls]

    @staticmethod
    def _view(view: str | dict[str, Any]) -> dict[str, Any]:
        return dict(json.loads(view)) if isinstance(view, str) else view
