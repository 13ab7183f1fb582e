"""The environment of acceptance tests: both fake servers, and one or more real bots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

import aiohttp
from typing_extensions import TypeVar

from bot.app import Bot
from bot.sandbox.atlas import PROJECT_ID, Call, FakeAtlasServer, Fault, RestoreJob
from bot.sandbox.atlas.example import CLIENT_ID, CLIENT_SECRET
from bot.sandbox.slack import Ack, FakeSlackServer
from bot.settings import load_settings
from bot.slack.ids import LOADING
from bot.timings import Timings
from tests.support.environ import bot_environ
from tests.support.process import BotProcess
from tests.support.timings import LONG_TIMEOUT_SLACK, SHORT_PROCESS_TIMINGS, SHORT_TIMINGS

Json = dict[str, Any]

BotT_co = TypeVar("BotT_co", bound=Bot | BotProcess, default=Bot | BotProcess, covariant=True)

OPEN_STATES = frozenset({"awaiting", "approved", "cancelling"})

#: Seconds within which a lasting fault must be reported, and within which Slack must show a change.
OUTCOME_TIMEOUT = 30.0
SLACK_TIMEOUT = 20.0

#: The download jobs of the example world that can be cancelled.
RUNNING = ("prod-eu", "65f0a1c2d3e4f5a6b7c80101")
LIVE = ("prod-eu", "65f0a1c2d3e4f5a6b7c80102")


#: The environments of the test that runs; the rules are checked at its end.
OPENED: list[BotEnvironment[Any]] = []


@dataclass(slots=True, kw_only=True)
class BotEnvironment(Generic[BotT_co]):
    """Both fake servers and the bots. People are named as in the fake Slack's example workspace.

    Attributes:
        folder: contains the database of bots in the process of the test.
        bots: every bot that was started, newest last.
    """

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    folder: Path = field(default_factory=Path)
    bots: list[BotT_co] = field(default_factory=list)

    def __post_init__(self) -> None:
        OPENED.append(self)

    @property
    def bot(self) -> BotT_co:
        """The newest bot."""
        return self.bots[-1]

    @property
    def url(self) -> str:
        """The base URL of the newest bot's HTTP server."""
        return f"http://127.0.0.1:{self.bot.port}"

    async def get(self, path: str) -> tuple[int, str]:
        """Return the status and the text of a page of the newest bot."""
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    def new_job(self, cluster: str = "prod-eu", *, live: bool = False) -> tuple[str, str]:
        """Start a download in Atlas, and return its cluster and id."""
        return cluster, self.new_job_id(cluster, live=live)

    def new_job_id(self, cluster: str = "prod-eu", *, live: bool = False) -> str:
        """Start a download in Atlas, and return its id."""
        return self.start_job(cluster, live=live).id

    def start_job(self, cluster: str = "prod-eu", **options: Any) -> RestoreJob:
        """Start a download in Atlas, with options of the fake one."""
        found = self.atlas.world.projects[PROJECT_ID].clusters[cluster]
        return self.atlas.world.add_job(found, **options)

    async def send_command(self, user: str, text: str, where: str = "ops") -> Ack:
        return await self.slack.people.types(user, where, f"/cancel-restore {text}")

    async def open_dialog(
        self, job: tuple[str, str], user: str = "rina", where: str = "ops", seconds: float = 20.0
    ) -> Json:
        """Send the command, and return the dialog once it no longer shows that it is loading."""
        before = self.slack.state.view_of(user)
        await self.send_command(user, " ".join(job), where)
        return await self.wait_for_dialog(user, before, seconds)

    async def wait_for_dialog(
        self, user: str, before: Json | None = None, seconds: float = 20.0
    ) -> Json:
        """Return the dialog of a person once it no longer shows that it is loading."""

        def found() -> Json | None:
            view = self.slack.state.view_of(user)
            new = view and (before is None or view["id"] != before["id"])
            return view if view and new and not is_loading(view) else None

        view = await self.slack.until(found, seconds)
        assert view is not None
        return view

    async def submit_request(
        self,
        job: tuple[str, str],
        *faults: Fault,
        user: str = "rina",
        where: str = "ops",
        reason: str = "started by mistake",
    ) -> Ack:
        """Open the dialog of a job, activate the faults, and submit."""
        view = await self.open_dialog(job, user, where)
        self.atlas.faults.add(*faults)
        return await self.slack.people.submits(user, view, {"reason": reason})

    def card(self, job: str, where: str = "ops") -> Json | None:
        """Return the newest card of a job."""
        cards = self.cards(job, where)
        return cards[-1] if cards else None

    def cards(self, job: str, where: str = "ops") -> list[Json]:
        """Return the cards of a job, oldest first."""
        messages = self.slack.state.messages(where)
        return [m for m in messages if is_card(m) and job in str(m["blocks"])]

    def outcome(self, job: str, where: str = "ops") -> Outcome | None:
        """Return the outcome once the card and the last reply show the same final state."""
        card = self.card(job, where)
        if card is None or state_of(card) in OPEN_STATES:
            return None
        replies = [m for m in self.slack.state.replies(card) if state_of(m) == state_of(card)]
        if not replies:
            return None
        text = self.slack.state.text_of
        return Outcome(state=state_of(card), card=text(card), reply=text(replies[-1]), message=card)

    async def wait_for_outcome(
        self, job: str, where: str = "ops", seconds: float = SLACK_TIMEOUT
    ) -> Outcome:
        """Wait for the outcome on the card and in its thread."""
        outcome = await self.slack.until(lambda: self.outcome(job, where), seconds)
        assert outcome is not None
        return outcome

    def text_about(self, job: str) -> str:
        """Return the first message in #ops about a job, as it is read, or an empty text."""
        texts = map(self.slack.state.text_of, self.slack.state.messages("ops"))
        return next((text for text in texts if job in text), "")

    def atlas_methods(self, job: str, since: int = 0) -> list[str]:
        """List the methods of the calls about a job, challenges included as `GET?`."""
        return [method_of(c) for c in self.atlas.calls[since:] if job in c.path]

    def ephemerals(self, user: str) -> list[str]:
        """Return the texts of a person's ephemeral messages, oldest first."""
        return [self.slack.state.text_of(message) for message in self.slack.state.ephemerals(user)]

    async def wait_for_ephemerals(self, user: str, count: int = 1) -> list[str]:
        await self.slack.until(lambda: len(self.slack.state.ephemerals(user)) >= count)
        return self.ephemerals(user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of a request as people read it."""

    state: str
    card: str
    reply: str
    message: Json


def method_of(call: Call) -> str:
    return f"{call.method}?" if call.challenge else call.method


def is_loading(view: Json) -> bool:
    return any(block.get("block_id") == LOADING for block in view["blocks"])


def is_card(message: Json) -> bool:
    return bool(state_of(message)) and message.get("thread_ts", message["ts"]) == message["ts"]


def payload_of(message: Json) -> Json:
    """Return the payload of a message's metadata, or an empty object."""
    return (message.get("metadata") or {}).get("event_payload") or {}


def state_of(message: Json) -> str:
    """Return the state of the request in a message's metadata, or empty."""
    return str(payload_of(message).get("state") or "")


def request_of(message: Json) -> str:
    """Return the id of the request in a message's metadata, or empty."""
    return str(payload_of(message).get("request") or "")


def environment(slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path) -> dict[str, str]:
    """Return the settings of a bot with a SQLite file, in Socket Mode, on a free port."""
    return {**bot_environ(slack, atlas, f"sqlite:///{folder}/bot.db"), "PORT": "0"}


#: A service account in place of the API key.
SERVICE_ACCOUNT: dict[str, str | None] = {
    "MONGODB_ATLAS_PUBLIC_API_KEY": None,
    "MONGODB_ATLAS_PRIVATE_API_KEY": None,
    "MONGODB_ATLAS_CLIENT_ID": CLIENT_ID,
    "MONGODB_ATLAS_CLIENT_SECRET": CLIENT_SECRET,
}


@asynccontextmanager
async def open_process(
    slack: FakeSlackServer, atlas: FakeAtlasServer, folder: Path, environ: Mapping[str, str]
) -> AsyncIterator[BotEnvironment[BotProcess]]:
    """Start the real program between the fake servers; kill it at the end."""
    with BotProcess(environ, SHORT_PROCESS_TIMINGS) as process:
        await process.ready()
        env = BotEnvironment(slack=slack, atlas=atlas, folder=folder, bots=[process])
        await wait_until_connected(env, http="SLACK_APP_TOKEN" not in environ)
        yield env


@asynccontextmanager
async def open_environment(
    folder: Path,
    environ: dict[str, str | None] | None = None,
    *,
    http: bool = False,
    timings: Timings = SHORT_TIMINGS,
    before: Callable[[FakeSlackServer, FakeAtlasServer], None] = lambda _slack, _atlas: None,
) -> AsyncIterator[BotEnvironment]:
    """Start both fake servers and a bot that has read its project; stop all at the end.

    Args:
        folder: contains the database.
        environ: variables to change; None removes one.
        http: whether Slack's payloads come over HTTP instead of Socket Mode.
        timings: intervals, timeouts and leases of the bot.
        before: changes the fake servers before the bot starts.
    """
    async with FakeAtlasServer() as atlas, FakeSlackServer(settings=LONG_TIMEOUT_SLACK) as slack:
        before(slack, atlas)
        given: dict[str, str | None] = {
            **bot_environ(slack, atlas, f"sqlite:///{folder}/bot.db", http=http),
            "PORT": "0",
            **(environ or {}),
        }
        variables = {k: v for k, v in given.items() if v is not None}
        settings = load_settings(variables, folder)
        bot = Bot(settings, timings=timings, load=lambda: load_settings(variables, folder))
        env = BotEnvironment[Bot | BotProcess](slack=slack, atlas=atlas, folder=folder, bots=[bot])
        answered = asyncio.Event()
        atlas.recorder.subscribe(lambda call: answered.set() if call.status == 200 else None)
        try:
            await bot.start()
            await wait_until_connected(env, http=http)
            if any(project.name is None for project in settings.projects):
                # The digest login is done, and the project has its name.
                await asyncio.wait_for(answered.wait(), SLACK_TIMEOUT)
                await wait_for_project_names()
            yield env
        finally:
            await bot.stop()


async def wait_for_project_names() -> None:
    """Wait up to a second until the bot has stored the names of its projects."""
    tasks = {task for task in asyncio.all_tasks() if task.get_name() == "projects"}
    if tasks:
        await asyncio.wait(tasks, timeout=1.0)


async def wait_until_connected(env: BotEnvironment, *, http: bool) -> None:
    """Wait for Socket Mode, or set the bot's request URL in Slack."""
    if http:
        env.slack.http.request_url = f"{env.url}/slack/events"
    else:
        await env.slack.until(lambda: bool(env.slack.sockets.connections), SLACK_TIMEOUT)
