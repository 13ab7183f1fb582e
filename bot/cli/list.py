"""`cancel-restore list`: the downloads that are not over, from Atlas itself."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy.exc import SQLAlchemyError

from bot.atlas import InvalidName, is_cluster_name
from bot.cancellation.download import is_download
from bot.cancellation.facts import Phase, facts_of, list_fields
from bot.cancellation.phase_words import headline
from bot.cancellation.text import plain
from bot.cancellation.words import ONLY_WATCHES, link_line, starter_line
from bot.cli import output
from bot.cli.common import (
    chosen_projects,
    database_problem,
    has_tables,
    opened_core,
    settings_without_slack,
)
from bot.cli.output import OutputFormat
from bot.services.lookup import JobDetails, Lookup, Running
from bot.settings import Settings
from bot.storage.migrate import SchemaError
from bot.wiring import Core

HEADERS = ("Cluster", "Project", "Job", "Type", "Started", "Link", "Cancel", "Note")
NOT_A_DOWNLOAD = "Atlas cancels downloads only, and this is another restore."
ENDED = "The download has ended."
NO_RECORD = "What the bot has stored is missing from the list"


def list_downloads(
    cluster: Annotated[str, typer.Argument(help="Only this cluster.", show_default=False)] = "",
    project: Annotated[str, typer.Option(help="Only this project.", show_default=False)] = "",
    *,
    how: Annotated[
        str, typer.Option("--format", help="table or json; json where no terminal reads.")
    ] = "",
) -> None:
    """List the downloads that are not over, and other restores; Slack is not needed."""
    form = output.format_of(how)
    if cluster and not is_cluster_name(cluster):
        output.fail(f"{cluster!r} is not the name of a cluster.", output.WRONG_USAGE)
    with output.failing_on(InvalidName, code=output.WRONG_USAGE):
        asyncio.run(_list(settings_without_slack(), cluster or None, project.strip(), form))


async def _list(settings: Settings, cluster: str | None, project: str, form: OutputFormat) -> None:
    async with opened_core(settings) as core:
        lookup, problem = await lookup_of(core)
        running = await lookup.running(chosen_projects(core, project), cluster)
        problem = problem or _no_record(running)
        problems = [*_unread(running), *([f"{NO_RECORD}: {problem}"] if problem else [])]
        if cluster and not problems and not _has_cluster(running, cluster):
            names = ", ".join(running.clusters) or "none"
            output.fail(f"There is no cluster {cluster}; there are: {names}.")
        _write(running, form, core.now())
        if not (running.downloads or running.others or problems):
            typer.echo("No download is running.", err=form is OutputFormat.JSON)
    if problems:
        output.fail("\n".join(problems))


async def lookup_of(core: Core) -> tuple[Lookup, str | None]:
    """Return the lookup, and why the database cannot be read; without one, Atlas suffices."""
    problem = None
    is_stored = False
    try:
        is_stored = await has_tables(core.settings)
    except (SchemaError, SQLAlchemyError, OSError) as error:
        problem = database_problem(error)
    stores = core.stores(None, lambda: None)
    lookup = Lookup(
        downloads=stores.downloads if is_stored else None,
        requests=stores.requests if is_stored else None,
        feed_of=stores.feed_of,
        now=core.now,
    )
    return lookup, problem


def why_not(details: JobDetails) -> str | None:
    """Say why a job cannot be cancelled; None if it can."""
    if not is_download(details.download.shown):
        return NOT_A_DOWNLOAD
    if details.download.ended:
        return ENDED
    return ONLY_WATCHES if details.policy.read_only else None


def may_cancel(details: JobDetails, now: datetime) -> str:
    """Say that a job can be cancelled, and what was decided about it."""
    facts = facts_of(details.download, details.requests, details.policy)
    return "yes" if facts.phase is Phase.ANNOUNCED else f"yes. {plain(headline(facts, now))}"


def fields_of(details: JobDetails, now: datetime) -> dict[str, Any]:
    """Return the fields of a JSON line."""
    facts = facts_of(details.download, details.requests, details.policy)
    return list_fields(
        facts,
        project=details.project.name,
        kind=str(details.job.delivery_type),
        why_not=why_not(details),
        now=now,
    )


def _has_cluster(running: Running, cluster: str) -> bool:
    return cluster.casefold() in {name.casefold() for name in running.clusters}


def _no_record(running: Running) -> str | None:
    """Say why what is stored about a download could not be read; None where it was read."""
    errors = (item.no_record for item in (*running.downloads, *running.others))
    return next((database_problem(error) for error in errors if error), None)


def _unread(running: Running) -> list[str]:
    return [
        f"{part.cluster or 'All clusters'} in {part.project} could not be read: {part.why}"
        for part in running.unread
    ]


def _write(running: Running, form: OutputFormat, now: datetime) -> None:
    """Write what runs, newest first: the id of a job begins with its time."""
    jobs: Sequence[JobDetails] = sorted(
        [*running.downloads, *running.others], key=lambda item: item.ref.job_id, reverse=True
    )
    if form is OutputFormat.JSON:
        for details in jobs:
            output.write_json(fields_of(details, now), sys.stdout)
    elif jobs:
        output.write_table(HEADERS, (_row(details, now) for details in jobs), sys.stdout)


def _row(details: JobDetails, now: datetime) -> tuple[str, ...]:
    download = details.download
    link = plain(link_line(download.link(now))) if is_download(download.shown) else ""
    return (
        details.ref.cluster_name,
        details.project.name,
        details.ref.job_id,
        str(details.job.delivery_type),
        plain(starter_line(download)).removeprefix("Started "),
        link.removeprefix("Link "),
        why_not(details) or may_cancel(details, now),
        details.policy.note,
    )
