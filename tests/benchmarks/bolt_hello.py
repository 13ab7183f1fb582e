"""The peer of the bot: a minimal Bolt for Python app in Socket Mode, which answers hello.

Run as `python -m tests.benchmarks.bolt_hello`, with the variables of the bot.
"""

import asyncio
import os

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient


async def authorize() -> AuthorizeResult:
    token = os.environ["SLACK_BOT_TOKEN"]
    return AuthorizeResult(enterprise_id=None, team_id="T0SANDBOX1", bot_token=token)


async def hello(ack: AsyncAck) -> None:
    await ack("Hello!")


async def main() -> None:
    app = AsyncApp(
        client=AsyncWebClient(base_url=os.environ["SLACK_API_URL"]),
        authorize=authorize,
        process_before_response=True,  # else each ack waits 10 ms for Bolt's poll
    )
    app.command("/cancel-restore")(hello)
    handler = AsyncSocketModeHandler(app, os.environ["SLACK_APP_TOKEN"])
    await handler.start_async()  # type: ignore[no-untyped-call]  # Bolt has no type here


if __name__ == "__main__":
    asyncio.run(main())
