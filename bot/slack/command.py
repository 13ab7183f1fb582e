"""The slash command: a list, the dialog of one job, or the help."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.cancellation import errors
from bot.cancellation.people import NO_ONE, ActingPerson
from bot.services.lookup import Running
from bot.services.projects import Project
from bot.slack import blockkit, grammar, list_view, mrkdwn
from bot.slack.context import EXPECTED, SLOW_ATLAS, SlackContext
from bot.slack.dialog import Wanted, open_dialog
from bot.slack.grammar import Help, Invalid, ShowJob, ShowList

#: Seconds for a list: many clusters take as long as Atlas's limit of calls wants.
LIST_TIMEOUT = 120.0
NOTICE_AFTER = 5.0  #: seconds after which a person is told that the list takes longer
STILL_READING = "Atlas is being read. The list follows within two minutes."


@dataclass(eq=False, repr=False)
class UnknownName(errors.CancellationError):
    """The command names a project that the person cannot use."""

    sentence = "There is no project “{name}” that you may use. Projects: {usable}."

    name: str
    usable: str


def handle(context: SlackContext, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the answer to a command; None where it follows from the background."""
    name = str(body.get("command") or "")
    match grammar.parse(str(body.get("text") or "")):
        case Help():
            return {"response_type": "ephemeral", **list_view.help_text(name)}
        case Invalid() as command:
            return {"response_type": "ephemeral", "text": _explain(command, name)}
        case ShowList() as command:
            context.start(_list(context, body, name, command), "list", body)
        case ShowJob() as command:
            wanted = Wanted(command.job_id, command.cluster)

            async def choose() -> tuple[ActingPerson, list[Project]]:
                return await _usable(context, body, command.project)

            context.start(open_dialog(context, body, wanted, choose), "dialog", body)
    return None


def _explain(command: Invalid, name: str) -> str:
    """Say what was wrong, the nearest form, and an example."""
    problem = mrkdwn.escape(command.problem, 1000)
    form, example = (mrkdwn.code(f"{name} {text}") for text in (command.form, command.example))
    return (
        f"{problem} Type {form}."
        if example == form
        else f"{problem} Type {form}, for example {example}."
    )


async def _usable(
    context: SlackContext, body: Mapping[str, Any], name: str | None = None
) -> tuple[ActingPerson, list[Project]]:
    """Return who sent a command, and the projects to search; raises why there is none."""
    person, usable = await context.usable_projects(body)
    if not usable:
        everybody = NO_ONE
        for project in context.projects:
            everybody |= project.policies.default.may_ask
        raise errors.MayNotAsk(everybody)
    if name is None:
        return person, usable
    found = context.projects.find(name)
    if found is None or found not in usable:
        raise UnknownName(name, ", ".join(item.name for item in usable))
    return person, [found]


async def _list(
    context: SlackContext, body: Mapping[str, Any], name: str, command: ShowList
) -> None:
    try:
        _, projects = await _usable(context, body)
        running = await _read(context, body, projects, command.cluster)
    except TimeoutError:
        await context.tell(body, SLOW_ATLAS)
    except EXPECTED as error:
        await context.tell_error(body, error)
    else:
        view = list_view.downloads(running, projects, command.cluster, name, context.now())
        await context.tell(body, _with_hint(view, command.hint, name))


async def _read(
    context: SlackContext,
    body: Mapping[str, Any],
    projects: list[Project],
    cluster: str | None,
) -> Running:
    """Read what runs; a person who waits for long is told. Raises `TimeoutError`."""
    reading = asyncio.create_task(context.lookup.running(projects, cluster))
    try:
        async with asyncio.timeout(LIST_TIMEOUT):
            done, _ = await asyncio.wait({reading}, timeout=NOTICE_AFTER)
            if not done:
                await context.tell(body, STILL_READING)
            return await reading
    finally:
        reading.cancel()


def _with_hint(view: dict[str, Any], hint: Invalid | None, name: str) -> dict[str, Any]:
    """Put what the person perhaps meant above a list."""
    return (
        view
        if hint is None
        else {**view, "blocks": [blockkit.context(_explain(hint, name)), *view["blocks"]]}
    )
