"""Bots as processes on one database, which tests kill and start again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from weakref import WeakKeyDictionary

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import Ack, FakeSlackServer, User
from bot.sandbox.slack import Settings as SlackSettings
from bot.timings import Timings
from tests.acceptance.environment import OPEN_STATES, OUTCOME_TIMEOUT, BotEnvironment, state_of
from tests.support.environ import bot_environ
from tests.support.process import BotProcess, run_command
from tests.support.timings import DATABASE_TIMEOUT, SHORT_PROCESS_TIMINGS

Json = dict[str, Any]

Mode = Literal["socket", "http"]

CHANNEL = "ops"
CLUSTER = "prod-eu"

#: More concurrent starts would make all of them slow.
MAX_CONCURRENT_STARTS = 3


@dataclass(slots=True, kw_only=True)
class ProcessEnvironment(BotEnvironment[BotProcess]):
    """An environment whose bots are processes.

    Attributes:
        submitted: ids of the jobs whose submission was acknowledged without an error.
        more: further settings of the bots.
    """

    database_url: str
    mode: Mode = "socket"
    approvals: int = 0
    timings: Timings = SHORT_PROCESS_TIMINGS
    submitted: list[str] = field(default_factory=list)
    more: Mapping[str, str] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)

    def environment(self) -> dict[str, str]:
        http = self.mode == "http"
        environ = bot_environ(self.slack, self.atlas, self.database_url, http=http)
        return environ | {"BOT_APPROVALS": str(self.approvals), **self.more}

    def spawn(self) -> BotProcess:
        """Start one more bot without waiting for it."""
        self.bots.append(self.stack.enter_context(BotProcess(self.environment(), self.timings)))
        return self.bot

    async def start(self) -> BotProcess:
        """Start one more bot and wait until it is ready."""
        async with start_slot():
            bot = self.spawn()
            await bot.ready()
        self.route(bot)
        return bot

    def route(self, bot: BotProcess) -> None:
        """In HTTP mode, let Slack post to this bot."""
        if self.mode == "http":
            self.slack.http.request_url = f"{bot.url}/slack/events"

    def person(self, number: int) -> str:
        """Return the name of another full member, so that many dialogs can be open at once."""
        name = f"member-{number}"
        user_id = f"U0MEMBER{number:03d}"
        if user_id not in self.slack.workspace.users:
            team = self.slack.workspace.team.id
            self.slack.workspace.add(User(id=user_id, name=name, team_id=team))
            self.slack.workspace.channel(CHANNEL).members.add(user_id)
        return name

    async def open_dialog_of(self, user: str, job: str, seconds: float = 20.0) -> Json:
        """Send the command and wait for the dialog with its submit button."""
        ack = await self.retry_dispatch(
            lambda: self.send_command(user, f"{CLUSTER} {job}"), seconds
        )
        assert ack.ok, ack

        def shown() -> Json | None:
            view = self.slack.state.view_of(user)
            return view if view and view.get("submit") else None

        view = await self.slack.until(shown, seconds)
        assert view
        return view

    async def retry_dispatch(self, act: Callable[[], Awaitable[Ack]], seconds: float = 20.0) -> Ack:
        """Act once more if Slack had no connection: a busy bot may be reconnecting."""
        ack = await act()
        if self.mode == "socket" and ack.error == "dispatch_failed":
            await self.slack.until(lambda: self.slack.sockets.connections, seconds)
            ack = await act()
        return ack

    async def submit_dialog(self, user: str, job: str) -> Ack:
        """Submit the open dialog; add the job to `submitted` if the ack has no error."""
        ack = await self.slack.people.submits(user, None, {"reason": "wrong cluster"})
        if ack.ok and not ack.errors:
            self.submitted.append(job)
        return ack

    async def request_new_job(self, user: str) -> str:
        """Start a job, submit a request for it, and return the job's id."""
        job = self.new_job_id()
        await self.open_dialog_of(user, job)
        ack = await self.retry_dispatch(lambda: self.submit_dialog(user, job))
        assert ack.ok, ack
        assert ack.errors == {}
        return job

    async def wait_for_card(self, job: str, seconds: float = 20.0) -> Json:
        def found() -> Json | None:
            cards = self.cards(job)
            return cards[0] if cards else None

        card = await self.slack.until(found, seconds)
        assert card
        return card

    def outcomes_of(self, card: Json) -> list[str]:
        """Return the final states of the replies in the card's thread."""
        states = [state_of(reply) for reply in self.slack.state.replies(card)]
        return [state for state in states if state and state not in OPEN_STATES]

    def has_outcome(self, job: str) -> bool:
        """Return whether the job's card and its thread show one final state."""
        cards = self.cards(job)
        return any(self.outcomes_of(card) == [state_of(card)] for card in cards)

    async def wait_for_outcomes(self, seconds: float = OUTCOME_TIMEOUT) -> None:
        """Wait until all submitted jobs have an outcome; raises `TimeoutError` with details."""
        try:
            await self.slack.until(lambda: all(map(self.has_outcome, self.submitted)), seconds)
        except TimeoutError:
            raise TimeoutError(self.describe()) from None

    def describe(self) -> str:
        """Return the states of all submitted jobs, and the end of the newest bot's log."""
        lines = [
            f"{job}: has outcome {self.has_outcome(job)}, "
            + str([(state_of(c), self.outcomes_of(c)) for c in self.cards(job)])
            for job in self.submitted
        ]
        return "\n".join([*lines, self.bot.log[-6000:]])

    async def check_outcomes(self, state: str = "cancelled") -> None:
        """Check all submitted jobs: one card, one outcome, no superfluous DELETE."""
        for job in self.submitted:
            (card,) = self.cards(job)
            assert (state_of(card), self.outcomes_of(card)) == (state, [state]), self.describe()
            self.check_deletes(job)

    def check_deletes(self, job: str) -> None:
        """Check that no DELETE was sent after the one that cancelled the job."""
        calls = [call for call in self.atlas.calls if job in call.path and not call.challenge]
        effects = [call for call in calls if call.effect]
        assert len(effects) <= 1
        if effects:
            late = [c for c in calls if c.method == "DELETE" and c.at > effects[0].at]
            assert late == []

    async def run_audit_verify(self) -> None:
        """Run `audit verify`."""
        ran = await run_command("audit", "verify", DATABASE_URL=self.database_url)
        assert ran.code == 0, ran.err


@asynccontextmanager
async def opened(
    database_url: str,
    *,
    mode: Mode = "socket",
    approvals: int = 0,
    settings: SlackSettings | None = None,
    timings: Timings = SHORT_PROCESS_TIMINGS,
    more: Mapping[str, str] | None = None,
) -> AsyncIterator[ProcessEnvironment]:
    """Open both fake servers; stop all bots at the end."""
    settings = replace(settings or SlackSettings(), trigger_seconds=DATABASE_TIMEOUT)
    async with FakeAtlasServer() as atlas, FakeSlackServer(settings=settings) as slack:
        env = ProcessEnvironment(
            slack=slack,
            atlas=atlas,
            database_url=database_url,
            mode=mode,
            approvals=approvals,
            timings=timings,
            more=more or {},
        )
        with env.stack:
            yield env


def start_slot() -> asyncio.Semaphore:
    """Return this loop's semaphore of concurrent starts."""
    return _start_slots.setdefault(
        asyncio.get_running_loop(), asyncio.Semaphore(MAX_CONCURRENT_STARTS)
    )


_start_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
