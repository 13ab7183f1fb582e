"""Delivers what the watch has seen: posts each announcement once, and edits it when it changes."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol, TypeAlias

import structlog

from bot.cancellation.errors import LedgerError
from bot.cancellation.lifecycle import Card
from bot.slack.errors import (
    CALL_ERRORS,
    CannotPost,
    InvalidToken,
    MessageNotEditable,
    RateLimited,
    translate_error,
)
from bot.slack.outbox import announcement_views
from bot.slack.outbox.delivery import (
    LONGEST_PAUSE,
    TRIES,
    Delivered,
    Drop,
    RetryLater,
    passing,
    pause,
)
from bot.slack.outbox.rate_limiter import ChannelRateLimiter
from bot.slack.outbox.retry_write import retry_write
from bot.slack.outbox.wakeup import Wakeup
from bot.slack.outbox.worker import LONGEST_REST
from bot.tasks import cancel_and_wait
from bot.timings import DEFAULT_TIMINGS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.cancellation.watched_job import WatchedJob
    from bot.slack.errors import SlackError
    from bot.slack.links import Links
    from bot.timings import Timings

#: Seconds until a refusal that lasts is put to the test again: somebody may invite the bot.
LATER = 60.0

#: How often that is done: about a week.
MOST_TRIES = 10_000

Verdict: TypeAlias = RetryLater | Delivered | Drop

#: Announcements that may follow each other at once.
BURST = 5

log = structlog.get_logger(__name__)


class ToAnnounce(Protocol):
    """What is to be announced; `Sightings` is the real one, and each raises `LedgerError`."""

    async def claim(self) -> WatchedJob | None: ...

    async def told(self, sighting: WatchedJob, message: Card, *, current: bool) -> None: ...

    async def again(self, sighting: WatchedJob, seconds: float, error: str) -> None: ...

    async def given_up(self, sighting: WatchedJob, error: str) -> None: ...


def next_action(
    sighting: WatchedJob, trouble: SlackError, jitter: Callable[[], float] = random.random
) -> Verdict:
    """Decide what to do with an announcement that Slack did not take (pure).

    Args:
        sighting: what was to be announced.
        trouble: what Slack said.
        jitter: a number from 0 to 1, so that replicas do not knock together.
    """
    if verdict := passing(trouble, sighting.attempts, jitter):
        return verdict
    if isinstance(trouble, MessageNotEditable) or sighting.attempts >= MOST_TRIES:
        return Drop()
    known = isinstance(trouble, CannotPost)
    return RetryLater(
        LATER if known or sighting.attempts >= TRIES else pause(sighting.attempts, jitter)
    )


class Announcements:
    """The delivering end of the watch; one message at a time, in the order of what was seen.

    Args:
        sightings: what is to be announced.
        client: the Web API, without any repeating of its own.
        channel_of: where the jobs of a project are announced, or None where nobody wants that.
        name_of: what people call a project.
        links: where links lead.
        timings: the interval of polls, and that of messages in a channel.
        sleep: waits between tries.
    """

    def __init__(
        self,
        sightings: ToAnnounce,
        client: AsyncWebClient,
        channel_of: Callable[[str], str | None],
        name_of: Callable[[str], str],
        links: Links,
        *,
        timings: Timings = DEFAULT_TIMINGS,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._sightings = sightings
        self._client = client
        self._channel_of = channel_of
        self._name_of = name_of
        self._links = links
        self._sleep = sleep
        self._wake = Wakeup(timings.outbox_poll_interval)
        self._stopping = False
        # Its own, and a small one: a card never waits behind announcements.
        self._pace = ChannelRateLimiter(burst=BURST, interval=timings.message_interval)

    def wake(self) -> None:
        """Look at once: something was seen."""
        self._wake.call()

    async def run(self) -> None:
        """Deliver until `stop`; what is due then is still delivered."""
        while True:
            self._wake.looking()
            if await self._deliver_next():
                continue
            if self._stopping:
                return
            await self._wake.wait()

    async def stop(self, running: asyncio.Task[None], seconds: float) -> None:
        """Let `running` (of `run`) deliver what is due, for `seconds` at most, and end it."""
        self._stopping = True
        self.wake()
        await asyncio.wait({running}, timeout=seconds)
        await cancel_and_wait(running)

    async def _deliver_next(self) -> bool:
        """Deliver one; False when there is none, or the ledger is away."""
        try:
            sighting = await self._sightings.claim()
            if sighting is None:
                return False
            await self._supervised(sighting)
        except LedgerError as error:
            # The claim runs out, and whoever takes it next repeats it under the same id.
            log.warning("announcements wait for the ledger", error=error.sentence)
            return False
        return True

    async def _supervised(self, sighting: WatchedJob) -> None:
        try:
            await self.deliver(sighting)
        except LedgerError:
            raise
        except Exception:
            log.exception("announcement cannot be delivered", job=sighting.ref.job_id)
            await self._sightings.again(sighting, LONGEST_PAUSE, "internal error")

    async def deliver(self, sighting: WatchedJob) -> None:
        """Post or edit one announcement, or note what is to become of it."""
        channel = sighting.message.channel if sighting.message else self._channel_of_new(sighting)
        if why := self._cannot(sighting, channel):
            await self._sightings.given_up(sighting, why)
            return
        if (seconds := self._pace.due_in(channel)) > LONGEST_REST:
            await self._sightings.again(sighting, seconds, "the channel rests")
            return
        if sighting.message is None:
            self._pace.take(channel)
        await self._sleep(seconds)
        try:
            message = await self._send(sighting, channel)
        except CALL_ERRORS as error:
            await self._cope(sighting, channel, translate_error(error))
        else:
            # What a repeated post shows may be what the first one did: it is drawn once more.
            current = sighting.message is not None or sighting.attempts == 1
            await self._note(sighting, message, current=current)

    def _channel_of_new(self, sighting: WatchedJob) -> str:
        return self._channel_of(sighting.ref.project_id) or ""

    def _cannot(self, sighting: WatchedJob, channel: str) -> str:
        if not channel:
            return "the project has no watch channel any more"
        unplaced = sighting.message is not None and not sighting.message.ts
        return "Slack has not said where the message stands" if unplaced else ""

    async def _send(self, sighting: WatchedJob, channel: str) -> Card:
        name = self._name_of(sighting.ref.project_id)
        drawn: dict[str, Any] = announcement_views.message(sighting, name, self._links)
        if sighting.message:
            await self._client.chat_update(channel=channel, ts=sighting.message.ts, **drawn)
            return sighting.message
        answer = await self._client.chat_postMessage(
            channel=channel,
            unfurl_links=False,
            unfurl_media=False,
            client_msg_id=sighting.client_msg_id,
            **drawn,
        )
        return Card(channel=str(answer.get("channel") or channel), ts=str(answer.get("ts") or ""))

    async def _cope(self, sighting: WatchedJob, channel: str, trouble: SlackError) -> None:
        verdict = next_action(sighting, trouble)
        _log(sighting, trouble, verdict)
        if isinstance(verdict, RetryLater) and isinstance(trouble, (RateLimited, CannotPost)):
            self._pace.rest(channel, verdict.seconds)
        match verdict:
            case RetryLater(seconds):
                await self._sightings.again(sighting, seconds, trouble.sentence)
            case Delivered():
                place = sighting.message or Card(channel=channel, ts="")
                await self._note(sighting, place, current=True)
            case Drop():
                await self._sightings.given_up(sighting, trouble.sentence)

    async def _note(self, sighting: WatchedJob, message: Card, *, current: bool) -> None:
        told = self._sightings.told
        await retry_write(lambda: told(sighting, message, current=current), self._sleep)


def _log(sighting: WatchedJob, trouble: SlackError, verdict: Verdict) -> None:
    lasting = isinstance(trouble, (InvalidToken, CannotPost)) or isinstance(verdict, Drop)
    say = log.error if lasting else log.warning
    ref = sighting.ref
    say(
        "announcement not taken",
        project=ref.project_id,
        cluster=ref.cluster_name,
        job=ref.job_id,
        trouble=trouble.sentence,
        next=type(verdict).__name__,
    )
