"""A collector of spans: keeps the spans that arrive by OTLP over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.web import listening

PROTOBUF = "application/x-protobuf"


@dataclass(slots=True)
class Collector:
    """Listens on a free port of this machine once it is open.

    Attributes:
        hangs: takes what is sent, and never answers.
        bodies: what was sent, as it came.
        headers: those of the last request.
    """

    hangs: bool = False
    bodies: list[bytes] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        site = web.Application()
        site.router.add_post("/v1/traces", self._take)
        async with listening(site) as port:
            self.url = f"http://127.0.0.1:{port}"
            yield self

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
            await asyncio.Event().wait()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type=PROTOBUF)
