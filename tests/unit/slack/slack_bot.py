"""The bot's side of Slack for tests: Bolt's app over real stores, a fake Slack, a fake Atlas."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from slack_bolt.request.async_request import AsyncBoltRequest

from bot.atlas import JobRef
from bot.cancellation.people import ActingPerson
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request
from bot.slack.app import build_app
from bot.slack.client import Identity
from bot.slack.values import ALONE, DIALOG, REASON, button_value
from tests.support.core import CoreEnvironment, core_environment
from tests.support.domain import POLICY, PROJECT, REF, RINA, TEAM
from tests.support.slack_context import slack_context
from tests.unit.slack.fake_slack import IDENTITY, MEMBER_OF, TRIGGER, FakeSlack

Json = dict[str, Any]
COMMAND = "/cancel-restore"


@dataclass(eq=False)
class SlackBot:
    """One process; `restart` builds it again over the same database."""

    core: CoreEnvironment
    slack: FakeSlack = field(default_factory=FakeSlack)
    runs: list[str] = field(default_factory=list)  #: requests whose runs were started
    is_active: bool = True
    feed_is_readable: bool = True
    identity: Identity = IDENTITY

    def __post_init__(self) -> None:
        self.restart(self.core.policy)

    def restart(self, policy: Policy) -> None:
        """Build what a process has, with this policy."""
        self.core.policy = policy
        self.core.build()
        self.context = slack_context(
            self.core,
            self.slack,
            self.identity,
            start_run=self.runs.append,
            feed_is_readable=lambda _project: self.feed_is_readable,
            is_active=lambda: self.is_active,
        )
        self.app = build_app(self.context)

    async def send(self, payload: Mapping[str, Any], *, settles: bool = True) -> Json:
        """Return the acknowledgement of a payload, by default when all background work is done."""
        request = AsyncBoltRequest(mode="socket_mode", body=dict(payload))
        response = await self.app.async_dispatch(request)
        assert response.status == 200
        if settles:
            await self.settle()
        return json.loads(response.body) if response.body else {}

    async def settle(self) -> None:
        while tasks := self.context.background.tasks:
            await asyncio.wait(tasks)

    async def types(
        self, person: ActingPerson, text: str, channel: str = MEMBER_OF, **more: Any
    ) -> Json:
        body = {
            "command": COMMAND,
            "text": text,
            "user_id": person.id,
            "team_id": TEAM,
            "channel_id": channel,
            "trigger_id": TRIGGER,
        }
        return await self.send(body | more)

    async def clicks(
        self,
        person: ActingPerson,
        action_id: str,
        value: str,
        *,
        team: str = TEAM,
        settles: bool = True,
    ) -> Json:
        action = {"type": "button", "action_id": action_id, "block_id": "b", "value": value}
        body = {
            "type": "block_actions",
            "user": {"id": person.id, "team_id": team},
            "team": {"id": TEAM},
            "channel": {"id": "C0OPS"},
            "trigger_id": TRIGGER,
            "actions": [action],
        }
        return await self.send(body, settles=settles)

    async def opens(self, person: ActingPerson, channel: str = MEMBER_OF) -> Json:
        """Return the dialog of the job, as it is when it is filled in."""
        await self.types(person, f"prod-eu {REF.job_id}", channel)
        return self.view

    async def submits(
        self,
        person: ActingPerson,
        view: Mapping[str, Any],
        reason: str | None = "wrong cluster",
        *,
        alone: bool | str = False,
        settles: bool = True,
    ) -> Json:
        option = ALONE if alone is True else alone
        chosen = [{"value": option}] if option else []
        values = {REASON: {REASON: {"value": reason}}, ALONE: {ALONE: {"selected_options": chosen}}}
        body = {
            "type": "view_submission",
            "user": {"id": person.id, "team_id": TEAM},
            "team": {"id": TEAM},
            "view": {**view, "state": {"values": values}},
        }
        return await self.send(body, settles=settles)

    async def asks(self, person: ActingPerson = RINA) -> Request:
        """Open the dialog and submit it; return the request."""
        assert not await self.submits(person, await self.opens(person))
        return await self.request()

    async def request(self) -> Request:
        """Return the newest request about the job."""
        return (await self.requests())[0]

    async def requests(self) -> list[Request]:
        return [*await self.core.requests.of_download(PROJECT, REF.job_id)]

    async def post_messages(self) -> None:
        """Post every message that the outbox has, as the worker does."""
        for delivery in await self.core.outbox.due(50):
            download = delivery.download
            await self.core.outbox.message_shown(
                download.ref, delivery.wanted_version, str(download.channel), "1.0"
            )

    @property
    def view(self) -> Json:
        """The newest dialog."""
        return [*self.slack.views.values()][-1]

    @property
    def told(self) -> str:
        """The last private sentence."""
        return self.slack.private[-1][2].removeprefix("text: ")


def let_run_value(request: Request | None = None, ref: JobRef = REF) -> str:
    return button_value(ref, request.id if request else None)


def is_job_dialog(view: Mapping[str, Any]) -> bool:
    return bool(view["callback_id"] == DIALOG)


@asynccontextmanager
async def slack_bot(policy: Policy = POLICY) -> AsyncIterator[SlackBot]:
    """Return an active process over an empty database in memory."""
    async with core_environment(policy) as core:
        bot = SlackBot(core)
        yield bot
        await bot.settle()
