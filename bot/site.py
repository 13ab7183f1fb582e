"""Builds the HTTP side: health, metrics, and in HTTP mode what Slack posts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp import web

from bot.cancellation.errors import LedgerError
from bot.slack.receivers import HttpReceiver
from bot.web.health import add_health
from bot.web.metrics import add_metrics
from bot.web.signature_middleware import BODY_CAP, PATH, verify_slack_requests

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.slack.receivers import SocketModeReceiver
    from bot.web.draining import ShutdownState
    from bot.web.metrics import Metrics
    from bot.wiring import CoreServices


def build_site(
    settings: Settings,
    metrics: Metrics,
    domain: CoreServices,
    intake: SocketModeReceiver | HttpReceiver,
    leaving: ShutdownState,
) -> web.Application:
    """Build the site; what Slack posts is taken in HTTP mode only."""
    site = web.Application(client_max_size=BODY_CAP)
    leaving.watch(site)
    if isinstance(intake, HttpReceiver) and settings.slack.signing_secret:
        site.middlewares.append(verify_slack_requests(settings.slack.signing_secret, time.time))
        intake.add_route(site, PATH)

    async def database() -> str | None:
        try:
            await domain.ledger.count_open()
        except LedgerError:
            return "The database does not answer: check DATABASE_URL and the server."
        return None

    async def slack() -> str | None:
        return leaving.trouble or await intake.trouble()

    checks = {"slack": slack, "database": database}
    add_health(site, checks)
    add_metrics(site, metrics, checks)
    return site
