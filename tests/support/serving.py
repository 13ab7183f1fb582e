"""The environment of the path tests: bots between the stand-ins, and what people do."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import aiohttp

from bot.sandbox.atlas import PROJECT_ID, Actor, FakeAtlasServer, RestoreJob
from bot.sandbox.atlas.activity import DANA
from bot.sandbox.slack import Ack, FakeSlackServer
from tests.support.environ import bot_environ
from tests.support.process import SERVE, BotProcess, CommandResult, run_command

Json = dict[str, Any]
T = TypeVar("T")

CHANNEL = "C0OPS00001"
OPEN, APPROVE, LET_RUN = "cancel_restore_open", "cancel_restore_approve", "cancel_restore_deny"
#: The events of a request that needs no approval, or that one approval completes.
CANCELLED = [
    "request:created",
    "request:approved",
    "request:cancelling",
    "atlas:cancel_sent",
    "atlas:cancel_answered",
    "request:cancelled",
]
#: Seconds for a step of a path on a busy machine.
PATIENCE = 30.0


@dataclass(eq=False)
class Serving:
    """A fake Slack, a fake Atlas, and the bots between them."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    database_url: str
    stack: contextlib.ExitStack
    settings: dict[str, str] = field(default_factory=dict)
    forks: bool = True  #: whether the bots are forked; else they are executed

    @property
    def environ(self) -> dict[str, str]:
        return bot_environ(self.slack, self.atlas, self.database_url) | {
            "BOT_CHANNEL": CHANNEL,
            **self.settings,
        }

    # The bots

    def begin(self, **settings: str) -> BotProcess:
        """Start a process."""
        program = None if self.forks else SERVE
        return self.stack.enter_context(BotProcess(self.environ | settings, program))

    async def start(self, **settings: str) -> BotProcess:
        """Start a process, and wait until it is active and connected.

        With auto-cancel, also until it watches: a download that starts before is not new.
        """
        bot = self.begin(**settings)
        await self.is_active(bot)
        if "BOT_AUTO_CANCEL_AFTER" in self.environ | settings:
            await self.until(lambda: any("/clusters" in call.path for call in self.atlas.calls))
        return bot

    async def is_active(self, bot: BotProcess) -> None:
        await self.until(lambda: bot.port or bot.code is not None)
        await self.role(bot, "active")

    async def role(self, bot: BotProcess, role: str) -> None:
        """Wait until a process is ready in this role; raises `TimeoutError` with its log."""
        try:
            async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as session:
                while await self._ready_role(bot, session) != role:  # noqa: ASYNC110 - a process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise TimeoutError(f"not {role}:\n{bot.log}") from None

    async def _ready_role(self, bot: BotProcess, session: aiohttp.ClientSession) -> str | None:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(f"{bot.url}/readyz") as answer:
                return str((await answer.json())["role"]) if answer.status == 200 else None
        return None

    async def command(self, *arguments: str, **settings: str) -> CommandResult:
        """Run a command of the program to its end, with the same settings."""
        environ = self.environ | settings
        without_slack = {k: v for k, v in environ.items() if not k.startswith("SLACK_")}
        return await run_command(*arguments, **without_slack)

    async def events(self, job: RestoreJob | None = None) -> list[str]:
        """Return the names of the events so far, oldest first."""
        ran = await self.command("audit")
        lines = [json.loads(line) for line in ran.out.splitlines()]
        if job is not None:
            requests = {line["request"] for line in lines if line.get("job") == job.id}
            lines = [x for x in lines if x["request"] in requests or x.get("job") == job.id]
        return [line["event"] for line in lines]

    # Atlas

    def download(self, cluster: str = "prod-eu", by: Actor = DANA) -> RestoreJob:
        """Start a download now."""
        home = self.atlas.world.projects[PROJECT_ID].clusters[cluster]
        return self.atlas.world.add_job(home, by=by)

    def older(self) -> RestoreJob:
        """Start a download a minute ago."""
        home = self.atlas.world.projects[PROJECT_ID].clusters["staging-eu"]
        return self.atlas.world.add_job(home, now=now() - timedelta(minutes=1))

    def deletes(self, job: RestoreJob) -> int:
        return len(self.atlas.deletes(job.id))

    # Slack

    async def until(self, predicate: Callable[[], T | None], seconds: float = PATIENCE) -> T:
        """Wait until `predicate()` is true, also for what Slack does not tell."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not (value := predicate()):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(self.shown())
            await asyncio.sleep(0.02)
        return value

    def shown(self) -> str:
        """Return the channel and the private sentences as text, for a failing test."""
        people = self.slack.world.workspace.users
        private = [item for who in people for item in self.slack.state.ephemerals(who)]
        found = [*self.slack.state.messages(CHANNEL)[-5:], *private]
        return "\n---\n".join(map(self.slack.state.text_of, found))

    def find(self, job: RestoreJob, channel: str = CHANNEL) -> Json | None:
        """Return the message of a download, or None before it is posted."""
        found = [m for m in self.slack.state.messages(channel) if payload(m).get("job") == job.id]
        return found[-1] if found else None

    async def message(
        self, job: RestoreJob, *states: str, channel: str = CHANNEL, seconds: float = PATIENCE
    ) -> Json:
        """Wait until the message of a download is in one of these states."""

        def in_state() -> Json | None:
            found = self.find(job, channel)
            return found if found and (not states or payload(found)["state"] in states) else None

        return await self.until(in_state, seconds)

    def text(self, thing: Json) -> str:
        return self.slack.state.text_of(thing)

    def replies(self, job: RestoreJob, channel: str = CHANNEL) -> list[str]:
        """Return the texts of the thread."""
        message = self.find(job, channel)
        return [self.text(reply) for reply in self.slack.state.replies(message)] if message else []

    async def reply(self, job: RestoreJob, words: str, channel: str = CHANNEL) -> str:
        """Wait for a reply that contains these words."""
        return await self.until(
            lambda: next((t for t in self.replies(job, channel) if words in t), None)
        )

    def notified(self, words: str) -> frozenset[str]:
        """Return whom the only post or reply with these words notified."""
        (found,) = [n for n in self.slack.world.notifications.all if words in n.text]
        return found.users

    async def opens(self, who: str, message: Json, action: str = OPEN) -> Json:
        """Click a button that opens a dialog, and wait until it is filled in."""
        before = (self.slack.state.view_of(who) or {}).get("id")
        ack = await self.slack.people.clicks(who, message, action)
        assert ack.ok, ack
        return await self.dialog(who, before)

    async def types(self, who: str, text: str, channel: str = "ops") -> Ack:
        """Type the command."""
        return await self.slack.people.types(who, f"#{channel}", f"/cancel-restore {text}".strip())

    async def dialog(self, who: str, not_id: str | None = None) -> Json:
        """Wait until this person sees a dialog that is filled in."""

        def filled() -> Json | None:
            view = self.slack.state.view_of(who)
            is_new = view is not None and view["id"] != not_id
            return view if view and is_new and "Looking up" not in self.text(view) else None

        return await self.until(filled)

    async def submits(self, who: str, view: Json | None = None, **values: object) -> Ack:
        """Submit the dialog."""
        return await self.slack.people.submits(who, view, values)

    async def asks(self, who: str, job: RestoreJob, reason: str = "by mistake") -> None:
        """Ask to cancel a download: click, read, submit."""
        await self.opens(who, await self.message(job))
        ack = await self.submits(who, reason=reason)
        assert ack.ok, ack

    async def approves(self, who: str, job: RestoreJob) -> None:
        message = await self.message(job, "awaiting")
        ack = await self.slack.people.clicks(who, message, APPROVE)
        assert ack.ok, ack

    async def lets_run(self, who: str, job: RestoreJob, reason: str = "it is a drill") -> Ack:
        view = await self.opens(who, await self.message(job), LET_RUN)
        return await self.submits(who, view, reason=reason)

    async def told(self, who: str, words: str, seconds: float = PATIENCE) -> str:
        """Wait until a private message to this person contains these words."""

        def found() -> str | None:
            texts = map(self.text, self.slack.state.ephemerals(who))
            return next((text for text in texts if words in text), None)

        return await self.until(found, seconds)


def payload(message: Json) -> Json:
    """Return the metadata of a message that the bot posted."""
    metadata = message.get("metadata") or {}
    return dict(metadata.get("event_payload") or {})


def buttons(message: Json) -> list[str]:
    """Return the labels of a message's buttons, with the style of a coloured one."""
    elements = [
        element
        for block in message["blocks"]
        if block["type"] == "actions"
        for element in block["elements"]
    ]
    return [
        element["text"]["text"] + (f" ({element['style']})" if "style" in element else "")
        for element in elements
    ]


def now() -> datetime:
    return datetime.now(UTC)


def pause(bot: BotProcess) -> None:
    """Stop a process as SIGSTOP does."""
    os.kill(bot.pid, signal.SIGSTOP)


def resume(bot: BotProcess) -> None:
    os.kill(bot.pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def serving(database_url: str, settings: Mapping[str, str]) -> AsyncIterator[Serving]:
    """Run the stand-ins, and kill the bots at the end."""
    with contextlib.ExitStack() as stack:
        async with FakeSlackServer() as slack, FakeAtlasServer() as atlas:
            for _, job in atlas.world.jobs():  # so that only what a test starts is announced
                job.cancel()
            yield Serving(slack, atlas, database_url, stack, dict(settings))
            stack.close()
