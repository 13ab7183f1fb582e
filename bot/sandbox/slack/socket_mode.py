"""Socket Mode: hello, envelopes and acks, pings, disconnect frames, and cuts on demand."""

import asyncio
import json
import uuid
from typing import Any

from aiohttp import web

from bot.sandbox.slack.ack import Ack
from bot.sandbox.slack.socket_link import Link
from bot.sandbox.slack.world import World

Json = dict[str, Any]
MOST_CONNECTIONS = 10

#: Seconds from a disconnect frame to the end of the connection; `link_disabled` ends it at once.
GRACE = 10.0
LINK_DISABLED = "link_disabled"


class SocketMode:
    """The connections of the app; each payload goes to one of them, in turn.

    `enabled`: whether the app may use Socket Mode at all.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._links: list[Link] = []
        self._waiting: dict[str, asyncio.Future[Json | None]] = {}
        self._homeless: list[Json] = []
        self._turn = 0
        self._frozen = False
        self.enabled = True
        self.envelopes: list[Json] = []

    @property
    def connections(self) -> int:
        return len(self._open)

    @property
    def _open(self) -> list[Link]:
        return [link for link in self._links if not link.closing]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection; its ticket came from apps.connections.open and works once."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._world.tickets:
            return web.Response(status=404, text="no such ticket")
        self._world.tickets.discard(ticket)
        await asyncio.sleep(self._world.settings.latency)
        socket = web.WebSocketResponse(autoping=False, timeout=1.0)
        await socket.prepare(request)
        if why := self._why_not():
            await socket.send_json(_disconnect(why))
            await socket.close()
        else:
            await self._serve(Link(socket, request.transport))
        return socket

    def _why_not(self) -> str | None:
        if not self.enabled:
            return LINK_DISABLED
        return "too_many_websockets" if len(self._open) >= MOST_CONNECTIONS else None

    async def _serve(self, link: Link) -> None:
        link.deaf = self._frozen
        self._links.append(link)
        try:
            await link.send(self._hello())
            self._tell()
            await self._send_the_homeless()
            while (text := await link.listen()) is not None:
                self._acked(text)
        finally:
            self._forget(link)
            await self._send_the_homeless()

    def _forget(self, link: Link) -> None:
        """Drops a connection; what it was to bring goes to another one, or to the next."""
        if link not in self._links:
            return
        link.forget()
        self._links.remove(link)
        self._tell()
        if self._world.settings.lost_envelopes == "redeliver":
            self._homeless += map(_once_more, link.unanswered.values())

    def _tell(self) -> None:
        self._world.news.tell("socket", connections=self.connections)

    async def _send_the_homeless(self) -> None:
        while self._homeless and self._open:
            envelope = self._homeless.pop(0)
            if envelope["envelope_id"] in self._waiting:
                await self._write(envelope)

    def _acked(self, data: str) -> None:
        try:
            frame = json.loads(data)
            envelope_id, payload = frame["envelope_id"], frame.get("payload")
        except (ValueError, TypeError, KeyError):
            self._world.complain(f"A frame that is no ack came over Socket Mode: {data[:200]}")
            return
        for link in self._links:
            link.unanswered.pop(envelope_id, None)
        waiting = self._waiting.get(envelope_id)
        if waiting is None or waiting.done():
            self._world.complain(f"An ack came late or for nothing: envelope {envelope_id}")
        else:
            waiting.set_result(payload)

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": self.connections,
            "debug_info": {"host": "sandbox", "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._world.workspace.app.id},
        }

    async def send(self, kind: str, payload: Json, **retry: object) -> Ack:
        """Sends one envelope and waits for its ack, for as long as Slack waits.

        `kind`: slash_commands, interactive or events_api; `retry`: retry_attempt, retry_reason.
        """
        envelope = {
            "envelope_id": str(uuid.uuid4()),
            "type": kind,
            "accepts_response_payload": kind != "events_api",
            "payload": payload,
            **retry,
        }
        self.envelopes.append(envelope)
        return await self._deliver(envelope)

    async def redeliver(self, envelope: Json | None = None, reason: str = "timeout") -> Ack:
        """Sends an envelope (the last one by default) once more, as Slack does after a late ack."""
        return await self._deliver(_once_more(envelope or self.envelopes[-1], reason))

    async def _deliver(self, envelope: Json) -> Ack:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Json | None] = loop.create_future()
        self._waiting[envelope["envelope_id"]] = answer
        began = loop.time()
        try:
            if not await self._write(envelope):
                return Ack(error="dispatch_failed")
            payload = await asyncio.wait_for(answer, self._world.settings.ack_seconds)
        except TimeoutError:
            return Ack(error="operation_timeout", seconds=loop.time() - began)
        finally:
            del self._waiting[envelope["envelope_id"]]
        return Ack(status=200, body=payload or None, seconds=loop.time() - began)

    async def _write(self, envelope: Json) -> bool:
        while links := self._open:
            self._turn += 1
            link = links[self._turn % len(links)]
            link.unanswered[envelope["envelope_id"]] = envelope
            try:
                await link.send(envelope)
            except ConnectionError:
                del link.unanswered[envelope["envelope_id"]]
                self._forget(link)
            else:
                return True
        return False

    async def disconnect(
        self, reason: str = "refresh_requested", count: int | None = None, grace: float = GRACE
    ) -> None:
        """Tells the `count` oldest connections that they will end (`warning`, …), and ends them.

        `link_disabled` switches Socket Mode off, until `enabled` is set again.
        """
        if reason == LINK_DISABLED:
            self.enabled, grace = False, 0.0
        for link in self._open[:count]:
            await link.send(_disconnect(reason))
            link.end_in(grace)

    async def cut(self, *, abruptly: bool = True, count: int | None = None) -> None:
        """Ends the `count` oldest connections: the wire is cut, or closed in good order."""
        for link in self._links[:count]:
            await link.close(abruptly=abruptly)
            self._forget(link)

    def freeze(self, *, frozen: bool = True) -> None:
        """Connections, new ones too, on which nothing is heard of the app, pings included."""
        self._frozen = frozen
        for link in self._links:
            link.deaf = frozen

    def half_open(self, count: int | None = None) -> None:
        """The `count` oldest connections bring nothing any more, in neither direction."""
        for link in self._open[:count]:
            link.deaf = link.mute = True


def _once_more(envelope: Json, reason: str = "timeout") -> Json:
    attempt = envelope.get("retry_attempt", 0) + 1
    return {**envelope, "retry_attempt": attempt, "retry_reason": reason}


def _disconnect(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}
