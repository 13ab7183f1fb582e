"""Checks Atlas with reads only: the lists of the organizations, then each project."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from bot.atlas import (
    AtlasError,
    AtlasReader,
    CallRecord,
    Cluster,
    ClusterNotFound,
    Credentials,
    DigestKey,
    KeyAccess,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RoleMissing,
    VersionGone,
    WrongClusterKind,
    open_reader,
)
from bot.cancellation.cluster_entries import applied_entries
from bot.doctor.key import (
    check_access_list,
    check_cancel_role,
    check_expiry,
    check_rate_limit,
    check_roles,
    role_to_read_jobs,
)
from bot.doctor.results import CheckResult, compare_clock
from bot.services.projects import selects
from bot.settings import ProjectSettings, Settings

TIMEOUT = 8.0  #: seconds for each read, including its retries
#: How many clusters are tried until one returns its restore jobs: flex clusters have none.
MAX_CLUSTERS = 5
#: The checks that concern each project alike.
COMMON_CHECKS = frozenset({"atlas", "atlas_credentials", "atlas_version"})


def subjects_of(project: ProjectSettings) -> dict[str, CheckResult]:
    """Return what may be checked: each check needs those before it."""
    name = project.label
    names = {
        "atlas": "MONGODB_ATLAS_BASE_URL",
        "atlas_credentials": _credentials(project),
        "atlas_version": "MONGODB_ATLAS_API_VERSION",
        "atlas_access_list": f"access list of the key for {name}",
        "atlas_project": f"{name}, id" if project.name else "MONGODB_ATLAS_PROJECT_ID",
        "atlas_secret": f"secret of the service account for {name}",
        "atlas_roles": f"roles of the key for {name}",
        "atlas_cancel_role": f"role to cancel in {name}",
        "atlas_clusters": f"clusters of {name}",
        "atlas_cluster_policies": f"policies of the clusters of {name}",
        "atlas_restore_jobs": f"restore jobs of {name}",
        "atlas_activity_feed": f"activity feed of {name}",
        "atlas_rate_limit": f"rate limit of {name}",
        "atlas_others": f"further checks of {name}",
    }
    return {
        check: CheckResult(check, about, "Atlas" if check in COMMON_CHECKS else f"Project {name}")
        for check, about in names.items()
    }


def _credentials(project: ProjectSettings) -> str:
    is_key = isinstance(project.credentials, DigestKey)
    if project.name is not None:
        return f"{project.name}, {'API key' if is_key else 'service account'}"
    if is_key:
        return "MONGODB_ATLAS_PUBLIC_API_KEY, MONGODB_ATLAS_PRIVATE_API_KEY"
    return "MONGODB_ATLAS_CLIENT_ID, MONGODB_ATLAS_CLIENT_SECRET"


#: What a successful first call shows, in the order in which Atlas checks it.
ACCESS_STEPS = {
    "atlas": "Atlas answers",
    "atlas_credentials": "Atlas accepts them",
    "atlas_version": "Atlas serves it",
    "atlas_access_list": "Atlas accepts calls from this address",
}

#: The check that fails with an error of the first call, and what to do.
ACCESS_ERRORS: tuple[tuple[type[AtlasError], str, str], ...] = (
    (
        KeyRefused,
        "atlas_credentials",
        "Compare it in Project Identity & Access, or create a new one.",
    ),
    (VersionGone, "atlas_version", "Set it to v2, or update this program."),
    (NotOnAccessList, "atlas_access_list", "In Atlas, edit the key: API Access List, Add Entry."),
    (ProjectNotFound, "atlas_project", "Atlas shows the id in Project Settings."),
    (
        RoleMissing,
        "atlas_project",
        "The key also needs the role GROUP_READ_ONLY to read the project.",
    ),
    (AtlasError, "atlas", "Check the address and the network, and https://status.mongodb.com."),
)
NOT_NAMED = "Atlas does not return it"
READ_FEED = (
    "Without it the bot cannot say who started a job, and in quarantine the starter of a download "
    "may keep it."
)
FEED_ROLE = "The role GROUP_READ_ONLY allows it."
FEED_SPAN = timedelta(hours=1)  #: how far back the check reads the activity feed
WAIT = "Try again in a few minutes; https://status.mongodb.com tells of outages."
NO_CLUSTERS = "Check that the project is the right one, if it should have clusters."
READ_CLUSTERS = "Reading clusters needs the role GROUP_READ_ONLY."
UNREAD = "They are left out, also by the watch. Look at them in Atlas, and update this program."
READ_LIST = "Compare the credentials; their list has the projects in which they have a role."
NO_PROJECTS = "Compare include and exclude with the names in Atlas, and the roles of the key."
NAME_THEM = "Type their ids, or give each a name in a [[projects]] entry of its own."


def connect(
    settings: Settings,
    credentials: Credentials,
    observe: Callable[[CallRecord], None] | None = None,
) -> AbstractAsyncContextManager[AtlasReader]:
    return open_reader(
        credentials,
        base_url=settings.atlas.base_url,
        version=settings.atlas.api_version,
        envelope=settings.atlas.envelope,
        timeout=TIMEOUT,
        observe=observe,
    )


async def check_organizations(
    settings: Settings,
) -> tuple[list[CheckResult], list[ProjectSettings]]:
    """Return a result for each organization, and the settings of all projects."""
    results, projects = [], [*settings.projects]
    for organization in settings.organizations:
        subject = CheckResult("atlas_organization", organization.label, "Atlas")
        try:
            async with connect(settings, organization.credentials) as atlas:
                listed = await atlas.projects()
        except AtlasError as error:
            results.append(subject.problem(describe(error), READ_LIST))
            continue
        known = {project.id for project in projects}
        found = [
            organization.project(each.id, each.name)
            for each in listed
            if each.id not in known and selects(organization.include, organization.exclude, each)
        ]
        results.append(_check_selection(subject, len(listed), projects, found))
        projects += found
    return results, projects


def _check_selection(
    subject: CheckResult,
    listed: int,
    others: Sequence[ProjectSettings],
    found: Sequence[ProjectSettings],
) -> CheckResult:
    message = f"{len(found)} of the {listed} projects in its list are selected"
    if not found:
        return subject.warning(message, NO_PROJECTS)
    names = Counter(each.label.casefold() for each in (*others, *found))
    if twice := [each for each in found if names[each.label.casefold()] > 1]:
        named = ", ".join(f"{each.label} ({each.id})" for each in twice)
        message = f"{message}, but another project has the name of {named}"
        return subject.warning(message, NAME_THEM)
    return subject.ok(message)


async def check_project(
    settings: Settings,
    project: ProjectSettings,
    now: Callable[[], datetime],
    clusters: dict[str, Sequence[str]],
) -> list[CheckResult]:
    """Check one project and the clock; add the names of its clusters to `clusters`."""
    calls: list[tuple[datetime, CallRecord]] = []

    def observe(call: CallRecord) -> None:
        calls.insert(0, (now(), call))

    async with connect(settings, project.credentials, observe) as atlas:
        checks = ProjectChecks(project, atlas, now(), calls)
        results = await checks.run()
    if checks.clusters is not None:
        clusters[project.id] = checks.clusters
    clocks = (compare_clock("Atlas", here, call.date) for here, call in calls if call.date)
    return [*results, *islice(clocks, 1)]


class RequiredCheckFailed(Exception):
    """A check failed that the later ones need; the text is why they are not made."""


@dataclass
class ProjectChecks:
    project: ProjectSettings
    atlas: AtlasReader
    now: datetime
    calls: Sequence[tuple[datetime, CallRecord]]  #: the newest first, with the response's time here
    clusters: Sequence[str] | None = None  #: their names, where all could be read

    def __post_init__(self) -> None:
        self._subjects = subjects_of(self.project)
        self._found: dict[str, CheckResult] = {}

    async def run(self) -> list[CheckResult]:
        try:
            await self._reach_project()
            access = await self._rights()
            await self._jobs(await self._clusters(), access)
        except RequiredCheckFailed as stop:
            self._add(self._subjects["atlas_others"].unchecked(str(stop)))
        return [*self._found.values()]

    def _add(self, *results: CheckResult) -> None:
        self._found |= {result.check: result for result in results}

    def _failed(self, check: str, error: AtlasError, hint: str) -> RequiredCheckFailed:
        subject = self._subjects[check]
        self._add(subject.problem(describe(error), hint))
        return RequiredCheckFailed(f"the check of {subject.subject} failed")

    async def _reach_project(self) -> None:
        """Read the project: the error of this first call shows which step failed."""
        try:
            project = await self.atlas.project(self.project.id)
        except AtlasError as error:
            steps = (step for kind, *step in ACCESS_ERRORS if isinstance(error, kind))
            failed, hint = next(steps)
            self._passed(takewhile(lambda check: check != failed, ACCESS_STEPS))
            raise self._failed(failed, error, hint) from error
        self._passed(ACCESS_STEPS)
        self._add(self._subjects["atlas_project"].ok(f"it is {project.name}"))

    def _passed(self, checks: Iterable[str]) -> None:
        self._add(*(self._subjects[check].ok(ACCESS_STEPS[check]) for check in checks))

    async def _rights(self) -> KeyAccess:
        access, unread = await self._read_access()
        subjects = self._subjects
        read_only = all(each.read_only for each in self.project.policies.all)
        self._add(
            check_access_list(subjects["atlas_access_list"], access.addresses, unread),
            check_roles(subjects["atlas_roles"], access, unread),
            check_cancel_role(subjects["atlas_cancel_role"], access, unread, read_only=read_only),
        )
        if not isinstance(self.project.credentials, DigestKey):  # an API key has no end
            self._add(check_expiry(subjects["atlas_secret"], access, unread, self.now))
        return access

    async def _read_access(self) -> tuple[KeyAccess, str]:
        """Return what Atlas says about the credentials, and why the rest is not known."""
        access = KeyAccess()
        try:
            access = await self.atlas.key_access(self.project.id)
            if not isinstance(self.project.credentials, DigestKey):
                addresses = await self.atlas.account_addresses(self.project.id)
                access = replace(access, addresses=addresses)
        except AtlasError as error:
            return access, describe(error)
        return access, NOT_NAMED

    async def _clusters(self) -> list[Cluster]:
        try:
            clusters = await self.atlas.clusters(self.project.id)
        except AtlasError as error:
            raise self._failed("atlas_clusters", error, READ_CLUSTERS) from error
        names = [cluster.name for cluster in clusters]
        self.clusters = None if clusters.unread else names
        if self.project.policies.clusters:
            entries = self._subjects["atlas_cluster_policies"]
            self._add(entries.ok(applied_entries(self.project.policies, names)))
        subject = self._subjects["atlas_clusters"]
        if not clusters:
            self._add(subject.warning("this project has no clusters", NO_CLUSTERS))
            raise RequiredCheckFailed("there is no cluster to try it with")
        unread = clusters.unread_text("cluster")
        self._add(complete(subject, f"{len(clusters)} can be read", unread))
        return clusters

    async def _jobs(self, clusters: list[Cluster], access: KeyAccess) -> None:
        """Read restore jobs, which have the rate limit, and the activity feed."""
        try:
            self._add(await self._read_jobs(clusters))
        except AtlasError as error:
            hint = role_to_read_jobs(access) if isinstance(error, RoleMissing) else WAIT
            raise self._failed("atlas_restore_jobs", error, hint) from error
        limit = self._subjects["atlas_rate_limit"]
        self._add(check_rate_limit(limit, (call for _, call in self.calls)))
        feed = self._subjects["atlas_activity_feed"]
        try:
            since = self.now - FEED_SPAN
            await self.atlas.events(self.project.id, since)
        except AtlasError as error:  # the bot can do without it
            hint = FEED_ROLE if isinstance(error, RoleMissing) else WAIT
            self._add(feed.warning(describe(error), f"{READ_FEED} {hint}"))
        else:
            self._add(feed.ok("it can be read"))

    async def _read_jobs(self, clusters: list[Cluster]) -> CheckResult:
        """Read the restore jobs of the first cluster of a kind that can have them."""
        subject = self._subjects["atlas_restore_jobs"]
        for cluster in clusters[:MAX_CLUSTERS]:
            try:
                jobs = await self.atlas.restore_jobs(self.project.id, cluster.name)
            except (WrongClusterKind, ClusterNotFound):  # flex, or deleted and its backups kept
                continue
            message = f"those of {cluster.name} can be read ({len(jobs)})"
            return complete(subject, message, jobs.unread_text("job"))
        return subject.unchecked("the clusters that were tried are flex, serverless, or deleted")


def complete(subject: CheckResult, message: str, unread: str) -> CheckResult:
    """Return a success; a warning where items could not be read."""
    if not unread:
        return subject.ok(message)
    return subject.warning(f"{message}, but {unread}", UNREAD)


def describe(error: AtlasError) -> str:
    """Return the error's sentence, with Atlas's own code and explanation."""
    own = " ".join(part for part in (error.code, error.detail) if part)
    return f"{error} ({own})" if own else str(error)
