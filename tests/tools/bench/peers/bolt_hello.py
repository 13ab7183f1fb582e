"""A minimal Bolt for Python app: an `AsyncApp` that answers hello."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from tests.tools.bench.peers.serve import serve

if TYPE_CHECKING:
    from aiohttp import web
    from slack_bolt.async_app import AsyncAck


async def authorize() -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-hello")


async def hello(ack: AsyncAck) -> None:
    await ack("Hello!")


def build() -> web.Application:
    app = AsyncApp(
        signing_secret=os.environ["SLACK_SIGNING_SECRET"],
        authorize=authorize,
        process_before_response=True,
    )
    app.command("/cancel-restore")(hello)
    return app.web_app("/slack/events")


if __name__ == "__main__":
    serve(build)
