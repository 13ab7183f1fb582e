"""`cancel-restore demo`: serves the page until a signal."""

import asyncio
import json
import webbrowser
from typing import TextIO

from bot.demo.controller import Controller
from bot.demo.environment import open_demo
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY
from bot.tasks import cancel_and_wait, stop_event


async def run_demo(
    out: TextIO, *, port: int, approvals: int, scenario: str, as_json: bool, browser: bool
) -> None:
    """Run the demo until SIGTERM or SIGINT; write one line to `out` when it is ready.

    Raises:
        StartError: the port cannot be used, or the bot does not connect.
    """

    async def serve() -> None:
        async with open_demo(scenario, port=port, approvals=approvals) as controller:
            page = f"{controller.slack.base_url}/"
            out.write(f"{ready_line(controller) if as_json else f'Open {page} (Ctrl-C ends it)'}\n")
            out.flush()
            if browser:
                webbrowser.open(page)
            await stop.wait()

    stop = stop_event()
    serving, stopping = asyncio.create_task(serve()), asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    await cancel_and_wait(serving, stopping)
    if not serving.cancelled():
        serving.result()


def ready_line(controller: Controller) -> str:
    """Return the addresses and credentials of the fake servers as JSON."""
    return json.dumps(
        {
            "page": f"{controller.slack.base_url}/",
            "slack_api": controller.slack.api_url,
            "atlas": controller.atlas.url,
            "project_id": PROJECT_ID,
            "public_key": PUBLIC_KEY,
            "private_key": PRIVATE_KEY,
        }
    )
