"""`cancel-restore list`: the downloads that are not over, from Atlas itself."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bot.atlas import DeliveryType, InvalidName, is_cluster_name
from bot.cancellation.facts import facts_of, list_fields
from bot.cancellation.text import plain
from bot.cancellation.words import IN_ATLAS, link_line, starter_line
from bot.cli import output
from bot.cli.common import chosen_projects, missing_file, opened_core, settings_without_slack
from bot.cli.output import OutputFormat
from bot.services.lookup import JobDetails, Lookup, Running
from bot.settings import Settings
from bot.storage.migrate import SchemaError, is_current
from bot.wiring import Core

HEADERS = ("Cluster", "Project", "Job", "Type", "Started", "Link", "Cancel", "Note")
NOT_A_DOWNLOAD = "Atlas cancels downloads only, and this is another restore."
READ_ONLY = f"This project is read-only for the bot. {IN_ATLAS}"


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
        projects = chosen_projects(core, project)
        lookup = await lookup_of(core, settings)
        running = await lookup.running(projects, cluster)
        known = running.clusters
        if cluster and not running.unread and cluster.casefold() not in map(str.casefold, known):
            names = ", ".join(known) or "none"
            output.fail(f"There is no cluster {cluster}; there are: {names}.", output.WRONG_USAGE)
        _write(running, form, core)
    if running.unread:
        lines = [
            f"{part.cluster or 'All clusters'} in {part.project} could not be read: {part.why}"
            for part in running.unread
        ]
        output.fail("\n".join(lines))


async def lookup_of(core: Core, settings: Settings) -> Lookup:
    """Return the lookup, without stores where there is no database yet."""
    has_database = False
    if missing_file(settings) is None:
        with output.failing_on(SchemaError):
            try:
                has_database = await is_current(settings.database_url.get_secret_value())
            except SchemaError:
                raise
            except Exception:  # noqa: BLE001 - what Atlas has is shown without it
                has_database = False
    stores = core.stores(None, lambda: None)
    return Lookup(
        downloads=stores.downloads if has_database else None,
        requests=stores.requests if has_database else None,
        feed_of=core.feed_of,
        now=core.now,
    )


def why_not(details: JobDetails) -> str | None:
    """Say why a job cannot be cancelled; None if it can."""
    if details.job.delivery_type != DeliveryType.DOWNLOAD:
        return NOT_A_DOWNLOAD
    if details.job.is_over:
        return "The download has ended."
    return READ_ONLY if details.policy.read_only else None


def fields_of(details: JobDetails, core: Core) -> dict[str, Any]:
    """Return the fields of a JSON line."""
    facts = facts_of(details.download, details.requests, details.policy)
    return list_fields(
        facts,
        project=details.project.name,
        kind=str(details.job.delivery_type),
        why_not=why_not(details),
        now=core.now(),
    )


def _write(running: Running, form: OutputFormat, core: Core) -> None:
    found: Sequence[JobDetails] = [*running.downloads, *running.others]
    if form is OutputFormat.JSON:
        for details in found:
            output.write_json(fields_of(details, core), sys.stdout)
    elif found:
        output.write_table(HEADERS, (_row(details, core) for details in found), sys.stdout)
    if not found and not running.unread:
        typer.echo("No download is running.", err=form is OutputFormat.JSON)


def _row(details: JobDetails, core: Core) -> tuple[str, ...]:
    download = details.download
    is_download = details.job.delivery_type == DeliveryType.DOWNLOAD
    link = plain(link_line(download.link(core.now()))) if is_download else ""
    return (
        details.ref.cluster_name,
        details.project.name,
        details.ref.job_id,
        str(details.job.delivery_type),
        plain(starter_line(download)).removeprefix("Started "),
        link.removeprefix("Link "),
        why_not(details) or "yes",
        details.policy.note,
    )
