"""Where a command, a button or a message leads: to a dialog, a list, or a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import structlog

from bot.atlas import InvalidName, JobRef
from bot.cancellation.policy import may_use_channel
from bot.slack import mrkdwn
from bot.slack.command import grammar
from bot.slack.command import views as helping
from bot.slack.command.grammar import ShowHistory, ShowList
from bot.slack.dialog.metadata import JobTarget
from bot.slack.dialog.search import SearchQuery
from bot.slack.error_messages import sentence_for
from bot.slack.payloads import actor_of
from bot.slack.picker.flow import PickerQuery
from bot.slack.private_reply import reply_target_of

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping
    from typing import Any

    from bot.cancellation.projects import Project, Projects
    from bot.slack.bolt_app import Dependencies

log = structlog.get_logger(__name__)

#: A string is a private sentence (mrkdwn of our own making).
Route: TypeAlias = JobTarget | SearchQuery | PickerQuery | ShowList | ShowHistory | str


def route(command: grammar.Command, channel: str, projects: Projects, typed: str = "") -> Route:
    """Decide what a command leads to (pure).

    Args:
        command: what was typed, read.
        channel: where.
        projects: those that the bot knows.
        typed: as it was typed, for names of projects that no other grammar has.
    """
    match command:
        case grammar.OpenJob():
            return _job(command, channel, projects)
        case grammar.FindJob(job_id):
            return SearchQuery(job_id=job_id, among=projects.all, asked_in=channel)
        case grammar.OpenPicker():
            return _pickers(command, channel, projects)
        case ShowList() | ShowHistory():
            return command
        case grammar.Help():
            return helping.help_text(project.name for project in projects.all)
        case grammar.Unclear():
            named = projects.find(grammar.normalise(typed)) if typed else None
            return (
                PickerQuery(project=named, asked_in=channel) if named else helping.unclear(command)
            )


def _job(command: grammar.OpenJob, channel: str, projects: Projects) -> Route:
    project = projects.find(command.project) if command.project else projects.only
    if project is None and command.project:
        return _which(command.project, projects)
    if project is None:
        return SearchQuery(
            job_id=command.job_id,
            among=projects.all,
            cluster=command.cluster,
            asked_in=channel,
        )
    try:
        ref = JobRef(project_id=project.id, cluster_name=command.cluster, job_id=command.job_id)
    except InvalidName as error:
        return helping.type_instead(mrkdwn.escape(str(error)))
    return _barred(project, channel) or JobTarget(
        ref=ref, project_name=project.name, asked_in=channel
    )


def _pickers(command: grammar.OpenPicker, channel: str, projects: Projects) -> Route:
    project = projects.find(command.project) if command.project else projects.only
    if project is None and command.project:
        return _which(command.project, projects)
    return PickerQuery(project=project, word=command.cluster, asked_in=channel)


def _which(given: str, projects: Projects) -> str:
    return helping.which_project(given, [each.name for each in projects.all])


def _barred(project: Project, channel: str) -> str | None:
    refusal = may_use_channel(project.policy, channel)
    return sentence_for(refusal) if refusal else None


def dispatch(deps: Dependencies, lead: Route, body: Mapping[str, Any], how: str) -> None:
    """Go where it leads, after the ack.

    Args:
        deps: who does it.
        lead: where it leads.
        body: has the person, the place and the trigger.
        how: what the person did, for the log.
    """
    note(how, lead, body)
    reply_to = reply_target_of(body)
    work = _work(deps, lead, body)
    name = f"answer with {described(lead)['wants']}"
    deps.background.start(work, name, deps.replies.error_callback(reply_to))


def note(how: str, lead: Route, body: Mapping[str, Any]) -> None:
    """Log what a person did, and where it leads: as it was read, not as it was typed."""
    reply_to = reply_target_of(body)
    log.info(how, actor=reply_to.user, channel=reply_to.channel, **described(lead))


def described(lead: Route) -> dict[str, str]:
    """Say where it leads, for the log (pure)."""
    match lead:
        case JobTarget(ref=ref):
            return {"wants": "a job", "cluster": ref.cluster_name, "job": ref.job_id}
        case SearchQuery(job_id=job_id):
            return {"wants": "a job to be found", "job": job_id}
        case PickerQuery():
            return {"wants": "jobs to pick from"}
        case ShowList():
            return {"wants": "the list"}
        case ShowHistory():
            return {"wants": "the history"}
        case str():
            return {"wants": "a sentence"}


def _work(deps: Dependencies, lead: Route, body: Mapping[str, Any]) -> Coroutine[Any, Any, None]:
    reply_to, actor = reply_target_of(body), actor_of(body, deps.identity)
    trigger = str(body.get("trigger_id") or "")
    match lead:
        case JobTarget():
            return deps.dialogs.open(lead, actor, trigger, reply_to)
        case SearchQuery():
            return deps.searches.open(lead, actor, trigger, reply_to)
        case PickerQuery():
            return deps.pickers.open(lead, actor, trigger, reply_to)
        case ShowList(cluster):
            return deps.listings.show_list(cluster, actor, reply_to)
        case ShowHistory(count):
            return deps.listings.show_history(count, actor, reply_to)
        case str():
            return deps.replies.send_text(reply_to, lead)
