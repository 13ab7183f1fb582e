"""Delivers the outbox: one message a download, edited while it is behind, then its replies."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import JobRef
from bot.cancellation.facts import Facts, facts_of
from bot.services.projects import Projects
from bot.slack import message
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    ContentRefused,
    MessageGone,
    RateLimited,
    SlackError,
    SlackRejected,
)
from bot.slack.links import Links
from bot.slack.pace import Pace
from bot.slack.replies import reply_message
from bot.storage.outbox_store import Delivery, OutboxStore, Reply
from bot.tasks import cancel_and_wait, log_errors, wait_up_to

POLL = 1.0  #: seconds between two looks, when nothing wakes the outbox
BATCH = 500  #: downloads in one look: a channel that takes no post must not hide the others
CHANNEL_PAUSE = 30.0  #: seconds between two tries in a channel that takes no post
ERROR_PAUSE = 2.0  #: seconds after another error of Slack
#: The namespace of `client_msg_id`: Slack posts a message with a known one only once.
NAMESPACE = uuid.UUID("5f0c3c55-6d0b-4d6c-9f5e-1f1a9f6f4a10")

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class Outbox:
    """The worker. Messages of different downloads are delivered side by side."""

    store: OutboxStore
    client: AsyncWebClient
    projects: Projects
    links: Links
    is_active: Callable[[], bool]  #: whether this process holds the lease: else nothing is sent
    now: Callable[[], datetime]
    _: KW_ONLY
    on_dropped: Callable[[], None] = lambda: None
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._pace = Pace(self.monotonic)
        self._failing: set[str] = set()  # channels that take no post
        self._tasks: dict[JobRef, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Deliver now what a transaction has written."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        try:
            while True:
                self._wake.clear()
                with log_errors("outbox not read"):
                    await self.deliver()
                await wait_up_to(POLL, self._wake)
        finally:
            await cancel_and_wait(*self._tasks.values())

    async def deliver(self) -> None:
        """Begin to deliver everything that is due; a slow download holds no other one up."""
        for delivery in await self.store.due(BATCH):
            ref = delivery.download.ref
            if ref not in self._tasks:
                task = asyncio.create_task(self._deliver(delivery), name=f"deliver {ref.job_id}")
                self._tasks[ref] = task
                task.add_done_callback(partial(self._done, ref))

    async def idle(self) -> None:
        """Wait until nothing is being delivered."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _done(self, ref: JobRef, _task: "asyncio.Task[None]") -> None:
        self._tasks.pop(ref, None)

    async def _deliver(self, delivery: Delivery) -> None:
        """Post or edit the message, then post its replies in order."""
        project = self.projects.get_or_none(delivery.download.ref.project_id)
        if project is None:
            return
        policy = project.policies.of(delivery.download.ref.cluster_name)
        facts = facts_of(delivery.download, delivery.requests, policy)
        with log_errors("message not delivered", job=delivery.download.ref.job_id):
            place: tuple[str, str] | None = None
            if delivery.needs_message:
                place = await self._show(delivery, facts, project.name)
            elif delivery.download.channel and delivery.download.ts:
                place = delivery.download.channel, delivery.download.ts
            if place is None:
                return
            for reply in delivery.replies:
                if not await self._reply(place, reply, facts):
                    return

    async def _show(self, delivery: Delivery, facts: Facts, project: str) -> tuple[str, str] | None:
        """Let Slack show the message as it is now; return its place, or None for later."""
        download = delivery.download
        built = message.message(facts, project, self.links, self.now())
        if download.channel is None:
            return None
        if download.ts is None:
            built = message.with_mentions(built, message.mentioned_at_post(facts))
            key = f"message {download.ref.project_id} {download.ref.job_id} {delivery.posts}"
            arguments = {**built, "channel": download.channel, "client_msg_id": _id(key)}
            answer = await self._call(
                "chat.postMessage", download.channel, arguments, facts, project
            )
            if answer is None:
                return None
            place = str(answer.get("channel") or download.channel), str(answer["ts"])
        else:
            place = download.channel, download.ts
            arguments = {**built, "channel": place[0], "ts": place[1]}
            if await self._edit(delivery, arguments, facts, project) is None:
                return None
        await self.store.message_shown(download.ref, delivery.wanted_version, *place)
        return place

    async def _edit(
        self, delivery: Delivery, arguments: dict[str, Any], facts: Facts, project: str
    ) -> Mapping[str, Any] | None:
        try:
            return await self._call("chat.update", arguments["channel"], arguments, facts, project)
        except MessageGone as error:
            log.warning("message is posted anew", job=delivery.download.ref.job_id, why=str(error))
            await self.store.message_lost(delivery.download.ref)
            self.wake()
            return None

    async def _reply(self, place: tuple[str, str], reply: Reply, facts: Facts) -> bool:
        """Post a reply; False where the next ones must wait for it."""
        channel, ts = place
        arguments = {
            **reply_message(reply, facts, self.now()),
            "channel": channel,
            "thread_ts": ts,
            "reply_broadcast": reply.is_broadcast,
            "client_msg_id": _id(f"reply {reply.id}"),
        }
        try:
            answer = await self._call("chat.postMessage", channel, arguments)
        except MessageGone:
            # The thread's message was deleted: its next edit finds that out, and posts it anew.
            await self.store.message_outdated(facts.download.ref)
            return False
        except SlackRejected as error:
            log.warning("reply dropped", job=facts.download.ref.job_id, why=str(error))
            self.on_dropped()
            await self.store.reply_done(reply.id, str(error))
            return True
        if answer is None:
            return False
        await self.store.reply_done(reply.id)
        return True

    async def _call(
        self,
        method: str,
        channel: str,
        arguments: dict[str, Any],
        facts: Facts | None = None,
        project: str = "",
    ) -> Mapping[str, Any] | None:
        """Call Slack unless the channel must wait; None for later.

        Raises `MessageGone` and `SlackRejected`. Where Slack refuses the content, a short text is
        sent in its place.
        """
        if not (self.is_active() and self._pace.may_call(method, channel)):
            return None
        try:
            answer = await self._send(method, arguments, facts, project)
        except RateLimited as error:
            self._pace.pause(method, channel, error.seconds)
        except CannotPost as error:
            self._report(channel, error)
            self._pace.pause(method, channel, CHANNEL_PAUSE)
        except (MessageGone, SlackRejected):
            raise
        except SlackError as error:
            log.warning("Slack did not take a message", method=method, why=str(error))
            self._pace.pause(method, channel, ERROR_PAUSE)
        else:
            self._failing.discard(channel)
            return answer
        return None

    async def _send(
        self, method: str, arguments: dict[str, Any], facts: Facts | None, project: str
    ) -> Mapping[str, Any]:
        try:
            answer = await self.client.api_call(method, json=arguments)
        except AlreadyPosted as error:
            raise SlackRejected(error.code) from error
        except ContentRefused as error:
            log.warning("Slack refused a message's blocks", why=str(error))
            answer = await self.client.api_call(method, json=_short(arguments, facts, project))
        data = answer.data
        return data if isinstance(data, Mapping) else {}

    def _report(self, channel: str, error: CannotPost) -> None:
        """Warn once of a channel that takes no post."""
        emit = log.info if channel in self._failing else log.error
        emit("channel takes no post: tried again", channel=channel, why=str(error))
        self._failing.add(channel)


def _id(key: str) -> str:
    return str(uuid.uuid5(NAMESPACE, key))


def _short(arguments: dict[str, Any], facts: Facts | None, project: str) -> dict[str, Any]:
    """Return the call with a short text in place of blocks that Slack refuses."""
    kept = {name: value for name, value in arguments.items() if name not in {"blocks", "metadata"}}
    if facts is None:
        return {**kept, "text": str(arguments["text"])[:500]}
    return {**kept, **message.short_message(facts, project), "blocks": []}
