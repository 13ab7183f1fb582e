"""Delivers the outbox: one message a download, edited while it is behind, then its replies."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.atlas import JobRef
from bot.cancellation.facts import Facts, facts_of
from bot.services.projects import Projects
from bot.slack import blockkit, message
from bot.slack.errors import (
    AlreadyPosted,
    CannotPost,
    ContentRefused,
    MessageGone,
    RateLimited,
    SlackError,
    SlackRejected,
    ThreadClosed,
)
from bot.slack.links import Links
from bot.slack.pace import Pace
from bot.slack.replies import is_late, reply_message
from bot.storage.outbox_store import Delivery, OutboxStore, Reply, Waiting
from bot.tasks import cancel_and_wait, log_errors, wait_up_to

POLL = 1.0  #: seconds between two looks, when nothing wakes the outbox
BATCH = 500  #: downloads in one look
#: Seconds of a turn; in the last one the oldest come first, which new ones else might overtake
#: for ever.
TURN = 10.0
CHANNEL_PAUSE = 30.0  #: seconds between two tries in a channel that takes no post
REFUSED_PAUSE = 30.0  #: seconds between two tries of a message that Slack refuses
ERROR_PAUSE = 2.0  #: seconds after another error of Slack
SHORT_REPLY = 500  #: characters of a reply without blocks
FIRST_VERSION = 1  #: of a message
#: The namespace of `client_msg_id`: Slack posts a message with a known one only once.
NAMESPACE = uuid.UUID("5f0c3c55-6d0b-4d6c-9f5e-1f1a9f6f4a10")
#: What Slack refuses for good; `_send` has tried a short text then.
REFUSALS = (ContentRefused, SlackRejected)
POST, EDIT = "chat.postMessage", "chat.update"
Arguments: TypeAlias = dict[str, Any]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a download's message is."""

    channel: str
    ts: str
    is_confirmed: bool = False  #: whether Slack just took a post or an edit of it


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

    def __post_init__(self) -> None:
        self._wake = asyncio.Event()
        self._pace = Pace(self.monotonic)
        self._started_at = self.monotonic()
        self._failing: set[str] = set()  # channels that take no post
        self._unknown: set[str] = set()  # projects that the settings do not name
        self._held_until: dict[JobRef, float] = {}  # messages that failed
        self._new_ids: set[JobRef] = set()  # messages whose next post is the first with its id
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
        """Begin to deliver what Slack takes now; what it does not take holds nothing else up.

        In a channel the downloads with an open request come first, which need people, and then the
        newest, which can still be cancelled.
        """
        now = self.monotonic()
        self._held_until = {ref: until for ref, until in self._held_until.items() if until > now}
        policies = {project.id: project.policies.default for project in self.projects}
        channels = {id_: policy.channel for id_, policy in policies.items() if policy.channel}
        is_turn_of_oldest = (now - self._started_at) % TURN >= TURN - POLL
        for delivery in await self.store.due(
            BATCH, self._waiting(), channels, oldest_first=is_turn_of_oldest
        ):
            ref = delivery.download.ref
            task = asyncio.create_task(self._deliver(delivery), name=f"deliver {ref.job_id}")
            self._tasks[ref] = task
            task.add_done_callback(partial(self._done, ref))

    def _waiting(self) -> Waiting:
        in_delivery = {ref for ref, task in self._tasks.items() if not task.done()}
        return Waiting(
            downloads={*in_delivery, *self._held_until},
            projects=self._unknown,
            posts=self._pace.closed_channels(POST),
            threads=self._pace.closed_threads(POST),
            edits=self._pace.closed_channels(EDIT),
            every_edit=self._pace.is_used_up(EDIT),
        )

    async def idle(self) -> None:
        """Wait until nothing is being delivered."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    def _done(self, ref: JobRef, _task: "asyncio.Task[None]") -> None:
        self._tasks.pop(ref, None)

    def _hold(self, ref: JobRef, seconds: float) -> None:
        self._held_until[ref] = self.monotonic() + seconds

    async def _deliver(self, delivery: Delivery) -> None:
        """Post or edit the message, then post its replies in order."""
        ref = delivery.download.ref
        project = self.projects.get_or_none(ref.project_id)
        if project is None:
            self._report_unknown(ref.project_id)
            return
        facts = facts_of(
            delivery.download, delivery.requests, project.policies.of(ref.cluster_name)
        )
        with log_errors("message not delivered", job=ref.job_id):
            place = await self._show(delivery, facts, project.name)
            if place is None:
                return
            for reply in delivery.replies:
                if not await self._reply(place, reply, facts):
                    return
            return
        self._hold(ref, ERROR_PAUSE)

    async def _show(self, delivery: Delivery, facts: Facts, project: str) -> Place | None:
        """Let Slack show the message as it is now; return its place, None where it has none yet."""
        download = delivery.download
        place = Place(download.channel, download.ts) if download.channel and download.ts else None
        is_new_id = False
        if not delivery.needs_message:
            return place
        built = message.message(facts, project, self.links, self.now())
        short = {**message.short_message(facts, project), "blocks": []}
        try:
            if place:
                has_moved = facts.policy.channel not in {None, place.channel}
                shown = await self._edit(place, built, short, has_moved=has_moved)
            else:
                is_new_id = download.ref in self._new_ids
                self._new_ids.discard(download.ref)
                shown = await self._post(delivery, facts, built, short)
        except (MessageGone, AlreadyPosted) as error:
            log.warning("message is posted again", job=download.ref.job_id, why=str(error))
            await self.store.message_lost(download.ref)
            self._new_ids.add(download.ref)
            self.wake()
            return None
        except REFUSALS as error:
            log.warning("Slack refuses a message", job=download.ref.job_id, why=str(error))
            self._hold(download.ref, REFUSED_PAUSE)
            return place
        if shown is None:  # the edit has to wait; replies, which notify people, need not
            return place
        # Slack keeps the first version of a message whose post is repeated: an edit follows. Not
        # after the first post with an id: where Slack takes no edits, that would post for ever.
        version = delivery.wanted_version if place or is_new_id else FIRST_VERSION
        await self.store.message_shown(download.ref, version, shown.channel, shown.ts)
        return shown

    async def _post(
        self, delivery: Delivery, facts: Facts, built: Arguments, short: Arguments
    ) -> Place | None:
        # Not the channel of an earlier policy: the bot may never be able to post there.
        ref, channel = delivery.download.ref, facts.policy.channel or delivery.download.channel
        mentioned = message.mentioned_at_post(facts, is_repost=delivery.posts > 0)
        key = f"message {ref.project_id} {ref.job_id} {delivery.posts}"
        where = {"channel": channel, "client_msg_id": _id(key)}
        texts = (message.with_mentions(text, mentioned) | where for text in (built, short))
        answer = await self._call(POST, *texts)
        if answer is None:
            return None
        # A direct message gets a channel of its own.
        return Place(str(answer.get("channel") or channel), str(answer["ts"]), is_confirmed=True)

    async def _edit(
        self, place: Place, built: Arguments, short: Arguments, *, has_moved: bool
    ) -> Place | None:
        where = {"channel": place.channel, "ts": place.ts}
        texts = (built | where, short | where)
        answer = await self._call(EDIT, *texts, has_moved=has_moved)
        return None if answer is None else replace(place, is_confirmed=True)

    async def _reply(self, place: Place, reply: Reply, facts: Facts) -> bool:
        """Post a reply; False where the next ones must wait for it."""
        where = {
            "channel": place.channel,
            "thread_ts": place.ts,
            "reply_broadcast": reply.is_broadcast and not is_late(reply),
            "client_msg_id": _id(f"reply {reply.id}"),
        }
        built = reply_message(reply, facts, self.now()) | where
        short = {"text": blockkit.cut(built["text"], SHORT_REPLY)} | where
        try:
            answer = await self._call(POST, built, short)
        except AlreadyPosted:
            answer = {}
        except MessageGone as error:
            if not place.is_confirmed:
                # The message was perhaps deleted: an edit shows that, and it is posted again.
                await self.store.message_outdated(facts.download.ref)
                return False
            return await self._drop(reply, facts, error)
        except REFUSALS as error:
            return await self._drop(reply, facts, error)
        if answer is None:
            return False
        await self.store.reply_done(reply.id)
        return True

    async def _drop(self, reply: Reply, facts: Facts, error: SlackError) -> bool:
        """Give a reply up that Slack refuses for good: the next ones must not wait for it."""
        log.error("reply dropped", job=facts.download.ref.job_id, why=str(error))
        self.on_dropped()
        await self.store.reply_done(reply.id, str(error))
        return True

    async def _call(
        self, method: str, arguments: Arguments, short: Arguments, *, has_moved: bool = False
    ) -> Mapping[str, Any] | None:
        """Call Slack unless the channel or the thread must wait; None for later.

        `has_moved` says that today's settings name another channel than that of the message.
        Raises `MessageGone`, `AlreadyPosted`, and `REFUSALS` where also the short text is refused.
        """
        channel, thread = str(arguments["channel"]), str(arguments.get("thread_ts") or "")
        if not (self.is_active() and self._pace.may_call(method, channel, thread)):
            return None
        is_taken = False
        try:
            answer = await self._send(method, arguments, short)
            is_taken = True
        except RateLimited as error:
            self._pace.pause(method, channel, error.seconds)
        except ThreadClosed as error:  # the channel may take all other posts
            log.warning("thread takes no reply: tried again", channel=channel, why=str(error))
            self._pace.pause(method, channel, CHANNEL_PAUSE, thread)
        except CannotPost as error:
            if has_moved:
                raise MessageGone(error.code) from error
            self._report_failing(channel, error)
            self._pace.pause(method, channel, CHANNEL_PAUSE)
        except (MessageGone, AlreadyPosted, *REFUSALS):
            raise
        except SlackError as error:  # perhaps Slack has it: the next try has the same id
            log.warning("Slack did not take a message", method=method, why=str(error))
            self._pace.pause(method, channel, ERROR_PAUSE)
        else:
            self._failing.discard(channel)
            return answer
        finally:
            if self._pace.ended(method, channel, is_taken=is_taken):
                self.wake()
        return None

    async def _send(self, method: str, arguments: Arguments, short: Arguments) -> Mapping[str, Any]:
        """Send a message, or its short text where Slack refuses its content."""
        try:
            answer = await self.client.api_call(method, json=arguments)
        except REFUSALS as error:
            log.warning("Slack refuses content: a short text is sent", why=str(error))
            answer = await self.client.api_call(method, json=short)
        data = answer.data
        return data if isinstance(data, Mapping) else {}

    def _report_failing(self, channel: str, error: CannotPost) -> None:
        """Log an error once for a channel that takes no post."""
        emit = log.info if channel in self._failing else log.error
        emit("channel takes no post: tried again", channel=channel, why=str(error))
        self._failing.add(channel)

    def _report_unknown(self, project_id: str) -> None:
        if project_id not in self._unknown:  # the next look leaves its rows out
            self._unknown.add(project_id)
            log.warning("messages wait: the settings do not name the project", project=project_id)


def _id(key: str) -> str:
    return str(uuid.uuid5(NAMESPACE, key))
