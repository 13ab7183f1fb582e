"""The slash command: a list, the dialog of one job, or the help."""

import asyncio
from collections.abc import Mapping
from typing import Any

from bot.cancellation import errors
from bot.cancellation.people import NO_ONE
from bot.services.lookup import Running
from bot.services.projects import Project
from bot.slack import grammar, list_view, mrkdwn
from bot.slack.context import EXPECTED, LOOKUP_TIMEOUT, SLOW_ATLAS, SlackContext
from bot.slack.dialog import Wanted, open_dialog
from bot.slack.grammar import Help, Invalid, ShowJob, ShowList


async def handle(context: SlackContext, body: Mapping[str, Any]) -> None:
    """Answer the command; a list is made in the background."""
    name = str(body.get("command") or "/cancel-restore")
    match grammar.parse(str(body.get("text") or "")):
        case Help():
            await context.tell(body, list_view.help_text(name))
        case Invalid(problem=problem, example=example):
            text = mrkdwn.escape(problem, 1000)
            await context.tell(body, f"{text} Try `{name} {mrkdwn.escape(example)}`")
        case ShowList(cluster=cluster):
            context.background.start(_list(context, body, name, cluster), "list")
        case ShowJob() as wanted:
            await _show(context, body, wanted)


async def _show(context: SlackContext, body: Mapping[str, Any], wanted: ShowJob) -> None:
    try:
        person, usable = await context.usable_projects(body)
        projects = _chosen(context, usable, wanted.project)
    except EXPECTED as error:
        await context.tell_error(body, error)
        return
    await open_dialog(context, body, person, Wanted(wanted.job_id, wanted.cluster, tuple(projects)))


def _chosen(context: SlackContext, usable: list[Project], name: str | None) -> list[Project]:
    """Return the projects to search; raises why there is none."""
    if not usable:
        everybody = NO_ONE
        for project in context.projects:
            everybody |= project.policies.default.may_ask
        raise errors.MayNotAsk(everybody)
    if name is None:
        return usable
    found = context.projects.find(name)
    if found is None or found not in usable:
        raise UnknownName(name, ", ".join(item.name for item in usable))
    return [found]


class UnknownName(errors.CancellationError):
    """The command names a project that the person cannot use."""

    sentence = "There is no project “{name}” that you may use. Projects: {known}."

    def __init__(self, name: str, known: str) -> None:
        super().__init__()
        self.name, self.known = name, known


async def _list(
    context: SlackContext, body: Mapping[str, Any], name: str, cluster: str | None
) -> None:
    try:
        _, usable = await context.usable_projects(body)
        projects = _chosen(context, usable, None)
        async with asyncio.timeout(LOOKUP_TIMEOUT):
            running: Running = await context.lookup.running(projects, cluster)
    except TimeoutError:
        await context.tell(body, SLOW_ATLAS)
    except EXPECTED as error:
        await context.tell_error(body, error)
    else:
        view = list_view.downloads(running, projects, cluster, name, context.now())
        await context.tell(body, view)
