"""`cancel-restore list` and `show`: restore jobs as Atlas has them, without Slack."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from bot.atlas import AtlasError, InvalidName, JobRef
from bot.atlas.models import cluster_name, object_id
from bot.cli import WRONG_USAGE, fail
from bot.cli.output import Format, format_of, write_fields, write_json, write_table
from bot.cli.services import load_atlas_settings, open_services
from bot.cli.shown_job import in_words, shown_jobs
from bot.services.projects import Project, Projects
from bot.services.search_results import Unavailable
from bot.settings import Settings
from bot.slack.dialog.views import why_not_cancellable
from bot.wiring import CoreServices

#: Seconds for one read of Atlas.
READ_TIMEOUT = 20.0

#: The fields in the columns of the list.
COLUMNS = (
    *("project", "cluster", "job", "state", "started", "by", "link_expected"),
    *("snapshot", "request"),
)

TargetArgument = Annotated[
    list[str], typer.Argument(metavar="[PROJECT] CLUSTER JOB_ID", show_default=False)
]
FormatOption = Annotated[
    str, typer.Option("--format", help="table or json; by default json where no terminal reads.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The job that the arguments name; the project by its name or id, if given."""

    project: str | None
    cluster: str
    job_id: str

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Target":
        """Parse `[PROJECT] CLUSTER JOB_ID`; anything else ends the command."""
        if len(words) not in {2, 3}:
            example = "prod-eu 5b622f7087d9d6039fafe03f"
            fail(f"Name the cluster and the restore job, such as: {example}.", WRONG_USAGE)
        try:
            cluster, job_id = cluster_name(words[-2]), object_id(words[-1], "restore job id")
        except InvalidName as error:
            fail(str(error), WRONG_USAGE)
        return cls(project=words[0] if len(words) == 3 else None, cluster=cluster, job_id=job_id)  # noqa: PLR2004 - three words


def list_jobs(
    cluster: Annotated[str, typer.Argument(help="Only jobs of this cluster.")] = "",
    project: Annotated[str, typer.Option(help="Only jobs of this project.")] = "",
    *,
    how: FormatOption = "",
) -> None:
    r"""List the restore jobs that can be cancelled, from Atlas itself; Slack is not needed.

    \b
    Examples:
    cancel-restore list
    cancel-restore list prod-eu --project shop-prod
    cancel-restore list --format json | jq -r .job
    """
    form = format_of(how)
    try:
        name = cluster_name(cluster) if cluster else None
    except InvalidName as error:
        fail(str(error), WRONG_USAGE)
    asyncio.run(_list(load_atlas_settings(), name, project, form))


def show_job(target: TargetArgument, *, how: FormatOption = "") -> None:
    r"""Show one restore job, from Atlas itself, as the dialog shows it; Slack is not needed.

    \b
    Examples:
    cancel-restore show prod-eu 5b622f7087d9d6039fafe03f
    cancel-restore show shop-prod prod-eu 5b622f7087d9d6039fafe03f
    """
    form = format_of(how)
    asyncio.run(_show(load_atlas_settings(), Target.parse(target), form))


async def _list(settings: Settings, cluster: str | None, project: str, form: Format) -> None:
    async with open_services(settings) as services:
        projects = [find_project(services.projects, project)] if project else services.projects.all
        listing = await services.cancellation.finder.listing(projects, cluster=cluster)
        if cluster and not (listing.jobs or listing.unavailable):
            await _require_cluster(services, projects, cluster)
        found = [(each.place.project, each.ref, each.job) for each in listing.jobs]
        shown = await shown_jobs(services, settings, found)
    _write_list([job.fields() for job in shown], form, complete=not listing.unavailable)
    if listing.unavailable:
        fail("\n".join(map(_unread, listing.unavailable)))


def _write_list(found: Sequence[dict[str, Any]], form: Format, *, complete: bool) -> None:
    if form is Format.JSON:
        for fields in found:
            write_json(fields, sys.stdout)
    elif found:
        shown = [name for name in COLUMNS if any(fields[name] for fields in found)]
        headers = [name.replace("_", " ").capitalize() for name in shown]
        rows = ([in_words(fields, name) for name in shown] for fields in found)
        write_table(headers, rows, sys.stdout)
    elif complete:
        typer.echo("There is no restore job that can be cancelled.")


def _unread(part: Unavailable) -> str:
    where = f"{part.cluster} in {part.project}" if part.cluster else part.project
    return f"{where} could not be read: {part.reason}"


async def _require_cluster(
    services: CoreServices, projects: Sequence[Project], cluster: str
) -> None:
    """End the command if no project has the cluster."""
    finder = services.cancellation.finder
    for project in projects:
        if cluster in await finder.clusters(project.id, timeout=READ_TIMEOUT):  # cached
            return
    names = ", ".join(project.name for project in projects)
    fail(f"There is no cluster {cluster} in {names}: check its name.")


async def _show(settings: Settings, target: Target, form: Format) -> None:
    async with open_services(settings) as services:
        project, ref = await find_job(services, target)
        try:
            job = await project.atlas.restore_job(ref, timeout=READ_TIMEOUT)
        except AtlasError as error:
            fail(str(error))
        [shown] = await shown_jobs(services, settings, [(project, ref, job)])
    if form is Format.JSON:
        write_json(shown.fields(), sys.stdout)
        return
    write_fields(shown.details(), sys.stdout)
    if not job.can_be_cancelled:
        typer.echo(why_not_cancellable(job))


def find_project(projects: Projects, name: str) -> Project:
    """Find a project by its name or id; an unknown one ends the command."""
    found = projects.find(name)
    if found is None:
        known = ", ".join(project.name for project in projects.all)
        fail(f"There is no project {name!r}; there are: {known}.", WRONG_USAGE)
    return found


async def find_job(services: CoreServices, target: Target) -> tuple[Project, JobRef]:
    """Return the job's project; without one in the arguments, all projects are searched."""
    project = (
        find_project(services.projects, target.project)
        if target.project
        else services.projects.only or await _search(services, target)
    )
    ref = JobRef(project_id=project.id, cluster_name=target.cluster, job_id=target.job_id)
    return project, ref


async def _search(services: CoreServices, target: Target) -> Project:
    """Find the project that has the job."""
    search = await services.cancellation.finder.search(
        target.job_id, services.projects.all, cluster=target.cluster
    )
    if search.found is None:
        where = f"in a cluster {target.cluster} of {len(services.projects.all)} projects"
        missing = f"Restore job {target.job_id} was not found {where}: check both."
        fail("\n".join([missing, *map(_unread, search.unavailable)]))
    return search.found.project
