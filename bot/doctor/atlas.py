"""Checks one project in Atlas with reads only: key, role, access list, clusters, jobs, feed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.atlas import (
    CANCEL_ROLES,
    AtlasError,
    AtlasReader,
    Cluster,
    ClusterNotFound,
    DigestKey,
    KeyRefused,
    NotOnAccessList,
    ProjectNotFound,
    RoleMissing,
    WrongClusterKind,
    open_reader,
)
from bot.doctor.results import Result
from bot.settings import ProjectSettings, Settings

READ_TIMEOUT = 8.0  #: seconds for each read, including its retries
FEED_SPAN = timedelta(hours=1)  #: how far back the check reads the activity feed
#: How many clusters are tried until one returns its restore jobs: flex clusters have none.
MAX_CLUSTERS = 5
RECOVERY_OPERATOR = "GROUP_BACKUP_RECOVERY_OPERATOR"
#: What the most powerful roles allow besides.
RISKS: Mapping[str, str] = {
    "ORG_OWNER": "owns every project of the organization",
    "GROUP_OWNER": "may do everything in the project",
}

IN_ATLAS = "in Atlas, under Project Identity & Access"
GRANT = f"Give it {RECOVERY_OPERATOR} (Project Backup Recovery Operator), {IN_ATLAS}"
VERIFY = f"Only a cancellation can test it. Verify that it has {RECOVERY_OPERATOR}, {IN_ATLAS}."
TRY_LATER = "Try again in a few minutes; https://status.mongodb.com tells of outages."
READ_FEED = "Without it the bot cannot say who started a download"
FEED_ROLE = "give the key GROUP_READ_ONLY"
#: The check that fails with an error of the first call, and the fix.
FIRST_CALL: Sequence[tuple[type[AtlasError], str, str]] = (
    (KeyRefused, "atlas_key", f"Compare it {IN_ATLAS}, or create a new one."),
    (NotOnAccessList, "atlas_access_list", "Edit it in Atlas: API Access List, Add Entry."),
    (ProjectNotFound, "atlas_project", "Atlas shows the id in Project Settings."),
    (RoleMissing, "atlas_role", f"{GRANT}."),
    (AtlasError, "atlas", "Check MONGODB_ATLAS_BASE_URL, MONGODB_ATLAS_API_VERSION, the network."),
)


async def check_project(
    settings: Settings, project: ProjectSettings, now: datetime
) -> list[Result]:
    """Check one project."""
    atlas = settings.atlas
    async with open_reader(
        project.credentials,
        base_url=atlas.base_url,
        version=atlas.api_version,
        envelope=atlas.envelope,
        timeout=READ_TIMEOUT,
    ) as reader:
        checks = ProjectChecks(project, reader, now)
        await checks.run()
    return list(checks.results.values())


@dataclass
class ProjectChecks:
    """The checks of one project, each of which needs those before it."""

    project: ProjectSettings
    atlas: AtlasReader
    now: datetime
    results: dict[str, Result] = field(default_factory=dict)

    async def run(self) -> None:
        if not await self._reach_project():
            others = self._subject("atlas_others")
            self._add(others.unchecked("They need an answer of Atlas about the project."))
            return
        self._add(await self._check_role())
        clusters = await self._read_clusters()
        if clusters is not None:
            self._add(await self._check_jobs(clusters))
        self._add(await self._check_feed())

    def _subject(self, check: str) -> Result:
        name = self.project.label
        kind = "key" if isinstance(self.project.credentials, DigestKey) else "service account"
        names = {
            "atlas": "Atlas",
            "atlas_key": f"{kind} of {name}",
            "atlas_access_list": f"access list of the {kind} of {name}",
            "atlas_project": f"project {name}",
            "atlas_role": f"role of the {kind} of {name}",
            "atlas_clusters": f"clusters of {name}",
            "atlas_restore_jobs": f"restore jobs of {name}",
            "atlas_activity_feed": f"activity feed of {name}",
            "atlas_others": f"further checks of {name}",
        }
        return Result(check, names[check])

    def _add(self, *results: Result) -> None:
        self.results |= {result.check: result for result in results}

    async def _reach_project(self) -> bool:
        """Read the project: the error of this first call shows which part failed."""
        try:
            project = await self.atlas.project(self.project.id)
        except AtlasError as error:
            check, fix = next(rest for kind, *rest in FIRST_CALL if isinstance(error, kind))
            self._add(self._subject(check).problem(describe(error), fix))
            return False
        self._add(
            self._subject("atlas_key").ok("Atlas accepts it."),
            self._subject("atlas_access_list").ok("Atlas accepts calls from this address."),
            self._subject("atlas_project").ok(f"It is {project.name} ({self.project.id})."),
        )
        return True

    async def _check_role(self) -> Result:
        subject = self._subject("atlas_role")
        try:
            roles = await self.atlas.roles(self.project.id)
        except AtlasError as error:
            return subject.unchecked(describe(error), VERIFY)
        return check_role(subject, roles, is_read_only=self.project.policies.default.read_only)

    async def _read_clusters(self) -> Sequence[Cluster] | None:
        subject = self._subject("atlas_clusters")
        try:
            clusters = await self.atlas.clusters(self.project.id)
        except AtlasError as error:
            self._add(subject.problem(describe(error), "Reading them needs GROUP_READ_ONLY."))
            return None
        names = [cluster.name for cluster in clusters]
        if clusters.unread:
            sentence = f"{len(names)} can be read, but {clusters.unread_text('cluster')}."
            self._add(subject.warning(sentence, "Look at those in Atlas, and update this program."))
        elif names:
            self._add(subject.ok(f"{len(names)} can be read."))
        else:
            self._add(subject.warning("There are none.", "Check that the project is right."))
        return clusters

    async def _check_jobs(self, clusters: Sequence[Cluster]) -> Result:
        """Read the restore jobs of the first cluster of a kind that can have them."""
        subject = self._subject("atlas_restore_jobs")
        for cluster in clusters[:MAX_CLUSTERS]:
            try:
                jobs = await self.atlas.restore_jobs(self.project.id, cluster.name)
            except (WrongClusterKind, ClusterNotFound):  # flex, or deleted and its backups kept
                continue
            except AtlasError as error:
                fix = f"{GRANT}; if it has that, GROUP_BACKUP_MANAGER."
                is_role = isinstance(error, RoleMissing)
                return subject.problem(describe(error), fix if is_role else TRY_LATER)
            if jobs.unread:
                sentence = f"{jobs.unread_text('job')} of {cluster.name}."
                return subject.warning(sentence, "Update this program, and report it.")
            return subject.ok(f"The {len(jobs)} jobs of {cluster.name} can be read.")
        return subject.unchecked("No cluster was found that can have restore jobs.")

    async def _check_feed(self) -> Result:
        subject = self._subject("atlas_activity_feed")
        try:
            await self.atlas.events(self.project.id, self.now - FEED_SPAN)
        except AtlasError as error:  # the bot can do without it
            is_role = isinstance(error, RoleMissing)
            fix = f"{READ_FEED}: {FEED_ROLE}." if is_role else f"{READ_FEED}. {TRY_LATER}"
            return subject.warning(describe(error), fix)
        return subject.ok("It can be read.")


def check_role(subject: Result, roles: frozenset[str], *, is_read_only: bool) -> Result:
    """Check that a role allows what the settings ask for, and not much more."""
    if mighty := sorted(roles & RISKS.keys()):
        more = ", ".join(f"{role} {RISKS[role]}" for role in mighty)
        return subject.warning(f"It has more than the bot needs: {more}.", f"{GRANT} alone.")
    if is_read_only:
        return subject.ok("The project is read-only, so that no role to cancel is needed.")
    if enough := sorted(roles & CANCEL_ROLES):
        return subject.ok(f"{', '.join(enough)} is enough to cancel.")
    if not roles:
        return subject.unchecked("Atlas does not return it.", VERIFY)
    fix = f"{GRANT}, or set BOT_READ_ONLY=true until then."
    names = ", ".join(sorted(roles))
    return subject.problem(f"None of its roles is known to allow a cancel ({names}).", fix)


def describe(error: AtlasError) -> str:
    """Return the error's sentence, with Atlas's own code and explanation."""
    own = " ".join(part for part in (error.code, error.detail) if part)
    return f"{error} ({own})" if own else str(error)
