"""A real bot between the two fake servers, and what a test does and sees there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.app import Bot
from bot.sandbox.atlas import PROJECT_ID, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings import load_settings
from tests.support.environ import bot_environ
from tests.support.timings import SHORT_TIMINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from bot.sandbox.atlas import Call, Fault
    from bot.sandbox.slack import Ack
    from bot.timings import Timings
    from tests.support.process import BotProcess

Json = dict[str, Any]

OPEN = frozenset({"awaiting", "approved", "cancelling"})

#: Seconds in which a lasting fault must be told, and what a busy machine may add to any wait.
OUTCOME_TIMEOUT = 30.0
SLACK_TIME = 10.0

#: The download jobs of the example world that can be cancelled.
RUNNING = ("prod-eu", "65f0a1c2d3e4f5a6b7c80101")
LIVE = ("prod-eu", "65f0a1c2d3e4f5a6b7c80102")


@dataclass(slots=True, kw_only=True)
class BotEnvironment:
    """Everything that runs. People are named as in the Slack fake server's example workspace."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    bot: Bot | BotProcess
    folder: Path

    @property
    def url(self) -> str:
        """The bot's own HTTP side."""
        return f"http://127.0.0.1:{self.bot.port}"

    def new_job(self, cluster: str = "prod-eu", *, live: bool = False) -> tuple[str, str]:
        """Start a download at Atlas; its cluster and id."""
        place = self.atlas.world.projects[PROJECT_ID].clusters[cluster]
        return cluster, self.atlas.world.add_job(place, live=live).id

    async def types(self, who: str, text: str, where: str = "ops") -> Ack:
        return await self.slack.people.types(who, where, f"/cancel-restore {text}")

    async def looks_up(
        self, job: tuple[str, str], who: str = "rina", where: str = "ops", seconds: float = 10.0
    ) -> Json:
        """Type the command, and return the dialog once it is not the loading one any more."""
        before = self.slack.state.view_of(who)
        await self.types(who, " ".join(job), where)
        return await self.dialog(who, before, seconds)

    async def dialog(self, who: str, before: Json | None = None, seconds: float = 10.0) -> Json:
        """Return the dialog of a person once it is not the loading one any more."""

        def found() -> Json | None:
            view = self.slack.state.view_of(who)
            new = view and (before is None or view["id"] != before["id"])
            return view if view and new and not is_loading(view) else None

        view = await self.slack.until(found, seconds)
        assert view is not None
        return view

    async def asks(
        self,
        job: tuple[str, str],
        *faults: Fault,
        who: str = "rina",
        where: str = "ops",
        reason: str = "started by mistake",
    ) -> Ack:
        """Look a job up, let the faults in, and submit."""
        view = await self.looks_up(job, who, where)
        self.atlas.faults.add(*faults)
        return await self.slack.people.submits(who, view, {"reason": reason})

    def card(self, job: str, where: str = "ops") -> Json | None:
        """Return the newest card that is about a job."""
        cards = [
            m for m in self.slack.state.messages(where) if is_card(m) and job in str(m["blocks"])
        ]
        return cards[-1] if cards else None

    def outcome(self, job: str, where: str = "ops") -> Ending | None:
        """Return the card and the reply of an ended request, once both are there."""
        card = self.card(job, where)
        if card is None or state_of(card) in OPEN:
            return None
        replies = [m for m in self.slack.state.replies(card) if state_of(m) == state_of(card)]
        if not replies:
            return None
        text = self.slack.state.text_of
        return Ending(state=state_of(card), card=text(card), reply=text(replies[-1]), message=card)

    async def ends(self, job: str, where: str = "ops", seconds: float = SLACK_TIME) -> Ending:
        """Wait for the outcome, on the card and in its thread."""
        ending = await self.slack.until(lambda: self.outcome(job, where), seconds)
        assert ending is not None
        return ending

    def wire(self, job: str, since: int = 0) -> list[str]:
        """List the methods of the calls about a job, challenges included as `GET?`."""
        return [method_of(c) for c in self.atlas.calls[since:] if job in c.path]

    def ephemerals(self, who: str) -> list[str]:
        """List what only this person has read, oldest first."""
        return [self.slack.state.text_of(message) for message in self.slack.state.ephemerals(who)]

    async def wait_for_ephemerals(self, who: str, count: int = 1) -> list[str]:
        await self.slack.until(lambda: len(self.slack.state.ephemerals(who)) >= count)
        return self.ephemerals(who)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a request ended, as people read it."""

    state: str
    card: str
    reply: str
    message: Json


def method_of(call: Call) -> str:
    return f"{call.method}?" if call.challenge else call.method


def is_loading(view: Json) -> bool:
    return "Looking up" in str(view["blocks"])


def is_card(message: Json) -> bool:
    return bool(state_of(message)) and message.get("thread_ts", message["ts"]) == message["ts"]


def state_of(message: Json) -> str:
    """Read the state from a message's metadata; empty for messages of other kinds."""
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("state") or "")


def environment(slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path) -> dict[str, str]:
    """Return the variables of a bot over a SQLite file, in Socket Mode, on any free port."""
    return {**bot_environ(slack, atlas, f"sqlite:///{folder}/ledger.db"), "PORT": "0"}


@asynccontextmanager
async def open_environment(
    folder: Path,
    environ: dict[str, str | None] | None = None,
    *,
    http: bool = False,
    timings: Timings = SHORT_TIMINGS,
    before: Callable[[FakeSlackServer, FakeAtlasServer], None] = lambda _slack, _atlas: None,
) -> AsyncIterator[BotEnvironment]:
    """Start both fake servers and the bot, warm and named; stop all at the end.

    Args:
        folder: where the ledger is kept.
        environ: variables to change; None removes one.
        http: whether Slack's payloads come over HTTP instead of Socket Mode.
        timings: intervals, timeouts and leases of the bot.
        before: changes the fake servers before the bot starts.
    """
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        before(slack, atlas)
        given: dict[str, str | None] = {
            **bot_environ(slack, atlas, f"sqlite:///{folder}/ledger.db", http=http),
            "PORT": "0",
            **(environ or {}),
        }
        variables = {k: v for k, v in given.items() if v is not None}
        settings = load_settings(variables, folder)
        bot = Bot(settings, timings=timings, load=lambda: load_settings(variables, folder))
        env = BotEnvironment(slack=slack, atlas=atlas, bot=bot, folder=folder)
        answered = asyncio.Event()
        atlas.recorder.subscribe(lambda call: answered.set() if call.status == 200 else None)
        try:
            await bot.start()
            await connected(env, http=http)
            if any(project.name is None for project in settings.projects):
                # The login is warm, and then the project has its name.
                await asyncio.wait_for(answered.wait(), SLACK_TIME)
                await named()
            yield env
        finally:
            await bot.stop()


async def named() -> None:
    """Give the bot a moment to take what Atlas has answered: the names of its projects."""
    meeting = {task for task in asyncio.all_tasks() if task.get_name() == "projects"}
    if meeting:
        await asyncio.wait(meeting, timeout=1.0)


async def connected(env: BotEnvironment, *, http: bool) -> None:
    """Wait until Slack has its way to the bot."""
    if http:
        env.slack.http.request_url = f"{env.url}/slack/events"
    else:
        await env.slack.until(lambda: bool(env.slack.sockets.connections), SLACK_TIME)
