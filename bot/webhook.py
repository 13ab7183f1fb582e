"""The audit webhook: posts every event of the audit log to a receiver, signed.

An event is a CloudEvent, signed by Standard Webhooks. The worker sends what is unsent, in order
within each request.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from typing import Any

import anyio
import httpx
import structlog
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import SecretStr
from standardwebhooks import Webhook

from bot.atlas.transport import open_transport
from bot.cancellation.errors import CancellationError
from bot.cancellation.events import Recorded, readable_fields
from bot.storage.database import wall_clock
from bot.storage.event_store import Backlog, WebhookStore
from bot.tasks import cancel_and_wait, log_errors, wait_up_to
from bot.timings import DEFAULT_TIMINGS, Timings, backoff

SOURCE = "cancel-restore"  #: also the prefix of all types


def cloud_event(event: Recorded) -> CloudEvent:
    """Return an audit event as a CloudEvent; its `data` is the line of `audit --format jsonl`."""
    more: dict[str, Any] = {"subject": event.subject} if event.subject else {}
    with suppress(ValueError):  # a damaged event is sent too
        more["time"] = datetime.fromisoformat(event.at)
    return _cloud_event(event.event, event.hash, dict(readable_fields(event)[0]), more)


def ping(now: datetime) -> CloudEvent:
    """Return the event with which `doctor` tests the receiver; it is not in the audit log."""
    name, data = "doctor:ping", {"at": now.isoformat(), "event": "doctor:ping"}
    return _cloud_event(name, f"ping-{now.timestamp():.0f}", data, {"time": now})


def _cloud_event(name: str, id_: str, data: dict[str, Any], more: Mapping[str, Any]) -> CloudEvent:
    attributes = {
        "type": f"{SOURCE}.{name.replace(':', '.')}",
        "source": SOURCE,
        "id": id_,
        "datacontenttype": "application/json",
    }
    return CloudEvent({**attributes, **more}, data)


class WebhookClient:
    """Posts events to one receiver, over connections of its own."""

    def __init__(
        self, url: SecretStr, secret: SecretStr, timeout: float = Timings.webhook_try_timeout
    ) -> None:
        self._url = url.get_secret_value()
        self._signer = Webhook(secret.get_secret_value())
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            transport=open_transport(self._url),
            timeout=timeout,
            follow_redirects=False,  # the receiver that was configured answers, and no other
            trust_env=False,  # open_transport finds the proxy; a .netrc must not log in
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def post(self, event: CloudEvent) -> str | None:
        """Post an event once; return why the receiver did not take it, or None if it did."""
        body = JSONFormat().write(event)
        headers = self._headers(event.get_id(), body)
        post = self._http.stream("POST", self._url, content=body, headers=headers)
        try:
            with anyio.fail_after(self._timeout):
                async with post as response:
                    status = response.status_code  # no more of the answer is read
        except TimeoutError:
            return f"there was no answer within {self._timeout:.0f} s"
        except (httpx.HTTPError, OSError) as error:
            return f"there was no answer ({type(error).__name__})"
        return None if httpx.codes.is_success(status) else f"the answer was {status}"

    def _headers(self, event_id: str, body: bytes) -> dict[str, str]:
        # This machine's time: a receiver rejects signatures that are older than five minutes.
        now = wall_clock()
        return {
            "Content-Type": JSONFormat.CONTENT_TYPE,
            "User-Agent": "cancel-restore",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(event_id, now, body.decode()),
        }


MAX_IN_FLIGHT = 8  #: requests whose events are sent at the same time

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class WebhookWorker:
    """Sends each event at least once; one that is not taken delays those of its request only."""

    store: WebhookStore
    client: WebhookClient
    _: KW_ONLY
    timings: Timings = DEFAULT_TIMINGS

    def __post_init__(self) -> None:
        self._backlog: Backlog | None = None
        self._count_at = 0.0  # monotonic times, as those of the pauses
        self._paused: dict[str, float] = {}  # until when, by request
        self._failures: dict[str, int] = {}  # since the last success, by request
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    def lag(self) -> float:
        """Return the age of the oldest unsent event in seconds, or 0."""
        oldest = self._backlog.oldest if self._backlog else None
        return max(0.0, (self.store.now() - oldest).total_seconds()) if oldest else 0.0

    async def run(self) -> None:
        """Send until cancelled; errors are logged and the next round tries again."""
        try:
            while True:
                self._wake.clear()
                pause = self.timings.webhook_count_interval
                with log_errors("audit webhook interrupted"):
                    await self._start_tries()
                    pause = self.timings.webhook_poll_interval
                await wait_up_to(pause, self._wake)  # set when a try has ended
        finally:
            self._count_at, self._backlog = 0.0, None  # another replica may send now

    async def stop(self, loop: asyncio.Task[None], seconds: float) -> None:
        """Start no more tries, and give the open ones `seconds`."""
        await cancel_and_wait(loop)
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=seconds)
        await cancel_and_wait(*self._in_flight.values())
        await self.client.aclose()

    async def _start_tries(self) -> None:
        now = time.monotonic()
        if now >= self._count_at:
            self._count_at = now + self.timings.webhook_count_interval
            self._backlog = await self.store.backlog()
        limit = MAX_IN_FLIGHT - len(self._in_flight)
        if self._backlog is None or limit < 1:
            return
        self._paused = {request: at for request, at in self._paused.items() if at > now}
        skip = self._paused.keys() | self._in_flight.keys()
        for each in await self.store.unposted(self._backlog.starts_after, skip, limit):
            self._in_flight[each.request] = asyncio.create_task(self._try(each))

    async def _try(self, event: Recorded) -> None:
        request = event.request
        try:
            problem = await self.client.post(cloud_event(event))
            if problem is None:
                await self.store.mark_posted(event)
        except CancellationError as error:  # sent, but not marked
            problem = str(error)
        except Exception as error:
            log.exception("audit webhook failed", request=request)
            problem = type(error).__name__
        finally:
            del self._in_flight[request]
            self._wake.set()
        if problem:
            self._pause(event, problem)
        else:
            self._failures.pop(request, None)

    def _pause(self, event: Recorded, problem: str) -> None:
        """Pause the request of an event that was not taken."""
        request = event.request
        if not self._failures:  # one line for each outage
            log.warning("audit event not taken", why=problem, audit=event.event, request=request)
        self._failures[request] = self._failures.get(request, 0) + 1
        first, longest = self.timings.webhook_first_pause, self.timings.webhook_longest_pause
        jitter = random.random()  # noqa: S311 - no secret
        pause = backoff(self._failures[request], first=first, longest=longest, jitter=jitter)
        self._paused[request] = time.monotonic() + pause
