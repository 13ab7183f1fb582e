"""Socket Mode: hello, envelopes and acks, pings, disconnect frames, and cuts on demand."""

import asyncio
import json
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from bot.sandbox.slack.ack import Ack
from bot.sandbox.slack.world import World

Json = dict[str, Any]
MOST_CONNECTIONS = 10


class SocketMode:
    """The connections of the app; each payload goes to one of them, in turn."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._open: list[web.WebSocketResponse] = []
        self._wires: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._waiting: dict[str, asyncio.Future[Json | None]] = {}
        self._turn = 0
        self._frozen = False
        self.envelopes: list[Json] = []

    @property
    def connections(self) -> int:
        return len(self._open)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One connection; its ticket came from apps.connections.open and works once."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._world.tickets:
            return web.Response(status=404, text="no such ticket")
        self._world.tickets.discard(ticket)
        socket = web.WebSocketResponse(autoping=False, timeout=1.0)
        await socket.prepare(request)
        if len(self._open) >= MOST_CONNECTIONS:
            await socket.send_json(_disconnect("too_many_websockets"))
            await socket.close()
            return socket
        self._wires[socket] = request.transport
        await self._serve(socket)
        return socket

    async def _serve(self, socket: web.WebSocketResponse) -> None:
        self._open.append(socket)
        try:
            await socket.send_json(self._hello())
            self._world.news.tell("socket", connections=self.connections)
            async for message in socket:
                if not self._frozen:
                    await self._take(socket, message.type, message.data)
        finally:
            self._forget(socket)

    def _forget(self, socket: web.WebSocketResponse) -> None:
        if socket in self._open:
            self._open.remove(socket)
            self._wires.pop(socket, None)
            self._world.news.tell("socket", connections=self.connections)

    async def _take(self, socket: web.WebSocketResponse, kind: WSMsgType, data: object) -> None:
        if kind == WSMsgType.PING and isinstance(data, bytes | bytearray):
            await socket.pong(bytes(data))
        elif isinstance(data, str):
            self._acked(data)

    def _acked(self, data: str) -> None:
        try:
            frame = json.loads(data)
            envelope_id, payload = frame["envelope_id"], frame.get("payload")
        except (ValueError, TypeError, KeyError):
            self._world.complain(f"A frame that is no ack came over Socket Mode: {data[:200]}")
            return
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
        first = envelope or self.envelopes[-1]
        again = {**first, "retry_attempt": first.get("retry_attempt", 0) + 1}
        return await self._deliver({**again, "retry_reason": reason})

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
        for _ in range(len(self._open)):
            self._turn += 1
            socket = self._open[self._turn % len(self._open)]
            try:
                await socket.send_json(envelope)
            except ConnectionError:
                self._forget(socket)
            else:
                return True
        return False

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Tells every connection that it will end (`warning`, `refresh_requested`, …)."""
        for socket in tuple(self._open):
            await socket.send_json(_disconnect(reason))

    async def cut(self, *, abruptly: bool = True) -> None:
        """Ends every connection: the wire is cut, or (not abruptly) closed in good order."""
        for socket in tuple(self._open):
            wire = self._wires.get(socket)
            if abruptly and wire is not None:
                wire.abort()
            else:
                await socket.close()
            self._forget(socket)

    def freeze(self, *, frozen: bool = True) -> None:
        """Half-open connections: what comes in, pings too, is not answered any more."""
        self._frozen = frozen


def _disconnect(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}
