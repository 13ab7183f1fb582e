"""Socket Mode: hello, envelopes and acks, pings, disconnect frames, and injected faults."""

import asyncio
import json
import uuid
from contextlib import suppress
from typing import Any

from aiohttp import web

from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.transport.socket_connection import Connection
from bot.sandbox.slack.world import World

Json = dict[str, Any]
MAX_CONNECTIONS = 10

#: Seconds from a disconnect frame to the end of the connection.
DISCONNECT_GRACE = 10.0


class SocketMode:
    """The connections of the app; payloads are distributed round-robin.

    A connection that was cut stays registered: it counts, and gets its share of the payloads, which
    are lost. `enabled`: whether the app may use Socket Mode at all.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._connections: list[Connection] = []
        self._dead: list[tuple[float, Connection]] = []  # each with the time at which it is dropped
        self._pending_acks: dict[str, asyncio.Future[Json | None]] = {}
        self._undelivered: list[Json] = []
        self._sent = 0
        self.enabled = True
        self._last: Json = {}

    @property
    def connections(self) -> int:
        """The number of connections over which the app gets payloads."""
        return sum(not connection.is_cut for connection in self._open)

    @property
    def registered(self) -> int:
        """The number of connections that Slack counts: open ones, and those that were cut."""
        return len(self._registered)

    @property
    def _registered(self) -> list[Connection]:
        now = asyncio.get_running_loop().time()
        self._dead = [(ends, connection) for ends, connection in self._dead if ends > now]
        return self._open + [connection for _, connection in self._dead]

    @property
    def _open(self) -> list[Connection]:
        return [connection for connection in self._connections if not connection.closing]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection; its ticket came from apps.connections.open and works once."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._world.tickets:
            return web.Response(status=404, text="no such ticket")
        self._world.tickets.discard(ticket)
        socket = web.WebSocketResponse(autoping=False, timeout=1.0)
        try:
            await socket.prepare(request)
        except ConnectionError:  # the app has closed its end
            return web.Response()
        with suppress(ConnectionError):
            if why := self._rejection():
                await socket.send_json(_disconnect(why))
                await socket.close()
            else:
                await self._serve(Connection(socket, request.transport))
        return socket

    def _rejection(self) -> str | None:
        if not self.enabled:
            return "link_disabled"
        return "too_many_websockets" if self.registered >= MAX_CONNECTIONS else None

    async def _serve(self, connection: Connection) -> None:
        self._connections.append(connection)
        try:
            await connection.send(self._hello())
            self._tell()
            await self._resend_undelivered()
            while (text := await connection.listen()) is not None:
                self._acked(text)
        finally:
            self._forget(connection)
            await self._resend_undelivered()

    def _forget(self, connection: Connection) -> None:
        """Remove a connection; its unacked envelopes are sent over another or the next one.

        Slack does not know of the end of one that was cut: it stays registered for a time.
        """
        if connection not in self._connections:
            return
        connection.forget()
        self._connections.remove(connection)
        stays = self._world.settings.cut_connection_seconds if connection.is_cut else 0.0
        if stays:
            self._dead.append((asyncio.get_running_loop().time() + stays, connection))
        else:
            self._undelivered += map(_as_retry, connection.unanswered.values())
        self._tell()

    def _tell(self) -> None:
        self._world.events.publish("socket", connections=self.connections)

    async def _resend_undelivered(self) -> None:
        while self._undelivered and self._registered:
            envelope = self._undelivered.pop(0)
            if envelope["envelope_id"] in self._pending_acks:
                await self._write(envelope)

    def _acked(self, data: str) -> None:
        try:
            frame = json.loads(data)
            envelope_id, payload = frame["envelope_id"], frame.get("payload")
        except (ValueError, TypeError, KeyError):
            self._world.complain(f"A Socket Mode frame is not an ack: {data[:200]}")
            return
        for connection in self._connections:
            connection.unanswered.pop(envelope_id, None)
        waiting = self._pending_acks.get(envelope_id)
        if waiting is None or waiting.done():
            self._world.complain(f"An ack is late or unexpected: envelope {envelope_id}")
        else:
            waiting.set_result(payload)

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": self.registered,
            "debug_info": {"host": "sandbox", "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._world.workspace.app.id},
        }

    async def send(self, kind: str, payload: Json) -> Ack:
        """Send one envelope, and wait for its ack as long as Slack does."""
        envelope = {
            "envelope_id": str(uuid.uuid4()),
            "type": kind,
            "accepts_response_payload": kind != "events_api",
            "payload": payload,
        }
        self._last = envelope
        return await self._deliver(envelope)

    async def redeliver(self) -> Ack:
        """Send the last envelope again, as Slack does after a late ack."""
        return await self._deliver(_as_retry(self._last))

    async def _deliver(self, envelope: Json) -> Ack:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Json | None] = loop.create_future()
        self._pending_acks[envelope["envelope_id"]] = answer
        began = loop.time()
        try:
            if not await self._write(envelope):
                return Ack(error="dispatch_failed")
            payload = await asyncio.wait_for(answer, self._world.settings.ack_seconds)
        except TimeoutError:
            return Ack(error="operation_timeout", seconds=loop.time() - began)
        finally:
            del self._pending_acks[envelope["envelope_id"]]
        return Ack(body=payload or None, seconds=loop.time() - began)

    async def _write(self, envelope: Json) -> bool:
        while connections := self._registered:
            self._sent += 1
            connection = connections[self._sent % len(connections)]
            connection.unanswered[envelope["envelope_id"]] = envelope
            try:
                await connection.send(envelope)
            except ConnectionError:
                del connection.unanswered[envelope["envelope_id"]]
                self._forget(connection)
            else:
                return True
        return False

    async def disconnect(
        self, reason: str = "refresh_requested", *, grace: float = DISCONNECT_GRACE
    ) -> None:
        """Send a disconnect frame (`warning`, …) on each connection, then close it."""
        for connection in self._open:
            await connection.send(_disconnect(reason))
            connection.close_after(grace)

    async def cut(self, *, abruptly: bool = True) -> None:
        """Close each connection, by default without a closing handshake."""
        for connection in list(self._connections):
            connection.is_cut = abruptly
            await connection.close(abruptly=abruptly)
            self._forget(connection)

    def half_open(self) -> None:
        """Drop all frames in both directions on each connection."""
        for connection in self._open:
            connection.ignores_input = connection.is_cut = True


def _as_retry(envelope: Json) -> Json:
    attempt = envelope.get("retry_attempt", 0) + 1
    return {**envelope, "retry_attempt": attempt, "retry_reason": "timeout"}


def _disconnect(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}
