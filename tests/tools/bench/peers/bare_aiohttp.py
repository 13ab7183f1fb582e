"""The minimal ack: aiohttp, a signature check, one fixed text."""

from __future__ import annotations

import os

from aiohttp import web
from slack_sdk.signature import SignatureVerifier

from tests.tools.bench.peers.serve import serve

verifier = SignatureVerifier(os.environ["SLACK_SIGNING_SECRET"])


async def hello(request: web.Request) -> web.Response:
    body = await request.read()
    good = verifier.is_valid_request(body, dict(request.headers))
    return web.Response(text="Hello!") if good else web.Response(status=401)


def build() -> web.Application:
    app = web.Application()
    app.router.add_post("/slack/events", hello)
    return app


if __name__ == "__main__":
    serve(build)
