"""`cancel-restore list` and `show`: restore jobs as Atlas has them, without Slack."""

import asyncio
import os
import pwd
import sys
import uuid
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, NoReturn

import typer

from bot.atlas import (
    AtlasError,
    AtlasUnavailable,
    ClusterNotFound,
    InvalidName,
    JobNotFound,
    JobRef,
    RestoreJob,
)
from bot.atlas.models import cluster_name
from bot.cancellation.errors import CancellationError
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import OPERATOR_PREFIX, ActingPerson, operator
from bot.cli import output
from bot.cli.audit import missing_file
from bot.cli.output import OutputFormat, fields_of, lines_of
from bot.log_config import configure_logging, redact
from bot.services.job_search import UnreadCluster
from bot.services.jobs import JobDetails
from bot.services.projects import Project, Projects
from bot.settings import Settings, SettingsError, load_settings
from bot.slack import grammar, mrkdwn
from bot.slack.deployment import set_deployment
from bot.slack.dialog.job_details import why_not_cancellable
from bot.startup_checks import load_project_names
from bot.storage.migrate import SchemaError, known_version
from bot.timings import DEFAULT_TIMINGS
from bot.web.metrics import Metrics
from bot.wiring import CoreServices

NAME_TIMEOUT = 5.0  #: seconds to wait for the names of projects
READ_TIMEOUT = 20.0  #: seconds for one read of Atlas
NOTICE_AFTER = 1.0  #: seconds of reading after which a terminal shows what is waited for
ADDRESS = "Atlas's address is {} (MONGODB_ATLAS_BASE_URL)."
NONE_SELECTED = (
    "The projects file selects no project: compare include and exclude of its organizations with"
    " the names of the projects in Atlas."
)
USAGE = (
    "Name a job: by its id, after its cluster or alone, or by a link to it, such as"
    " prod-eu 5b622f7087d9d6039fafe03f."
)
#: The lines of a job that are columns of the list.
COLUMNS = ("Project", "Cluster", "Job id", "Started", "By", "Download link", "Open request")
MAX_CLUSTERS = 20  #: names of clusters in a sentence
FEED_TIMEOUT = 5.0  #: seconds for the activity feed, without which the rest is shown

TargetArgument = Annotated[
    list[str], typer.Argument(metavar="[[PROJECT] CLUSTER] JOB_ID | LINK", show_default=False)
]
FormatOption = Annotated[
    str, typer.Option("--format", help="table or json; by default json where no terminal reads.")
]


def load_atlas_settings() -> Settings:
    """Load the settings without Slack's and report unknown ones; errors end the command."""
    with output.failing_on(SettingsError, code=output.WRONG_USAGE):
        settings = load_settings(needs_slack=False)
    configure_logging("CRITICAL")  # the command prints what happens
    redact(settings.secrets)
    set_deployment(settings.command, settings.label)
    for risk in settings.risks:
        typer.echo(risk, err=True)
    return settings


def current_operator() -> ActingPerson:
    """Return the account of the operating system that runs the command."""
    name = str(os.getuid())
    with suppress(KeyError):  # an account without a name
        name = pwd.getpwuid(os.getuid()).pw_name
    return ActingPerson(operator(f"{OPERATOR_PREFIX}{name}"))


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[CoreServices]:
    """Open the services, the database at its first use; at the end, stop runs and close all.

    Without any project the command ends here.
    """
    services = CoreServices(settings, Metrics(), f"{current_operator().id}-{uuid.uuid4().hex[:8]}")
    try:
        projects = services.projects
        await _read_names(projects, [each for each in projects.all if each.name == each.id])
        for sentence in await services.organizations.read():
            typer.echo(sentence, err=True)
        if not projects.all:
            is_complete = services.organizations.is_complete
            output.fail(NONE_SELECTED if is_complete else ADDRESS.format(settings.atlas.base_url))
        yield services
    finally:
        await services.runner.stop(DEFAULT_TIMINGS.run_stop_timeout)
        await services.close()


async def _read_names(projects: Projects, wanted: Iterable[Project]) -> None:
    with suppress(TimeoutError):  # the next call has the errors
        async with asyncio.timeout(NAME_TIMEOUT):
            await load_project_names(projects, once=wanted)


@contextmanager
def reading_atlas(settings: Settings) -> Iterator[None]:
    """End the command with an error of Atlas; a terminal shows if Atlas is waited for."""
    address = settings.atlas.base_url

    def show_wait() -> None:
        if sys.stderr.isatty():
            typer.echo(f"Still waiting for Atlas at {address}.", err=True)

    timer = asyncio.get_running_loop().call_later(NOTICE_AFTER, show_wait)
    try:
        yield
    except AtlasUnavailable as error:
        output.fail(f"{error} {ADDRESS.format(address)}")
    except AtlasError as error:
        output.fail(str(error))
    finally:
        timer.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The job that the arguments name; project, by its name or id, and cluster if given."""

    project: str | None
    cluster: str | None
    job_id: str

    @classmethod
    def parse(cls, words: Sequence[str]) -> "Target":
        """Parse a job as Slack's command does; anything else ends the command."""
        *before, last = [word.strip() for word in words] or [""]
        # Words with spaces are one name here, which a slash ends.
        command = grammar.parse(f"{'/'.join(before)} {last}")
        if not isinstance(command, grammar.OpenDialog) or command.job_id is None:
            problem = command.problem if isinstance(command, grammar.InvalidCommand) else USAGE
            output.fail(problem, output.WRONG_USAGE)
        return cls(project=command.project, cluster=command.cluster, job_id=command.job_id)


def list_jobs(
    cluster: Annotated[str, typer.Argument(help="Only jobs of this cluster.")] = "",
    project: Annotated[str, typer.Option(help="Only jobs of this project.")] = "",
    *,
    how: FormatOption = "",
) -> None:
    """List the downloads that can be cancelled, from Atlas itself; Slack is not needed.

    \u0008
    Examples:
    cancel-restore list
    cancel-restore list prod-eu --project shop-prod
    cancel-restore list --format json | jq -r .job
    """
    form = output.format_of(how)
    with output.failing_on(InvalidName, code=output.WRONG_USAGE):
        name = cluster_name(cluster.strip()) if cluster.strip() else None
    asyncio.run(_list(load_atlas_settings(), name, project.strip(), form))


def show_job(target: TargetArgument, *, how: FormatOption = "") -> None:
    """Show one job, from Atlas itself, as the dialog shows it; Slack is not needed.

    \u0008
    Examples:
    cancel-restore show prod-eu 5b622f7087d9d6039fafe03f
    cancel-restore show shop-prod prod-eu 5b622f7087d9d6039fafe03f
    cancel-restore show 5b622f7087d9d6039fafe03f
    """
    form = output.format_of(how)
    asyncio.run(_show(load_atlas_settings(), Target.parse(target), form))


async def _list(settings: Settings, cluster: str | None, project: str, form: OutputFormat) -> None:
    with reading_atlas(settings):
        async with open_services(settings) as services:
            projects = [await find_project(services, project)] if project else services.projects.all
            listing = await services.finder.listing(projects, cluster=cluster)
            if cluster and not (listing.jobs or listing.unavailable):
                await check_cluster(services, projects, cluster)
            found = [(each.place.project, each.ref, each.job) for each in listing.jobs]
            shown = await details_of(services, found, unread=listing.unread_projects)
    is_complete = services.organizations.is_complete and not listing.unavailable
    _write_list(shown, form, complete=is_complete)
    if not is_complete:
        output.fail("\n".join(_unread(services, listing.unavailable)))


def _write_list(found: Sequence[JobDetails], form: OutputFormat, *, complete: bool) -> None:
    if form is OutputFormat.JSON:
        for details in found:
            output.write_json(fields_of(details), sys.stdout)
    elif found:
        rows = [dict(lines_of(details)) for details in found]
        shown = [label for label in COLUMNS if any(row[label] for row in rows)]
        output.write_table(shown, ([row[label] for label in shown] for row in rows), sys.stdout)
    if complete and not found:
        typer.echo("There is no download that can be cancelled.", err=form is OutputFormat.JSON)


def _unread(services: CoreServices, parts: Sequence[UnreadCluster]) -> Iterator[str]:
    for part in parts:
        where = f"{part.cluster} in {part.project}" if part.cluster else part.project
        yield f"{where} could not be read: {part.reason}"
    yield ADDRESS.format(services.settings.atlas.base_url)


async def _show(settings: Settings, target: Target, form: OutputFormat) -> None:
    with reading_atlas(settings):
        async with open_services(settings) as services:
            project, ref = await find_job(services, target)
            try:
                job = await project.atlas.restore_job(ref, timeout=READ_TIMEOUT)
            except (ClusterNotFound, JobNotFound) as error:
                await explain_missing(services, project, ref, error)
            others = await _jobs_beside(project, ref)
            unread = () if others else (project.name,)
            [shown] = await details_of(services, [(project, ref, job)], others, unread)
    if form is OutputFormat.JSON:
        output.write_json(fields_of(shown), sys.stdout)
        return
    output.write_fields(lines_of(shown), sys.stdout)
    if not job.can_be_cancelled:
        typer.echo(why_not_cancellable(job))


async def _jobs_beside(project: Project, ref: JobRef) -> list[str]:
    """Return the ids of the cluster's jobs, which may share an event; none if they are not read."""
    with suppress(AtlasError, TimeoutError):
        async with asyncio.timeout(FEED_TIMEOUT):
            jobs = await project.atlas.restore_jobs(ref.project_id, ref.cluster_name)
            return [job.id for job in jobs]
    return []


async def find_project(services: CoreServices, name: str) -> Project:
    """Find a project by its name or id, or its name in Atlas; an unknown one ends the command."""
    projects = services.projects
    if projects.find(name) is None:
        await _read_names(projects, [each for each in projects.all if not each.atlas_name])
    if (found := projects.find(name)) is None:
        known = ", ".join(project.name for project in projects.all)
        are_read = all(each.atlas_name for each in projects.all)
        if not (services.organizations.is_complete and are_read):
            output.fail(f"Project {name!r} is not among those that could be read: {known}.")
        output.fail(f"There is no project {name!r}; there are: {known}.", output.WRONG_USAGE)
    return found


async def find_job(services: CoreServices, target: Target) -> tuple[Project, JobRef]:
    """Return the job's project; what the arguments do not name is searched."""
    projects, cluster = services.projects, target.cluster
    project = await find_project(services, target.project) if target.project else projects.only
    if project is None or cluster is None:
        searched = [project] if project else projects.all
        find = services.finder.search
        search = await find(target.job_id, searched, cluster=cluster)
        if cluster and not (search.found or search.unavailable):
            await check_cluster(services, searched, cluster)
        if search.found is None:
            where = f"in a cluster {cluster} of " if cluster else "in "
            places = mrkdwn.count(len(searched), "project")
            missing = f"Job {target.job_id} was not found {where}{places}: check what you typed."
            unread = _unread(services, search.unavailable) if search.unavailable else ()
            output.fail("\n".join([missing, *unread]))
        project, cluster = search.found.project, search.found.cluster
    return project, JobRef(project_id=project.id, cluster_name=cluster, job_id=target.job_id)


async def explain_missing(
    services: CoreServices, project: Project, ref: JobRef, error: AtlasError
) -> NoReturn:
    """End the command: say which clusters there are, or in which one the job is instead."""
    await check_cluster(services, [project], ref.cluster_name)
    search = await services.finder.search(ref.job_id, services.projects.all)
    if found := search.found:
        where = f"{found.cluster} in {found.project.name}"
        output.fail(f"Job {ref.job_id} is not in {ref.cluster_name}. It is in {where}.")
    raise error


async def check_cluster(services: CoreServices, projects: Sequence[Project], cluster: str) -> None:
    """End the command if Atlas has the clusters of all these projects, and none has this name."""
    finder, known = services.finder, set[str]()
    with suppress(AtlasError):
        for project in projects:
            known.update(await finder.clusters(project, timeout=READ_TIMEOUT))
        if cluster not in known:
            names = [project.name for project in projects]
            missing = f"There is no cluster {cluster} in {mrkdwn.join(names)}"
            what = f"{cluster} is a project, not a cluster" if cluster in names else missing
            there_are = mrkdwn.join(sorted(known), MAX_CLUSTERS) or "none"
            output.fail(f"{what}; there are: {there_are}.")


async def details_of(
    services: CoreServices,
    found: Sequence[tuple[Project, JobRef, RestoreJob]],
    other_jobs: Sequence[str] = (),
    unread: Collection[str] = (),
) -> list[JobDetails]:
    """Add what the database and the activity feed know; a missing database is not created.

    `other_jobs` are the ids of further jobs that may have the same events; `unread` has the names
    of projects with clusters that could not be read.
    """
    jobs, of_jobs = [(ref, job) for _, ref, job in found], services.jobs.of_jobs
    read = partial(of_jobs, jobs, timeout=FEED_TIMEOUT, other_jobs=other_jobs, unread=unread)
    requests: dict[JobRef, Request | None] = {}
    try:
        stored = not missing_file(services.settings.database_url.get_secret_value())
        if stored:
            await services.database.read(known_version)
        known = await read(stored=stored)
        if stored:
            store = services.jobs.store
            requests = {ref: (await store.known(ref)).request for ref, _ in jobs}
    except CancellationError:
        known = await read(stored=False)
    except SchemaError as error:
        output.fail(f"The database of DATABASE_URL cannot be used. {error}")
    return [
        JobDetails(
            project_name=project.name, ref=ref, job=job, known=known[ref],
            open_request=requests.get(ref), note=project.policies.of(ref.cluster_name).note,
        )
        for project, ref, job in found
    ]  # fmt: skip
