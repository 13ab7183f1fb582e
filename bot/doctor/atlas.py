"""Everything that is checked of Atlas for one project: reads only, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime

from bot.atlas import (
    AtlasClient,
    AtlasError,
    CallRecord,
    Cluster,
    DigestKey,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RateLimited,
    RoleMissing,
    VersionGone,
    WrongClusterKind,
)
from bot.doctor.results import CheckResult, Subject, compare_clock
from bot.settings import ProjectSettings, Settings

#: Seconds for each read, with what is tried again.
TIMEOUT = 8.0

#: How many clusters are tried until one tells its restore jobs: flex clusters do not.
MAX_CLUSTERS = 5

#: The paths that share the rate limit for backups, and the part of it that should be left.
BACKUPS = "/backup/"
SHARE = 5


@dataclass(slots=True)
class CallObserver:
    """What the answers say besides what was asked.

    Attributes:
        now: the time, by this machine.
        here: when the last answer with a date came, by this machine.
        there: what that date was.
        backups: the last answer about backups.
    """

    now: Callable[[], datetime]
    here: datetime | None = None
    there: datetime | None = None
    backups: CallRecord | None = None

    def observe(self, answered: CallRecord) -> None:
        if answered.date:
            self.here, self.there = self.now(), answered.date
        if BACKUPS in answered.path and answered.status and not answered.challenge:
            self.backups = answered


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is checked, in this order: each needs those before it."""

    reach: Subject
    credentials: Subject
    version: Subject
    access_list: Subject
    project: Subject
    clusters: Subject
    jobs: Subject
    cancel: Subject
    rate_limit: Subject

    @classmethod
    def of(cls, project: ProjectSettings) -> Subjects:
        name = project.name or project.id
        return cls(
            reach=Subject("atlas", "MONGODB_ATLAS_BASE_URL"),
            credentials=Subject("atlas_credentials", _credentials(project)),
            version=Subject("atlas_version", "MONGODB_ATLAS_API_VERSION"),
            access_list=Subject("atlas_access_list", f"access list of the key for {name}"),
            project=Subject("atlas_project", _variable(project)),
            clusters=Subject("atlas_clusters", f"clusters of {name}"),
            jobs=Subject("atlas_restore_jobs", f"restore jobs of {name}"),
            cancel=Subject("atlas_cancel_role", f"role to cancel in {name}"),
            rate_limit=Subject("atlas_rate_limit", f"rate limit of {name}"),
        )


def _variable(project: ProjectSettings) -> str:
    return "MONGODB_ATLAS_PROJECT_ID" if project.name is None else f"{project.name}, id"


def _credentials(project: ProjectSettings) -> str:
    is_key = isinstance(project.credentials, DigestKey)
    if project.name is not None:
        return f"{project.name}, {'API key' if is_key else 'service account'}"
    if is_key:
        return "MONGODB_ATLAS_PUBLIC_API_KEY, MONGODB_ATLAS_PRIVATE_API_KEY"
    return "MONGODB_ATLAS_CLIENT_ID, MONGODB_ATLAS_CLIENT_SECRET"


#: What stands between a call and a project, in the order in which Atlas looks at it.
ACCESS_STEPS = {
    "reach": "Atlas answers",
    "credentials": "Atlas accepts them",
    "version": "Atlas serves it",
    "access_list": "Atlas takes calls from here",
}

#: Where an error at the door belongs, and what to do beyond what its own sentence says.
ACCESS_ERRORS: tuple[tuple[type[AtlasError], str, str], ...] = (
    (KeyRefused, "credentials", "Look under Project Identity & Access; make a new one in doubt."),
    (VersionGone, "version", "Set it to v2, or update this program."),
    (NotOnAccessList, "access_list", "In Atlas, edit the key: API Access List, Add Entry."),
    (ProjectNotFound, "project", "Atlas shows the id in Project Settings."),
    (RoleMissing, "project", "It needs Project Read Only, besides, to read the project."),
    (AtlasError, "reach", "Check the address and the network, and https://status.mongodb.com."),
)
ROLE_TO_CANCEL = (
    "only a cancellation would prove it",
    "Make sure that the key has the project role Project Backup Recovery Operator.",
)
READ_JOBS = "The project role Project Backup Manager lets it read restore jobs."
READ_CLUSTERS = "The project role Project Read Only lets it read clusters."
WAIT = "Wait some minutes; other programs that use the project's backups share the limit."


async def check_project(
    settings: Settings, project: ProjectSettings, now: Callable[[], datetime]
) -> list[CheckResult]:
    """Check one project with its own credentials, and the clock by Atlas's answers."""
    observer = CallObserver(now)
    async with AtlasClient(
        project.credentials,
        base_url=settings.atlas.base_url,
        version=settings.atlas.api_version,
        envelope=settings.atlas.envelope,
        timeout=TIMEOUT,
        observe=observer.observe,
    ) as atlas:
        results = await ProjectChecks(project, atlas, observer).run()
    return [*results, compare_clock("Atlas", observer.here, observer.there)]


class ProjectChecks:
    """The checks of one project; whatever fails, the rest is told as not checked."""

    def __init__(
        self, project: ProjectSettings, atlas: AtlasClient, observer: CallObserver
    ) -> None:
        self._project = project
        self._atlas = atlas
        self._observer = observer
        self._subjects = Subjects.of(project)

    async def run(self) -> list[CheckResult]:
        try:
            found = await self._atlas.project(self._project.id)
        except AtlasError as error:
            return self._access_failure(error)
        passed = [
            getattr(self._subjects, name).ok(message) for name, message in ACCESS_STEPS.items()
        ]
        passed.append(self._subjects.project.ok(f"it is {found.name}"))
        return [*passed, *await self._clusters()]

    def _access_failure(self, error: AtlasError) -> list[CheckResult]:
        """Return the results of a first call that failed."""
        stage, hint = next(
            (name, hint) for kind, name, hint in ACCESS_ERRORS if isinstance(error, kind)
        )
        passed = list(ACCESS_STEPS.items())[: [*ACCESS_STEPS, "project"].index(stage)]
        return [
            *(getattr(self._subjects, name).ok(message) for name, message in passed),
            *self._problem(stage, error, hint),
        ]

    async def _clusters(self) -> list[CheckResult]:
        try:
            clusters = await self._atlas.clusters(self._project.id)
        except AtlasError as error:
            return self._problem("clusters", error, READ_CLUSTERS)
        subject = self._subjects.clusters
        if not clusters:
            hint = "Nothing, if that is so; else check that the project is right."
            found = subject.warning("Atlas knows none in this project", hint)
            return [found, *self._unchecked("clusters", "there is no cluster to try it with")]
        return [subject.ok(f"{len(clusters)} can be read"), *await self._jobs(clusters)]

    async def _jobs(self, clusters: list[Cluster]) -> list[CheckResult]:
        cancel = self._subjects.cancel.unchecked(*ROLE_TO_CANCEL)
        rate_limit = self._subjects.rate_limit
        try:
            found = await self._read_jobs(clusters)
        except RateLimited as error:
            why = "Atlas limits the calls, see below"
            jobs = self._subjects.jobs.unchecked(why)
            return [jobs, cancel, rate_limit.problem(says(error), WAIT)]
        except AtlasError as error:
            return self._problem("jobs", error, READ_JOBS)
        return [found, cancel, check_rate_limit(rate_limit, self._observer.backups)]

    async def _read_jobs(self, clusters: list[Cluster]) -> CheckResult:
        """Read the restore jobs of the first cluster that has some Atlas tells of."""
        for cluster in clusters[:MAX_CLUSTERS]:
            try:
                jobs = await self._atlas.restore_jobs(self._project.id, cluster.name)
            except WrongClusterKind:
                continue
            return self._subjects.jobs.ok(f"those of {cluster.name} can be read ({len(jobs)})")
        return self._subjects.jobs.unchecked("the clusters that were tried are flex or serverless")

    def _problem(self, stage: str, error: AtlasError, hint: str) -> list[CheckResult]:
        found: CheckResult = getattr(self._subjects, stage).problem(says(error), hint)
        return [found, *self._unchecked(stage, f"the check of {found.subject} failed")]

    def _unchecked(self, stage: str, why: str) -> list[CheckResult]:
        """Tell of everything after `stage` that it was not checked."""
        names = [each.name for each in fields(Subjects)]
        after = names[names.index(stage) + 1 :]
        return [getattr(self._subjects, name).unchecked(why) for name in after]


def says(error: AtlasError) -> str:
    """Repeat the error's sentence, with Atlas's own code and explanation."""
    own = " ".join(part for part in (error.code, error.detail) if part)
    return f"{error} ({own})" if own else str(error)


def check_rate_limit(subject: Subject, answered: CallRecord | None) -> CheckResult:
    """Judge what is left of the bucket that all calls about backups of a project share (pure)."""
    left, limit = (answered.rate_limit_remaining, answered.rate_limit) if answered else (None, None)
    if left is None or limit is None:
        return subject.unchecked("Atlas did not say what is left")
    if left * SHARE < limit:
        return subject.warning(f"{left} of {limit} calls are left", WAIT)
    return subject.ok(f"{left} of {limit} calls are left")
