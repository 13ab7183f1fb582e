"""`cancel-restore demo`: serves the page until a signal."""

import json
import webbrowser
from typing import TextIO

from bot.demo.controller import Controller
from bot.demo.environment import open_demo
from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY
from bot.tasks import stop_event


async def run_demo(
    out: TextIO, *, port: int, approvals: int, fault: str, as_json: bool, browser: bool
) -> None:
    """Run the demo until SIGTERM or SIGINT; write one line to `out` when it is ready."""
    stop = stop_event()
    async with open_demo(port=port, approvals=approvals, scenario=fault) as controller:
        page = f"{controller.slack.base_url}/"
        out.write(f"{ready_line(controller) if as_json else f'Open {page} (Ctrl-C ends it)'}\n")
        out.flush()
        if browser:
            webbrowser.open(page)
        await stop.wait()


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
