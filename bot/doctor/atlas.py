"""Checks Atlas for one project with reads only: credentials, project, clusters, restore jobs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from bot.atlas import (
    RESTORE_REQUESTED,
    AtlasClient,
    AtlasError,
    CallRecord,
    Cluster,
    ClusterNotFound,
    DigestKey,
    KeyAccess,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RateLimited,
    RoleMissing,
    VersionGone,
    WrongClusterKind,
)
from bot.doctor.results import CheckResult, Subject, compare_clock
from bot.doctor.roles import (
    check_access_list,
    check_cancel_role,
    check_roles,
    role_to_read_jobs,
)
from bot.settings import ProjectSettings, Settings

#: Seconds for each read, including its retries.
TIMEOUT = 8.0

#: How many clusters are tried until one returns its restore jobs: flex clusters have none.
MAX_CLUSTERS = 5

#: Days before the end of a service account's secret at which a warning is reported.
MIN_SECRET_DAYS = 14

#: A warning is reported when less than one in so many calls is left.
MIN_RATE_LIMIT_SHARE = 5


@dataclass(slots=True)
class CallObserver:
    """Records the clock and the rate limit of Atlas's responses."""

    now: Callable[[], datetime]
    here: datetime | None = None  #: when the last response with a date came, by this machine
    there: datetime | None = None  #: the date in that response
    backups: CallRecord | None = None  #: the last call about backups

    def observe(self, call: CallRecord) -> None:
        if call.date:
            self.here, self.there = self.now(), call.date
        if "/backup/" in call.path and call.status and not call.challenge:
            self.backups = call


def subjects_of(project: ProjectSettings) -> dict[str, Subject]:
    """Return what is checked, in this order: each check needs those before it."""
    name = project.label
    subjects = {
        "reach": Subject("atlas", "MONGODB_ATLAS_BASE_URL"),
        "credentials": Subject("atlas_credentials", _credentials(project)),
        "version": Subject("atlas_version", "MONGODB_ATLAS_API_VERSION"),
        "access_list": Subject("atlas_access_list", f"access list of the key for {name}"),
        "project": Subject(
            "atlas_project", f"{name}, id" if project.name else "MONGODB_ATLAS_PROJECT_ID"
        ),
        "secret": Subject("atlas_secret", f"secret of the service account for {name}"),
        "roles": Subject("atlas_roles", f"roles of the key for {name}"),
        "cancel": Subject("atlas_cancel_role", f"role to cancel in {name}"),
        "clusters": Subject("atlas_clusters", f"clusters of {name}"),
        "jobs": Subject("atlas_restore_jobs", f"restore jobs of {name}"),
        "feed": Subject("atlas_activity_feed", f"activity feed of {name}"),
        "rate_limit": Subject("atlas_rate_limit", f"rate limit of {name}"),
    }
    if isinstance(project.credentials, DigestKey):
        del subjects["secret"]  # an API key has no end
    return subjects


def _credentials(project: ProjectSettings) -> str:
    is_key = isinstance(project.credentials, DigestKey)
    if project.name is not None:
        return f"{project.name}, {'API key' if is_key else 'service account'}"
    if is_key:
        return "MONGODB_ATLAS_PUBLIC_API_KEY, MONGODB_ATLAS_PRIVATE_API_KEY"
    return "MONGODB_ATLAS_CLIENT_ID, MONGODB_ATLAS_CLIENT_SECRET"


#: What a successful first call shows, in the order in which Atlas checks it.
ACCESS_STEPS = {
    "reach": "Atlas answers",
    "credentials": "Atlas accepts them",
    "version": "Atlas serves it",
    "access_list": "Atlas accepts calls from this address",
}

#: The step that fails with an error of the first call, and what to do.
ACCESS_ERRORS: tuple[tuple[type[AtlasError], str, str], ...] = (
    (KeyRefused, "credentials", "Compare it in Project Identity & Access, or create a new one."),
    (VersionGone, "version", "Set it to v2, or update this program."),
    (NotOnAccessList, "access_list", "In Atlas, edit the key: API Access List, Add Entry."),
    (ProjectNotFound, "project", "Atlas shows the id in Project Settings."),
    (RoleMissing, "project", "The key also needs the role GROUP_READ_ONLY to read the project."),
    (AtlasError, "reach", "Check the address and the network, and https://status.mongodb.com."),
)
NOT_NAMED = "Atlas does not say it"
READ_FEED = "Without it the bot cannot say who started a job. The role GROUP_READ_ONLY allows it."
#: How far back the check reads the activity feed.
FEED_SPAN = timedelta(hours=1)
NO_CLUSTERS = "Check that the project is the right one, if it should have clusters."
READ_CLUSTERS = "Reading clusters needs the role GROUP_READ_ONLY."
UNREAD = "They are left out, also by the watch. Look at them in Atlas, and update this program."
READ_EXPIRY = "Atlas shows it in Project Identity & Access, Applications."
RENEW = "Create a second secret there, replace the bot's, and restart it; then delete the old one."
WAIT = "Wait a few minutes; other programs that read the project's backups share the limit."


async def check_project(
    settings: Settings,
    project: ProjectSettings,
    now: Callable[[], datetime],
    counts: dict[str, int],
) -> list[CheckResult]:
    """Check one project with its own credentials, and the clock against Atlas's responses.

    The number of its clusters is added to `counts` if it is watched.
    """
    observer = CallObserver(now)
    async with AtlasClient(
        project.credentials,
        base_url=settings.atlas.base_url,
        version=settings.atlas.api_version,
        envelope=settings.atlas.envelope,
        timeout=TIMEOUT,
        observe=observer.observe,
    ) as atlas:
        checks = ProjectChecks(project, atlas, observer)
        results = await checks.run()
    if project.watch_channel and checks.cluster_count:
        counts[project.id] = checks.cluster_count
    return [*results, compare_clock("Atlas", observer.here, observer.there)]


class Stop(Exception):
    """A check failed that the later ones need; the text is why they are unchecked."""


class ProjectChecks:
    """The checks of one project."""

    def __init__(
        self, project: ProjectSettings, atlas: AtlasClient, observer: CallObserver
    ) -> None:
        self._project = project
        self._atlas = atlas
        self._observer = observer
        self._subjects = subjects_of(project)
        self._found: dict[str, CheckResult] = {}
        self.cluster_count = 0

    async def run(self) -> list[CheckResult]:
        """Return the results in the order of the subjects."""
        why = ""
        try:
            await self._reach_project()
            access = await self._rights()
            await self._jobs(await self._clusters(), access)
        except Stop as stop:
            why = str(stop)
        return [
            self._found.get(name) or subject.unchecked(why)
            for name, subject in self._subjects.items()
        ]

    def _failed(self, name: str, error: AtlasError, hint: str) -> Stop:
        found = self._found[name] = self._subjects[name].problem(describe(error), hint)
        return Stop(f"the check of {found.subject} failed")

    async def _reach_project(self) -> None:
        """Read the project: the error of this first call says which step failed."""
        try:
            project = await self._atlas.project(self._project.id)
        except AtlasError as error:
            steps = ((name, hint) for kind, name, hint in ACCESS_ERRORS if isinstance(error, kind))
            failed, hint = next(steps)
            self._passed(takewhile(lambda name: name != failed, ACCESS_STEPS))
            raise self._failed(failed, error, hint) from error
        self._passed(ACCESS_STEPS)
        self._found["project"] = self._subjects["project"].ok(f"it is {project.name}")

    def _passed(self, steps: Iterable[str]) -> None:
        self._found |= {name: self._subjects[name].ok(ACCESS_STEPS[name]) for name in steps}

    async def _rights(self) -> KeyAccess:
        """Check the access list, the roles, and the end of the secret."""
        access, unread = await self._read_access()
        found, subjects = self._found, self._subjects
        read_only, now = self._project.policy.read_only, self._observer.now()
        found["access_list"] = check_access_list(subjects["access_list"], access.addresses, unread)
        found["roles"] = check_roles(subjects["roles"], access, unread)
        found["cancel"] = check_cancel_role(subjects["cancel"], access, unread, read_only=read_only)
        if "secret" in subjects:
            found["secret"] = check_expiry(subjects["secret"], access, unread, now)
        return access

    async def _read_access(self) -> tuple[KeyAccess, str]:
        """Return what Atlas says about the credentials, and why the rest is not known."""
        credentials, access = self._project.credentials, KeyAccess()
        try:
            access = await self._atlas.key_access(self._project.id, credentials)
            if not isinstance(credentials, DigestKey):
                addresses = await self._atlas.account_addresses(self._project.id, credentials)
                access = replace(access, addresses=addresses)
        except AtlasError as error:
            return access, describe(error)
        return access, NOT_NAMED

    async def _clusters(self) -> list[Cluster]:
        try:
            clusters = await self._atlas.clusters(self._project.id)
        except AtlasError as error:
            raise self._failed("clusters", error, READ_CLUSTERS) from error
        self.cluster_count = len(clusters)
        subject = self._subjects["clusters"]
        if not clusters:
            self._found["clusters"] = subject.warning("this project has no clusters", NO_CLUSTERS)
            raise Stop("there is no cluster to try it with")
        unread = clusters.unread_text("cluster")
        self._found["clusters"] = complete(subject, f"{len(clusters)} can be read", unread)
        return clusters

    async def _jobs(self, clusters: list[Cluster], access: KeyAccess) -> None:
        rate_limit = self._subjects["rate_limit"]
        try:
            self._found["jobs"] = await self._read_jobs(clusters)
        except RateLimited as error:
            self._found["rate_limit"] = rate_limit.problem(describe(error), WAIT)
            raise Stop("Atlas limits the calls, see below") from error
        except AtlasError as error:
            raise self._failed("jobs", error, role_to_read_jobs(access)) from error
        self._found["rate_limit"] = check_rate_limit(rate_limit, self._observer.backups)
        self._found["feed"] = await self._feed()

    async def _feed(self) -> CheckResult:
        """Read the activity feed, which the bot can do without."""
        since = self._observer.now() - FEED_SPAN
        try:
            await self._atlas.events(self._project.id, [RESTORE_REQUESTED], since)
        except AtlasError as error:
            return self._subjects["feed"].warning(describe(error), READ_FEED)
        return self._subjects["feed"].ok("it can be read")

    async def _read_jobs(self, clusters: list[Cluster]) -> CheckResult:
        """Read the restore jobs of the first cluster of a kind that can have them."""
        for cluster in clusters[:MAX_CLUSTERS]:
            try:
                jobs = await self._atlas.restore_jobs(self._project.id, cluster.name)
            except (WrongClusterKind, ClusterNotFound):  # flex, or deleted and its backups kept
                continue
            message = f"those of {cluster.name} can be read ({len(jobs)})"
            return complete(self._subjects["jobs"], message, jobs.unread_text("job"))
        return self._subjects["jobs"].unchecked(
            "the clusters that were tried are flex, serverless, or deleted"
        )


def complete(subject: Subject, message: str, unread: str) -> CheckResult:
    """Return a success; a warning where items could not be read."""
    if not unread:
        return subject.ok(message)
    return subject.warning(f"{message}, but {unread}", UNREAD)


def check_expiry(subject: Subject, access: KeyAccess, unread: str, now: datetime) -> CheckResult:
    """Check how long the secret of a service account is still accepted."""
    if (expires_at := access.secret_expires_at) is None:
        return subject.unchecked(unread, READ_EXPIRY)
    left = (expires_at - now).days
    message = f"it expires {expires_at:%Y-%m-%d}, in {left} day{'s' * (left != 1)}"
    if left < MIN_SECRET_DAYS:
        return subject.warning(message, RENEW)
    return subject.ok(message)


def describe(error: AtlasError) -> str:
    """Return the error's sentence, with Atlas's own code and explanation."""
    own = " ".join(part for part in (error.code, error.detail) if part)
    return f"{error} ({own})" if own else str(error)


def check_rate_limit(subject: Subject, call: CallRecord | None) -> CheckResult:
    """Check what is left of the rate limit that all backup calls of a project share."""
    left, limit = (call.rate_limit_remaining, call.rate_limit) if call else (None, None)
    if left is None or limit is None:
        return subject.unchecked("Atlas's response does not contain it")
    message = f"{left} of {limit} calls are left"
    if left * MIN_RATE_LIMIT_SHARE < limit:
        return subject.warning(message, WAIT)
    return subject.ok(message)
