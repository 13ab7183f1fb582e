"""Fake servers, a ledger, and bots as processes that are killed and started again.

Everything is said in people's acts (asks, approves) and in what must hold in the end.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer, User
from bot.sandbox.slack import Settings as SlackSettings
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from tests.support.environ import bot_environ
from tests.support.process import BotProcess, run_command
from tests.support.timings import SHORT_PROCESS_TIMINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from bot.sandbox.slack import Ack
    from bot.timings import Timings

    Json = dict[str, Any]

Mode = Literal["socket", "http"]

CHANNEL = "ops"
CLUSTER = "prod-eu"

#: Seconds after a new start in which everything acknowledged must have ended.
OUTCOME_TIMEOUT = 30.0

#: How many bots start at the same time.
MAX_CONCURRENT_STARTS = 3

#: Seconds between looks at what tells nobody of its changes.
POLL_INTERVAL = 0.005

OPEN = ("awaiting", "approved", "cancelling")


@dataclass(slots=True, kw_only=True)
class ProcessEnvironment:
    """Both fake servers, the ledger's URL, and every bot that was started."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    database_url: str
    mode: Mode = "socket"
    approvals: int = 0
    timings: Timings | None = SHORT_PROCESS_TIMINGS
    bots: list[BotProcess] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def bot(self) -> BotProcess:
        return self.bots[-1]

    def environment(self) -> dict[str, str]:
        http = self.mode == "http"
        environ = bot_environ(self.slack, self.atlas, self.database_url, http=http)
        return environ | {"BOT_APPROVALS": str(self.approvals)}

    def spawn(self) -> BotProcess:
        """Start one more bot without waiting for it."""
        self.bots.append(self.stack.enter_context(BotProcess(self.environment(), self.timings)))
        return self.bot

    async def start(self) -> BotProcess:
        """Start one more bot and wait until it is ready."""
        async with turn_to_start():
            bot = self.spawn()
            await bot.ready()
        self.route(bot)
        return bot

    def route(self, bot: BotProcess) -> None:
        """Let Slack post to this bot from now on (HTTP mode)."""
        if self.mode == "http":
            self.slack.http.request_url = f"{bot.url}/slack/events"

    def person(self, number: int) -> str:
        """A full member of their own, so that many dialogs can be open at once."""
        name = f"member-{number}"
        user_id = f"U0MEMBER{number:03d}"
        if user_id not in self.slack.workspace.users:
            team = self.slack.workspace.team.id
            self.slack.workspace.add(User(id=user_id, name=name, team_id=team))
            self.slack.workspace.channel(CHANNEL).members.add(user_id)
        return name

    def new_job(self) -> str:
        """A download restore that has just begun."""
        (project,) = self.atlas.world.projects.values()
        return self.atlas.world.add_job(project.clusters[CLUSTER]).id

    async def opens(self, user: str, job: str, seconds: float = 10.0) -> Json:
        """Type the command and wait for the dialog with its submit button."""
        ack = await self.insists(lambda: self._types(user, job), seconds)
        assert ack.ok, ack

        def shown() -> Json | None:
            view = self.slack.state.view_of(user)
            return view if view and view.get("submit") else None

        view = await self.slack.until(shown, seconds)
        assert view
        return view

    async def _types(self, user: str, job: str) -> Ack:
        return await self.slack.people.types(user, CHANNEL, f"/cancel-restore {CLUSTER} {job}")

    async def insists(self, act: Callable[[], Awaitable[Ack]], seconds: float = 10.0) -> Ack:
        """Act again where Slack found no bot: on a busy machine it may just be connecting anew."""
        ack = await act()
        if self.mode == "socket" and ack.error == "dispatch_failed":
            await self.slack.until(lambda: self.slack.sockets.connections, seconds)
            ack = await act()
        return ack

    async def submits(self, user: str, job: str) -> Ack:
        """Submit the open dialog; what is acknowledged without an error is on our word."""
        ack = await self.slack.people.submits(user, None, {"reason": "wrong cluster"})
        if ack.ok and not ack.errors:
            self.asked.append(job)
        return ack

    async def asks(self, user: str) -> str:
        """Ask for a new job to be cancelled, as a person would; give the job."""
        job = self.new_job()
        await self.opens(user, job)
        ack = await self.insists(lambda: self.submits(user, job))
        assert ack.ok, ack
        assert ack.errors == {}
        return job

    async def card_of(self, job: str, seconds: float = 10.0) -> Json:
        def found() -> Json | None:
            cards = self.cards_of(job)
            return cards[0] if cards else None

        card = await self.slack.until(found, seconds)
        assert card
        return card

    def cards_of(self, job: str) -> list[Json]:
        """The messages about a job that are no replies and carry our metadata."""
        return [
            message
            for message in self.slack.state.messages(CHANNEL)
            if state_of(message) and not is_reply(message) and job in str(message["blocks"])
        ]

    def outcomes_of(self, card: Json) -> list[str]:
        """The ends that the card's thread tells of."""
        told = [state_of(reply) for reply in self.slack.state.replies(card)]
        return [state for state in told if state and state not in OPEN]

    def ended(self, job: str) -> bool:
        """Whether the job's card and its thread tell the same end."""
        cards = self.cards_of(job)
        return any(self.outcomes_of(card) == [state_of(card)] for card in cards)

    async def until_ended(self, seconds: float = OUTCOME_TIMEOUT) -> None:
        """Wait until everything on our word has ended; raises `TimeoutError` with the story."""
        try:
            await self.slack.until(lambda: all(map(self.ended, self.asked)), seconds)
        except TimeoutError:
            raise TimeoutError(self.story()) from None

    def story(self) -> str:
        """Tell how far everything on our word came, and the last bot's log."""
        lines = [
            f"{job}: ended {self.ended(job)}, "
            + str([(state_of(c), self.outcomes_of(c)) for c in self.cards_of(job)])
            for job in self.asked
        ]
        return "\n".join([*lines, self.bot.log[-6000:]])

    async def check(self, state: str = "cancelled") -> None:
        """Everything on our word: one card, one outcome, no DELETE too many, a whole record."""
        for job in self.asked:
            (card,) = self.cards_of(job)
            assert (state_of(card), self.outcomes_of(card)) == (state, [state]), self.story()
            self.check_deletes(job)
        assert self.slack.complaints == [], self.slack.complaints
        await self.check_record()

    def check_deletes(self, job: str) -> None:
        """No DELETE was begun once Atlas had shown the job as cancelled."""
        calls = [call for call in self.atlas.calls if job in call.path and not call.challenge]
        effects = [call for call in calls if call.effect]
        assert len(effects) <= 1
        if effects:
            late = [c for c in calls if c.method == "DELETE" and c.at > effects[0].at]
            assert late == []

    async def check_record(self) -> None:
        """What `audit verify` checks, without another process for each environment."""
        database = Database(self.database_url)
        try:
            assert await AuditLog(database).verify() == []
        finally:
            await database.close()

    async def verify(self) -> None:
        """Check the record as an operator would."""
        ran = await run_command("audit", "verify", DATABASE_URL=self.database_url)
        assert ran.code == 0, ran.err


@asynccontextmanager
async def opened(
    database_url: str,
    *,
    mode: Mode = "socket",
    approvals: int = 0,
    settings: SlackSettings | None = None,
    timings: Timings | None = SHORT_PROCESS_TIMINGS,
) -> AsyncIterator[ProcessEnvironment]:
    """Open both fake servers; every bot that was started ends with them."""
    async with FakeAtlasServer() as atlas, FakeSlackServer(settings=settings) as slack:
        env = ProcessEnvironment(
            slack=slack,
            atlas=atlas,
            database_url=database_url,
            mode=mode,
            approvals=approvals,
            timings=timings,
        )
        with env.stack:
            yield env


def turn_to_start() -> asyncio.Semaphore:
    """Limit how many bots start at once: else all of them would be ready late."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(MAX_CONCURRENT_STARTS))


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def state_of(message: Json) -> str:
    """The state in a message's metadata; empty for messages of other kinds."""
    metadata = message.get("metadata") or {}
    return str((metadata.get("event_payload") or {}).get("state") or "")


def is_reply(message: Json) -> bool:
    return bool(message.get("thread_ts", message["ts"]) != message["ts"])


async def until(predicate: Callable[[], object], seconds: float = 10.0) -> None:
    """Look every few milliseconds until `predicate` holds; raises `TimeoutError`."""
    for _ in range(round(seconds / POLL_INTERVAL)):
        if predicate():
            return
        await asyncio.sleep(POLL_INTERVAL)
    raise TimeoutError
