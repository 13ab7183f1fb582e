"""`python -m bot.sandbox.slack [--port N]`: run the fake Slack until it is interrupted."""

import argparse
import asyncio
import contextlib
import json
import signal
import sys

from bot.sandbox.slack.server import FakeSlackServer


async def serve(port: int, request_url: str | None) -> None:
    """Print the address and the credentials as one JSON line, then serve."""
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with FakeSlackServer(port=port, request_url=request_url) as slack:
        line = {
            "api_url": slack.api_url,
            "bot_token": slack.bot_token,
            "app_token": slack.app_token,
            "signing_secret": slack.signing_secret,
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bot.sandbox.slack", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (the default) selects a free port")
    parser.add_argument("--request-url", help="send payloads to this URL over signed HTTP")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.port, options.request_url))


if __name__ == "__main__":
    main()
