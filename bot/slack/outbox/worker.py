"""Delivers what the ledger says is to be posted or edited, and notes what became of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from bot.cancellation.errors import LedgerError
from bot.cancellation.posts import PostKind
from bot.cancellation.request_context import bind_to_log
from bot.slack.card import replies as card_replies
from bot.slack.card import views as card_views
from bot.slack.errors import CALL_ERRORS, AlreadyPosted, InvalidToken, RateLimited, translate_error
from bot.slack.outbox.delivery import (
    LONGEST_PAUSE,
    Delivered,
    Drop,
    MoveCard,
    RetryLater,
    TellRequester,
    next_action,
    why_moved,
)
from bot.slack.outbox.rate_limiter import ChannelRateLimiter
from bot.slack.outbox.retry_write import retry_write
from bot.slack.outbox.wakeup import Wakeup
from bot.tasks import cancel_and_wait
from bot.timings import DEFAULT_TIMINGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.cancellation.policy import Policy
    from bot.cancellation.posts import Post, Posts
    from bot.cancellation.request_context import RequestTracer
    from bot.slack.errors import SlackError
    from bot.slack.links import Links
    from bot.slack.outbox.delivery import Verdict
    from bot.timings import Timings

log = structlog.get_logger(__name__)

#: How many posts are under way at once; different requests do not wait for each other.
AT_ONCE = 8

#: Seconds that a claimed post may wait for its channel: the call after it takes up to 10, and the
#: claim must not run out before it.
LONGEST_REST = 3.0

#: What the log says of a post that Slack has taken.
SAID = {
    PostKind.CARD: "card posted",
    PostKind.EDIT: "card edited",
    PostKind.REPLY: "reply posted",
}


class Outbox:
    """The delivering end of `Posts`.

    Args:
        posts: the outbox in the ledger.
        client: the Web API, without any repeating of its own.
        owner: this process, for the claims.
        policy_of: the rules of a project, for the approvers on its cards.
        links: where links lead.
        trail: follows each post.
        timings: the interval of polls, and that of messages in a channel.
        sleep: waits between tries.
    """

    def __init__(
        self,
        posts: Posts,
        client: AsyncWebClient,
        owner: str,
        policy_of: Callable[[str], Policy | None],
        links: Links,
        *,
        trail: RequestTracer = bind_to_log,
        timings: Timings = DEFAULT_TIMINGS,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._posts = posts
        self._client = client
        self._owner = owner
        self._policy_of = policy_of
        self._links = links
        self._trail = trail
        self._sleep = sleep
        self._wake = Wakeup(timings.outbox_poll_interval)
        self._under_way: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._pace = ChannelRateLimiter(interval=timings.message_interval)

    def wake(self) -> None:
        """Look at once: something was written."""
        self._wake.call()

    async def run(self) -> None:
        """Deliver until `stop`; what is due then is still delivered."""
        while True:
            self._wake.looking()
            begun = await self._begin()
            if self._stopping and not begun and not self._under_way:
                return
            if not begun:
                await self._wake.wait()

    async def stop(self, running: asyncio.Task[None], seconds: float) -> None:
        """Let `running` (of `run`) deliver what is due, for `seconds` at most, and end it."""
        self._stopping = True
        self.wake()
        await asyncio.wait({running}, timeout=seconds)
        await cancel_and_wait(running, *self._under_way)

    async def deliver(self, post: Post) -> None:
        """Deliver one claimed post, or note what is to become of it; raises nothing of Slack's."""
        if post.kind is PostKind.EDIT and post.request.card is None:
            await self._posts.post_dropped(post, "there is no card to edit")
            return
        if (seconds := self._turn(post)) > LONGEST_REST:
            await self._posts.post_again(post, seconds, "the channel's turn comes later")
            return
        try:
            await self._sleep(seconds)
            channel, ts = await self._send(post)
        except CALL_ERRORS as error:
            await self._cope(post, translate_error(error))
        else:
            await self._note_sent(post, channel, ts)

    async def _begin(self) -> int:
        """Claim as many posts as may be under way, and start them."""
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return 0
        try:
            claimed = await self._posts.claim_posts(self._owner, room)
        except LedgerError as error:
            log.warning("outbox cannot be read", error=error.sentence)
            return 0
        except Exception:  # whatever it is, the next look may work: delivery must not end here
            log.exception("outbox cannot be read")
            return 0
        for post in claimed:
            self._start(post)
        return len(claimed)

    def _start(self, post: Post) -> None:
        task = asyncio.create_task(self._supervised(post), name=f"post {post.id}")
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self.wake()  # the request's next post may be free now

    async def _supervised(self, post: Post) -> None:
        with self._trail(f"post {post.kind}", post.request.id):
            try:
                await self.deliver(post)
            except LedgerError as error:
                # Its claim runs out, and whoever takes it next repeats it under the same id.
                log.warning("delivery not noted", post=post.id, error=error.sentence)
            except Exception:
                log.exception("post cannot be delivered", post=post.id, kind=post.kind)
                await self._give_back(post)

    async def _give_back(self, post: Post) -> None:
        try:
            await self._posts.post_again(post, LONGEST_PAUSE, "internal error")
        except LedgerError as error:
            log.warning("delivery not noted", post=post.id, error=error.sentence)

    def _turn(self, post: Post) -> float:
        """Return the seconds to wait before posting; a turn that comes soon is taken."""
        if post.kind is PostKind.EDIT:
            return 0.0
        seconds = self._pace.due_in(post.request.channel)
        if seconds <= LONGEST_REST:
            self._pace.take(post.request.channel)
        return seconds

    async def _send(self, post: Post) -> tuple[str, str]:
        request = post.request
        if post.kind is PostKind.CARD:
            return await self._post(request.channel, self._card(post), post.client_msg_id)
        if request.card is None:
            return await self._post(
                request.requester, card_replies.message(post), post.client_msg_id
            )
        if post.kind is PostKind.REPLY:
            message = card_replies.message(post) | {"thread_ts": request.card.ts}
            return await self._post(request.card.channel, message, post.client_msg_id)
        await self._client.chat_update(
            channel=request.card.channel, ts=request.card.ts, **self._card(post)
        )
        return request.card.channel, request.card.ts

    async def _post(
        self, channel: str, message: Mapping[str, Any], client_msg_id: str | None
    ) -> tuple[str, str]:
        known: dict[str, Any] = {"client_msg_id": client_msg_id} if client_msg_id else {}
        answer = await self._client.chat_postMessage(
            channel=channel, unfurl_links=False, unfurl_media=False, **known, **message
        )
        return str(answer.get("channel") or channel), str(answer.get("ts") or "")

    def _card(self, post: Post) -> dict[str, Any]:
        policy = self._policy_of(post.request.ref.project_id)
        return card_views.message(post.request, policy.approvers if policy else None, self._links)

    async def _cope(self, post: Post, trouble: SlackError) -> None:
        verdict = next_action(post, trouble)
        _log(post, trouble, verdict)
        if isinstance(trouble, RateLimited):
            self._pace.rest(post.request.channel, trouble.seconds)
        await self._carry_out(post, trouble, verdict)

    async def _carry_out(self, post: Post, trouble: SlackError, verdict: Verdict) -> None:
        match verdict:
            case RetryLater(seconds):
                await self._posts.post_again(post, seconds, trouble.sentence)
            case MoveCard():
                because = why_moved(post, trouble)
                await self._posts.move_card(post, post.request.requester, because)
            case TellRequester():
                await self._tell_requester(post)
            case Delivered():
                await self._posted_before(post, trouble)
            case Drop():
                await self._posts.post_dropped(post, trouble.sentence)

    async def _tell_requester(self, post: Post) -> None:
        """Say it to the requester alone, since the thread takes it no more."""
        try:
            channel, ts = await self._post(post.request.requester, card_replies.message(post), None)
        except CALL_ERRORS as error:
            meaning = translate_error(error)
            verdict = next_action(post, meaning)
            lasting = isinstance(verdict, (TellRequester, Drop))
            final: Verdict = Drop() if lasting else verdict
            await self._carry_out(post, meaning, final)
        else:
            await self._note_sent(post, channel, ts)

    async def _posted_before(self, post: Post, trouble: SlackError) -> None:
        """Note as sent what Slack says it has; but a card is of no use unless we know where."""
        if post.kind is not PostKind.CARD:
            where = post.request.card.channel if post.request.card else post.request.requester
            await self._note_sent(post, where, "")
            return
        try:
            channel, ts = await self._post(post.request.channel, self._card(post), None)
        except CALL_ERRORS as error:
            again = translate_error(error)
            repeated = trouble if isinstance(again, AlreadyPosted) else again
            await self._posts.post_again(post, LONGEST_PAUSE, repeated.sentence)
        else:
            await self._note_sent(post, channel, ts)

    async def _note_sent(self, post: Post, channel: str, ts: str) -> None:
        await retry_write(lambda: self._posts.post_sent(post, channel, ts), self._sleep)
        log.info(SAID[post.kind], tells=str(post.event), channel=channel, ts=ts)


def _log(post: Post, trouble: SlackError, verdict: Verdict) -> None:
    level = "error" if isinstance(trouble, InvalidToken) or isinstance(verdict, Drop) else "warning"
    say = log.error if level == "error" else log.warning
    say(
        "post not taken",
        post=post.id,
        kind=post.kind,
        trouble=trouble.sentence,
        next=type(verdict).__name__,
    )
