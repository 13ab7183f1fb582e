"""Checks the organizations of the projects file: their lists, and the projects they select."""

from collections.abc import Sequence

from bot.atlas import AtlasClient, AtlasError, Project
from bot.doctor.atlas import TIMEOUT, describe
from bot.doctor.results import CheckResult, Subject
from bot.services.organizations import selects
from bot.settings import OrganizationSettings, ProjectSettings, Settings

READ_LIST = "Compare the credentials; their list has the projects in which they have a role."
NO_PROJECTS = "Compare include and exclude with the names in Atlas, and the roles of the key."
NAME_THEM = "Type their ids, or give each a name in a [[projects]] entry of its own."


async def check_organizations(
    settings: Settings,
) -> tuple[list[CheckResult], list[ProjectSettings]]:
    """Return a result for each organization, and the settings of all projects."""
    results, projects = [], [*settings.projects]
    for organization in settings.organizations:
        subject = Subject("atlas_organization", organization.label)
        try:
            listed = await _read_list(settings, organization)
        except AtlasError as error:
            results.append(subject.problem(describe(error), READ_LIST))
            continue
        known = {project.id for project in projects}
        found = [
            organization.project(each.id, each.name)
            for each in listed
            if each.id not in known and selects(organization.include, organization.exclude, each)
        ]
        results.append(_result(subject, len(listed), projects, found))
        projects += found
    return results, projects


async def _read_list(settings: Settings, organization: OrganizationSettings) -> list[Project]:
    async with AtlasClient(
        organization.credentials,
        base_url=settings.atlas.base_url,
        version=settings.atlas.api_version,
        envelope=settings.atlas.envelope,
        timeout=TIMEOUT,
    ) as atlas:
        return await atlas.projects()


def _result(
    subject: Subject,
    listed: int,
    others: Sequence[ProjectSettings],
    found: Sequence[ProjectSettings],
) -> CheckResult:
    message = f"{len(found)} of the {listed} projects in its list are selected"
    if not found:
        return subject.warning(message, NO_PROJECTS)
    taken = {each.label.casefold() for each in others}
    twice = []
    for each in found:
        if each.label.casefold() in taken:
            twice.append(f"{each.label} ({each.id})")
        taken.add(each.label.casefold())
    if twice:
        text = f"{message}, but another project has the name of {', '.join(twice)}"
        return subject.warning(text, NAME_THEM)
    return subject.ok(message)
