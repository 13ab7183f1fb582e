"""The HTTP side: can the bot listen where its settings say."""

from __future__ import annotations

from aiohttp import web

from bot.doctor.results import CheckResult, Subject
from bot.web.server import PortTaken, WebError, WebServer

SUBJECT = Subject("http", "HOST, PORT")


async def examine_port(host: str, port: int) -> CheckResult:
    """Listen for a moment, without anything to serve."""
    server = WebServer(host, port, web.Application(), grace=0)
    try:
        await server.start()
    except PortTaken:
        return SUBJECT.warning(
            f"port {port} of {host} is in use",
            "Nothing, if it is this bot that runs already; else set PORT to another.",
        )
    except WebError as error:
        return SUBJECT.problem(str(error), "Set HOST to an address of this machine.")
    await server.stop()
    return SUBJECT.ok(f"the bot can listen on {host}, port {port}")
