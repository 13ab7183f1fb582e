"""What `list`, `cancel` and `audit` share: settings, the operator, the services."""

import asyncio
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import typer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from bot.cancellation.people import ActingPerson, operator
from bot.cli import output
from bot.log_config import SILENT, configure_logging, redact
from bot.services.projects import Project
from bot.settings import Settings, SettingsError, load_settings
from bot.storage.database import first_cause
from bot.storage.migrate import SchemaError, ensure_current, is_current
from bot.wiring import Core

NAMES_WITHIN = 5.0  #: seconds for Atlas to name the projects, before their ids stand for them


def settings_without_slack() -> Settings:
    """Load the settings without Slack's; errors end the command."""
    with output.failing_on(SettingsError, code=output.WRONG_USAGE):
        settings = load_settings(needs_slack=False, reads_slack=False)
    # The command prints what happens; only LOG_FORMAT=json asks for the lines of the record too.
    configure_logging(SILENT, settings.log_format, has_records=settings.log_format == "json")
    redact(settings.secrets)
    for warning in settings.warnings:
        typer.echo(f"Warning: {warning}", err=True)
    return settings


def current_operator() -> ActingPerson:
    """Return the account of the operating system that runs the command."""
    name = str(os.getuid())
    with suppress(KeyError):  # an account without a name
        name = pwd.getpwuid(os.getuid()).pw_name
    return ActingPerson(operator(name))


@asynccontextmanager
async def opened_core(settings: Settings) -> AsyncIterator[Core]:
    """Open the services, with the projects' names; close them at the end."""
    core = Core(settings)
    try:
        with suppress(TimeoutError):  # ids suffice
            async with asyncio.timeout(NAMES_WITHIN):
                await core.projects.read_names_once()
        yield core
    finally:
        await core.settle()  # no renewal of a lease follows
        await core.close()


def chosen_projects(core: Core, name: str) -> list[Project]:
    """Return the project with this name or id, or all; an unknown one ends the command."""
    if not name:
        return list(core.projects)
    found = core.projects.find(name)
    if found is None:
        known = ", ".join(project.name for project in core.projects)
        output.fail(f"There is no project {name!r}; there are: {known}.", output.WRONG_USAGE)
    return [found]


def missing_file(settings: Settings) -> Path | None:
    """Return the path of a SQLite database that does not exist, or has nothing in it."""
    url = make_url(settings.database_url.get_secret_value())
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    path = Path(url.database)
    return None if path.exists() and path.stat().st_size else path


async def create_tables(settings: Settings) -> None:
    """Create the tables where there are none; a database that refuses ends the command."""
    try:
        await ensure_current(settings.database_url.get_secret_value())
    except (SchemaError, SQLAlchemyError, OSError) as error:
        output.fail(database_problem(error))


async def has_tables(settings: Settings) -> bool:
    """Return whether the database has this program's tables; creates nothing.

    Raises `SchemaError`, `SQLAlchemyError` or `OSError` where it cannot be used.
    """
    return missing_file(settings) is None and await is_current(
        settings.database_url.get_secret_value()
    )


def database_problem(error: Exception) -> str:
    """Return the sentence about a database that cannot be used."""
    if isinstance(error, SchemaError):
        return f"The database of DATABASE_URL cannot be used. {error}"
    return (
        f"The database of DATABASE_URL cannot be used ({first_cause(error)}). Check the address, "
        "that it has room, and what this account may do there."
    )
