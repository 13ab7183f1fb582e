"""Opens the bot's services for one command: Atlas and the database, and no Slack."""

import asyncio
import os
import pwd
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import typer

from bot.cancellation.people import OPERATOR_PREFIX, Person, operator
from bot.cli import WRONG_USAGE, fail
from bot.log_config import configure_logging
from bot.redaction import redact
from bot.settings import Settings, SettingsError, load_settings
from bot.slack.deployment import set_deployment
from bot.startup_checks import load_project_names
from bot.timings import DEFAULT_TIMINGS
from bot.web.metrics import Metrics
from bot.wiring import CoreServices

NAME_TIMEOUT = 5.0  #: seconds to wait for the names of projects


def load_atlas_settings() -> Settings:
    """Load the settings without Slack's; errors end the command."""
    try:
        settings = load_settings(needs_slack=False)
    except SettingsError as error:
        fail(str(error), WRONG_USAGE)
    configure_logging("CRITICAL")  # the command says what happens
    redact(settings.secrets)
    set_deployment(settings.command, settings.label)
    return settings


def current_operator() -> Person:
    """Return the account of the operating system that runs the command."""
    user = os.getuid()
    with suppress(KeyError):  # an account without a name
        return operator(f"{OPERATOR_PREFIX}{pwd.getpwuid(user).pw_name}")
    return operator(f"{OPERATOR_PREFIX}{user}")


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[CoreServices]:
    """Open the services; at the end, finish or release the runs and close everything.

    The database is not touched before its first use.
    """
    owner = f"{current_operator().id}-{uuid.uuid4().hex[:8]}"
    services = CoreServices(settings, Metrics(), owner)
    try:
        with suppress(TimeoutError):  # a name is only shown; the next call has the errors
            async with asyncio.timeout(NAME_TIMEOUT):
                await load_project_names(services.projects, only_unnamed=True)
        for sentence in await services.organizations.read():
            typer.echo(sentence, err=True)
        yield services
    finally:
        await services.runner.stop(DEFAULT_TIMINGS.run_stop_timeout)
        await services.close()
