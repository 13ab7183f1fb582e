"""A collector of spans: keeps the spans that arrive by OTLP over HTTP."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PROTOBUF = "application/x-protobuf"


@dataclass(slots=True)
class Collector:
    """Listens on a free port of this machine; a context manager.

    Attributes:
        hangs: takes what is sent, and never answers.
        bodies: what was sent, as it came.
        headers: those of the last request.
    """

    hangs: bool = False
    bodies: list[bytes] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    _let_go: asyncio.Event = field(default_factory=asyncio.Event)
    _server: TestServer | None = None

    async def __aenter__(self) -> Self:
        site = web.Application()
        site.router.add_post("/v1/traces", self._take)
        self._server = TestServer(site)
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._let_go.set()
        if self._server:
            await self._server.close()

    @property
    def url(self) -> str:
        assert self._server
        return str(self._server.make_url("")).rstrip("/")

    def spans(self) -> Iterator[tuple[str, Span]]:
        """Go through all spans, each with the name of the service that sent it."""
        for body in self.bodies:
            for of_service in ExportTraceServiceRequest.FromString(body).resource_spans:
                known = {a.key: a.value.string_value for a in of_service.resource.attributes}
                for scope in of_service.scope_spans:
                    yield from ((known["service.name"], span) for span in scope.spans)

    async def _take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers = dict(request.headers)
        if self.hangs:
            await self._let_go.wait()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type=PROTOBUF)
