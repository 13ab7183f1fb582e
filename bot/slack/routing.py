"""Routes commands, job buttons and message shortcuts to a dialog, a list or a text."""

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import structlog

from bot.atlas import InvalidName, JobRef
from bot.cancellation.policy import may_use_channel
from bot.services.projects import Projects
from bot.slack import mrkdwn
from bot.slack.card.decisions import Decisions
from bot.slack.command import grammar
from bot.slack.command import views as command_views
from bot.slack.command.grammar import Decide, ShowHistory, ShowList
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.dialog.flow import SearchQuery, open_job, open_search
from bot.slack.dialog.metadata import JobTarget
from bot.slack.errors import sentence_for
from bot.slack.lists import show_history, show_jobs
from bot.slack.picker.flow import Picker, PickerQuery

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProjectText:
    """A private reply that names projects; `build` gets the names that the person may see."""

    build: Callable[[Sequence[str]], str]


#: The names of routes in the log.
ROUTES = {PickerQuery: "picker", ShowList: "list", ShowHistory: "history"}

#: A string is the text of a private reply (trusted mrkdwn).
Route: TypeAlias = (
    JobTarget | SearchQuery | PickerQuery | ShowList | ShowHistory | Decide | ProjectText | str
)


def route(command: grammar.Command, channel: str, projects: Projects, typed: str = "") -> Route:
    """Choose the route of a command (pure).

    The text itself, `typed`, may be a project's name that the grammar rejects.
    """
    match command:
        case grammar.OpenDialog():
            return _route_dialog(command, channel, projects)
        case ShowList() | ShowHistory() | Decide():
            return command
        case grammar.Help():
            return ProjectText(command_views.help_text)
        case grammar.InvalidCommand():
            return _route_project(typed, channel, projects) or command_views.invalid(command)


def _route_dialog(command: grammar.OpenDialog, channel: str, projects: Projects) -> Route:
    project = projects.find(command.project) if command.project else projects.only
    cluster, job_id = command.cluster, command.job_id
    if project is None and command.project:
        return ProjectText(partial(command_views.unknown_project, command.project))
    if job_id is None:
        return PickerQuery(project=project, word=cluster, asked_in=channel)
    if project is None or cluster is None:
        return SearchQuery(job_id=job_id, projects=projects.all, cluster=cluster, asked_in=channel)
    try:
        ref = JobRef(project_id=project.id, cluster_name=cluster, job_id=job_id)
    except InvalidName as error:
        return command_views.with_example(mrkdwn.escape(str(error)))
    if refusal := may_use_channel(project.policy, channel):
        return sentence_for(refusal)
    return JobTarget(ref=ref, asked_in=channel)


def _route_project(typed: str, channel: str, projects: Projects) -> PickerQuery | None:
    project = projects.find(grammar.normalise(typed)) if typed else None
    return PickerQuery(project=project, asked_in=channel) if project else None


def dispatch(deps: Dependencies, to: Route, by: Interaction, event: str) -> None:
    """Start the work of a route in the background, after the ack; `event` is for the log."""
    log_route(event, to, by)
    deps.start(_work(deps, to, by), f"dispatch {log_fields(to)['route']}", by.reply_to)


def log_route(event: str, to: Route, by: Interaction) -> None:
    """Log what a person did and its route; never the typed text."""
    log.info(event, actor=by.reply_to.user, channel=by.reply_to.channel, **log_fields(to))


def log_fields(to: Route) -> dict[str, str]:
    """Describe a route for the log (pure)."""
    match to:
        case JobTarget(ref=ref):
            return {"route": "job", "cluster": ref.cluster_name, "job": ref.job_id}
        case SearchQuery(job_id=job_id):
            return {"route": "search", "job": job_id}
        case PickerQuery() | ShowList() | ShowHistory():
            return {"route": ROUTES[type(to)]}
        case Decide(verb, request_id):
            return {"route": verb, "decides": request_id}
        case ProjectText() | str():
            return {"route": "text"}


def _work(deps: Dependencies, to: Route, by: Interaction) -> Coroutine[Any, Any, None]:
    match to:
        case JobTarget():
            return open_job(deps, to, by)
        case SearchQuery():
            return open_search(deps, to, by)
        case PickerQuery():
            return Picker(deps, by).open(to)
        case ShowList(cluster):
            return show_jobs(deps, by, cluster)
        case ShowHistory(count):
            return show_history(deps, by, count)
        case Decide() | ProjectText() | str():
            return _answer(deps, to, by)


async def _answer(deps: Dependencies, to: Decide | ProjectText | str, by: Interaction) -> None:
    """Send a private reply; Slack says which projects the person may see."""
    if isinstance(to, Decide):
        to = await Decisions(deps).answer(to, by.actor)
    elif isinstance(to, ProjectText):
        projects = await deps.directory.visible_projects(by.actor, deps.service.projects.all)
        to = to.build([project.name for project in projects])
    await deps.replies.send_text(by.reply_to, to)
