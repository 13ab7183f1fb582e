"""Delivers the posts of the outbox to Slack and records the results."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.errors import RightsNotChecked, StorageError
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Request
from bot.cancellation.posts import ANNOUNCEMENTS, JobPost, Post, PostKind, RequestPost
from bot.log_config import bind_to_log
from bot.slack import blockkit
from bot.slack.card.replies import without_card
from bot.slack.channels import ChannelStatus
from bot.slack.errors import (
    MAX_RETRY_AFTER,
    CallLimits,
    CannotPost,
    InvalidToken,
    MessageNotEditable,
    NotCalled,
    SlackError,
    SlackRejected,
)
from bot.slack.outbox.delivery import MAX_BACKOFF, Action, RetryLater, next_action, reason_to_move
from bot.slack.outbox.messages import Message, MessageBuilder, Undeliverable, Unneeded
from bot.slack.outbox.rate_limits import RateLimits, longest_wait
from bot.slack.plain_text import send_simplified
from bot.storage.outbox_store import OutboxStore
from bot.tasks import cancel_and_wait, log_errors, wait_up_to
from bot.timings import DEFAULT_TIMINGS, Timings

log = structlog.get_logger(__name__)

#: Posts about requests that are delivered at the same time. Those of a busy channel wait for up to
#: `MAX_WAIT`, about three of each: several busy channels must leave room for a card in another one.
MAX_CONCURRENT_POSTS = 24
MAX_CONCURRENT_ANNOUNCEMENTS = 1  #: so that they keep their order and delay no card
MAX_CONCURRENT_DIRECT = 4  #: few, so that no card and no outcome waits for direct messages
#: Seconds without further announcements in a channel that refused one: it may be open again soon.
REFUSED_CHANNEL_PAUSE = 10.0
CHANNEL_AGE = 1.0  #: seconds for which it counts that a channel takes posts, or none
RECORD_BACKOFFS = (0.2, 1.0, 3.0)  #: seconds between attempts to record a delivery

NAMES = dict.fromkeys((PostKind.DIRECT, PostKind.COPY), "direct message")  #: in the log


@dataclass(eq=False)
class Outbox:
    """The worker of the replica that leads."""

    store: OutboxStore
    client: AsyncWebClient
    owner: str  #: the name of this process, for the claims
    messages: MessageBuilder
    channels: ChannelStatus
    _: KW_ONLY
    #: Sends a post to approvers that its channel does not take, if it is one of the bot's own.
    send_directly: Callable[[Post], Awaitable[None]]
    leads: Callable[[], bool] = lambda: True  #: whether this process still leads
    #: Called when a post is dropped, except direct messages to approvers.
    on_drop: Callable[[], None] = lambda: None
    limits: CallLimits = field(default_factory=CallLimits)
    #: Called with a job that started during the watch, once Slack has taken its announcement.
    on_announced: Callable[[Job], object] = lambda _job: None
    timings: Timings = DEFAULT_TIMINGS
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        self._wakeup = asyncio.Event()
        self._in_progress: dict[asyncio.Task[None], Post] = {}
        self._stopping = False
        self._told = deque[str](maxlen=500)  # requests without a card whose requesters know it
        self._rate_limits = RateLimits(self.timings, self.monotonic)

    def wake(self) -> None:
        """Read the outbox now: a post was enqueued."""
        self._wakeup.set()

    async def run(self) -> None:
        """Deliver posts until `stop`; posts that are due then are still delivered."""
        self._rate_limits = RateLimits(self.timings, self.monotonic)
        await self.limits.read_pause("chat.postMessage")  # of the leader before
        while True:
            self._wakeup.clear()
            await self._start_due()
            if self._stopping and not self._in_progress:
                return
            await wait_up_to(self.timings.outbox_poll_interval, self._wakeup)
            await asyncio.sleep(0)  # a run that the same commit starts claims its request first

    async def stop(self, running: asyncio.Task[None], seconds: float) -> None:
        """Let `running` (of `run`) deliver what is due for up to `seconds`, then end it."""
        self._stopping = True
        self.wake()
        if self.leads():
            await asyncio.wait({running}, timeout=seconds)
        await cancel_and_wait(running, *self._in_progress)

    async def deliver(self, post: Post) -> None:
        """Deliver one claimed post and record the result; raises no error of Slack's."""
        try:
            message = self.messages.build(post)
        except Undeliverable as reason:
            await self._drop(post, str(reason))
            return
        except Unneeded as reason:
            await self.store.drop(post)
            log.info("post not needed", post=post.id, kind=post.kind, why=str(reason))
            return
        if not message.channel:
            await self._send_to_approvers(post)
            return
        if (seconds := self._rate_limits.take_turn(post, message)) > longest_wait(post):
            await self._postpone(post, message, seconds)
            return
        await self.sleep(seconds)
        if not self.leads():
            log.warning("post left to the replica that leads now", post=post.id)
            return
        if error := await self._send_and_record(post, message, post.client_msg_id):
            is_new = post.kind in ANNOUNCEMENTS and not post.is_edit
            if is_new and isinstance(error, CannotPost):
                self._rate_limits.block(message.channel, REFUSED_CHANNEL_PAUSE)
            await self._carry_out(post, message, error)

    async def _send_to_approvers(self, post: Post) -> None:
        """Send approvers a card of the command line, where the settings name no channel for it."""
        try:
            await self.send_directly(post)
        except RightsNotChecked as error:
            await self.store.retry_later(post, MAX_BACKOFF, str(error))
        else:
            await self.store.drop(post)

    async def _postpone(self, post: Post, message: Message, seconds: float) -> None:
        """Release a post for `seconds`; approvers get it now if its channel takes no posts."""
        seconds = min(seconds, MAX_RETRY_AFTER)
        if message.ts is not None:
            self._rate_limits.postpone_edit(post, seconds)
        elif not await self.channels.takes_posts(message.channel, CHANNEL_AGE):
            await self.send_directly(post)
        await self.store.retry_later(post, seconds)

    async def _start_due(self) -> None:
        """Claim as many posts as may be in progress, and start their delivery."""
        announcements = sum(post.kind in ANNOUNCEMENTS for post in self._in_progress.values())
        free = MAX_CONCURRENT_POSTS - (len(self._in_progress) - announcements)
        direct = sum(map(_is_direct, self._in_progress.values()))
        free_direct = max(0, min(free, MAX_CONCURRENT_DIRECT - direct))
        free_announcements = MAX_CONCURRENT_ANNOUNCEMENTS - announcements
        held = [post.id for post in self._in_progress.values()]
        with log_errors("outbox cannot be read"):  # the next read may succeed
            claimed = await self.store.claim(
                self.owner, free, free_announcements, free_direct, held=held
            )
            for post in claimed:
                task = asyncio.create_task(self._supervise(post), name=f"post {post.id}")
                self._in_progress[task] = post
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._in_progress[task]
        self.wake()  # the next post of the same request may be free now

    async def _supervise(self, post: Post) -> None:
        request_id = post.request.id if isinstance(post, RequestPost) else None
        # Without a record the claim runs out, and the next owner repeats the post with the same id.
        not_recorded = log_errors("delivery not recorded", post=post.id)
        with bind_to_log(request_id), not_recorded:
            try:
                await self.deliver(post)
            except StorageError:
                raise
            except Exception:
                log.exception("post cannot be delivered", post=post.id, kind=post.kind)
                await self.store.retry_later(post, MAX_BACKOFF, "internal error")

    async def _send_and_record(
        self, post: Post, message: Message, client_msg_id: str | None = None
    ) -> SlackError | None:
        """Send the message and record the delivery, or return Slack's error."""
        extra: dict[str, Any] = {"client_msg_id": client_msg_id} if client_msg_id else {}

        async def call(content: Mapping[str, Any]) -> tuple[str, str]:
            if message.ts is not None:
                # Without these, the message would keep its blocks and its metadata.
                place: dict[str, Any] = {"channel": message.channel, "ts": message.ts}
                edited = {"blocks": [], "metadata": {}, **content}
                with self._rate_limits.edit(post) as budget:
                    await self.limits.call(self.client.chat_update, budget, **place, **edited)
                return message.channel, message.ts
            options = {"unfurl_links": False, "unfurl_media": False, **extra, **content}
            post_message = self.client.chat_postMessage
            answer = await self.limits.call(post_message, channel=message.channel, **options)
            return str(answer.get("channel") or message.channel), str(answer.get("ts") or "")

        try:
            channel, ts = await send_simplified(call, message.content, is_edit=post.is_edit)
        except SlackError as error:
            self._report_answer(message, error)
            return error
        self._report_answer(message, None)
        await self._mark_sent(post, channel, ts)
        return None

    def _report_answer(self, message: Message, error: SlackError | None) -> None:
        if message.ts is None:
            is_reply = "thread_ts" in message.content
            self.channels.record_answer(message.channel, error, is_reply=is_reply)

    async def _carry_out(self, post: Post, message: Message, error: SlackError) -> None:
        """Log why a post was not delivered, and do what follows from that."""
        if isinstance(error, NotCalled):
            await self._postpone(post, message, error.seconds)
            return
        spare = self.messages.spare_channel(post)
        action = next_action(post, message.channel, error, self.jitter(), spare)
        refused = isinstance(error, (InvalidToken, CannotPost, MessageNotEditable, SlackRejected))
        report = log.error if refused and isinstance(action, RetryLater) else log.warning
        about = {"post": post.id, "kind": post.kind, **_subject(post)}
        report("post not delivered", error=error.sentence, next=str(action), **about)
        if isinstance(error, (CannotPost, SlackRejected)) and message.ts is None:
            await self.send_directly(post)
        match action, post:
            case RetryLater(seconds), _:
                await self._tell_requester(post, message, error)
                await self.store.retry_later(post, seconds, error.sentence)
            case Action.MOVE_CARD, RequestPost():
                because = reason_to_move(post.request, self.messages.policy(post), error)
                await self.store.move_card(post, spare or post.request.requester, because)
            case Action.NOTIFY_REQUESTER, RequestPost():
                direct = self.messages.direct_reply(post)
                if again := await self._send_and_record(post, direct):
                    await self._carry_out(post, direct, again)
            case Action.DELIVERED, _ if post.kind is PostKind.CARD:
                # Without an id: the thread and the updates of a card need its place.
                if again := await self._send_and_record(post, message):
                    await self.store.retry_later(post, MAX_BACKOFF, again.sentence)
            case Action.DELIVERED, _:
                await self._mark_sent(post, message.channel, message.ts or "")
            case _:
                await self._drop(post, error.sentence)

    async def _tell_requester(self, post: Post, message: Message, error: SlackError) -> None:
        """Tell a requester once, where they asked, that their direct message has no card either."""
        if not (isinstance(post, RequestPost) and post.kind is PostKind.CARD):
            return
        request, is_refused = post.request, isinstance(error, (CannotPost, SlackRejected))
        is_last = message.ts is None and message.channel == request.requester
        if not (is_refused and is_last) or request.id in self._told:
            return
        self._told.append(request.id)
        content = blockkit.message(without_card(request, error.code))
        place: dict[str, Any] = {"channel": request.ask.asked_in, "user": request.requester}
        try:
            await self.client.chat_postEphemeral(**place, **content)
        except SlackError as refused:
            log.warning("requester not told", why=refused.sentence)

    async def _drop(self, post: Post, why: str) -> None:
        await self.store.drop(post, why)
        if _is_direct(post):
            log.warning("direct message not delivered", post=post.id, why=why, **_subject(post))
            return
        self.on_drop()
        log.error("post dropped", post=post.id, kind=post.kind, why=why, **_subject(post))

    async def _mark_sent(self, post: Post, channel: str, ts: str) -> None:
        """Record the delivery; several attempts avoid that the message is sent again."""
        for seconds in RECORD_BACKOFFS:
            try:
                await self.store.mark_sent(post, channel, ts)
                break
            except StorageError as error:
                log.warning("delivery not recorded yet", error=str(error))
                await self.sleep(seconds)
        else:
            await self.store.mark_sent(post, channel, ts)
        match post:
            case (
                JobPost(kind=PostKind.ANNOUNCEMENT, recipient=None, place=None, job=job)
                | RequestPost(kind=PostKind.CARD, place=None, request=Request(by_bot=True), job=job)
            ) if not job.was_running:
                self.on_announced(job)
        done = f"{NAMES.get(post.kind, post.kind)} {'edited' if post.is_edit else 'posted'}"
        log.info(done, channel=channel, ts=ts, **_subject(post))


def _is_direct(post: Post) -> bool:
    """Return whether a post is for one approver, who may take no direct messages."""
    return post.recipient is not None


def _subject(post: Post) -> dict[str, str]:
    """Return the log fields that identify the subject of a post."""
    if isinstance(post, RequestPost):
        state = post.request.state
        return {"state": str(state)} if post.is_edit else {"audit_event": str(post.event)}
    ref = post.job.ref
    job = {"project": ref.project_id, "cluster": ref.cluster_name, "job": ref.job_id}
    return {**job, "state": str(post.job.state)}
