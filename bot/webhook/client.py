"""Makes an audit event a CloudEvent, signs it by Standard Webhooks, and posts it."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import anyio
import httpx
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import SecretStr
from standardwebhooks import Webhook

from bot.atlas.transport import open_transport
from bot.cancellation.events import Recorded, readable_fields
from bot.storage.database import wall_clock
from bot.timings import Timings

#: The prefix of all types.
TYPE = "cancel-restore"
SOURCE = "cancel-restore"

#: Bytes of an answer that are read, so that its connection can be used again.
MAX_ANSWER_BYTES = 64 * 1024


def cloud_event(event: Recorded) -> CloudEvent:
    """Return an audit event as a CloudEvent; its `data` is the line of `audit --format jsonl`."""
    attributes: dict[str, Any] = {
        "type": f"{TYPE}.{event.event.replace(':', '.')}",
        "source": SOURCE,
        "id": event.hash,
        "datacontenttype": "application/json",
    }
    if event.request:
        attributes["subject"] = event.request
    with suppress(ValueError):  # a damaged event is sent too
        attributes["time"] = datetime.fromisoformat(event.at)
    return CloudEvent(attributes, readable_fields(event)[0])


def ping(now: datetime) -> CloudEvent:
    """Return the event with which `doctor` tests the receiver; it is not in the audit log."""
    attributes = {
        "type": f"{TYPE}.doctor.ping",
        "source": SOURCE,
        "id": f"ping-{now.timestamp():.0f}",
        "time": now,
        "datacontenttype": "application/json",
    }
    return CloudEvent(attributes, {"at": now.isoformat(), "event": "doctor:ping"})


class WebhookClient:
    """Posts events to one receiver, over connections of its own.

    `now` is this machine's time; a receiver rejects signatures that are older than five minutes.
    """

    def __init__(
        self,
        url: SecretStr,
        secret: SecretStr,
        *,
        timeout: float = Timings.webhook_try_timeout,
        now: Callable[[], datetime] = wall_clock,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.get_secret_value()
        self._signer = Webhook(secret.get_secret_value())
        self._timeout = timeout
        self._now = now
        self._http = httpx.AsyncClient(
            transport=transport or open_transport(self._url),
            timeout=timeout,
            follow_redirects=False,  # the receiver that was configured answers, and no other
            trust_env=False,  # open_transport finds the proxy; a .netrc must not log in
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def post(self, event: CloudEvent) -> str | None:
        """Post an event once; return why the receiver did not take it, or None if it did."""
        body = JSONFormat().write(event)
        try:
            with anyio.fail_after(self._timeout):
                status = await self._send(body, self._headers(event.get_id(), body))
        except TimeoutError:
            return f"there was no answer within {self._timeout:.0f} s"
        except (httpx.HTTPError, OSError) as error:
            return f"there was no answer ({type(error).__name__})"
        return None if httpx.codes.is_success(status) else f"the answer was {status}"

    def _headers(self, event_id: str, body: bytes) -> dict[str, str]:
        now = self._now()
        return {
            "Content-Type": JSONFormat.CONTENT_TYPE,
            "User-Agent": "cancel-restore",
            "webhook-id": event_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(event_id, now, body.decode()),
        }

    async def _send(self, body: bytes, headers: dict[str, str]) -> int:
        """Return the status; the rest of a long answer is not read."""
        async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > MAX_ANSWER_BYTES:
                    break
            return response.status_code
