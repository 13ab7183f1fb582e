"""Opens the bot's services for one command: Atlas and the database, and no Slack."""

import asyncio
import os
import pwd
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import typer

from bot.atlas import AtlasError
from bot.cancellation.people import OPERATOR_PREFIX, Person, operator
from bot.cli import WRONG_USAGE, fail
from bot.log_config import configure_logging
from bot.redaction import redact
from bot.services.projects import Project
from bot.settings import Settings, SettingsError, load_settings
from bot.slack.deployment import set_deployment
from bot.timings import DEFAULT_TIMINGS
from bot.tracing import Tracing
from bot.web.metrics import Metrics
from bot.wiring import CoreServices

NAME_TIMEOUT = 5.0  #: seconds to wait for the name of a project, which is only shown


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
    services = CoreServices(
        settings,
        Metrics(),
        f"{current_operator().id}-{uuid.uuid4().hex[:8]}",
        resolve=None,
        on_change=lambda: None,
        tracing=Tracing(),
        timings=DEFAULT_TIMINGS,
    )
    try:
        names = (_load_name(services, p) for p in services.projects.all)
        await asyncio.gather(*names)
        for sentence in await services.organizations.read():
            typer.echo(sentence, err=True)
        yield services
    finally:
        await services.runner.stop(DEFAULT_TIMINGS.run_stop_timeout)
        await services.close()


async def _load_name(services: CoreServices, project: Project) -> None:
    """Read the name of a project that the settings do not name; the next call has the errors."""
    if project.name != project.id:
        return
    with suppress(AtlasError, TimeoutError):
        async with asyncio.timeout(NAME_TIMEOUT):
            found = await project.atlas.project(project.id)
            services.projects.update({project.id: {"name": found.name}})
