"""Answers /cancel-restore: the dialog for a job, or a private sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.atlas import InvalidName, JobRef
from bot.cancellation.policy import may_use_channel
from bot.slack import command as grammar
from bot.slack import names
from bot.slack.blocks import help as helping
from bot.slack.blocks import text
from bot.slack.metadata import Asked
from bot.slack.sentences import sentence_for
from bot.slack.telling import spot_of
from bot.slack.who import channel_of, who_is

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_bolt.async_app import AsyncAck, AsyncApp

    from bot.cancellation.projects import Projects
    from bot.slack.floor import Floor


def register(app: AsyncApp, floor: Floor) -> None:
    async def cancel_restore(ack: AsyncAck, body: dict[str, Any]) -> None:
        answer = answer_to(str(body.get("text") or ""), str(channel_of(body)), floor)
        if isinstance(answer, Asked):
            await ack()
            open_dialog(floor, answer, body)
        else:
            await ack(**helping.private(answer))

    app.command(names.COMMAND)(cancel_restore)


def open_dialog(floor: Floor, asked: Asked, body: Mapping[str, Any]) -> None:
    """Open the dialog after the ack; `body` has the person and the trigger."""
    spot = spot_of(body)
    who = who_is(body, floor.identity)
    opening = floor.dialogs.open(asked, who, str(body.get("trigger_id") or ""), spot)
    floor.background.start(opening, "dialog", floor.telling.apologise(spot))


def answer_to(typed: str, channel: str, floor: Floor) -> Asked | str:
    """Decide what a command leads to: a job to look up, or a private sentence (mrkdwn)."""
    projects = floor.desk.projects
    command = grammar.parse(typed)
    if isinstance(command, grammar.OpenJob):
        asked = job_asked_for(command, channel, projects)
        return _barred(asked, floor) or asked if isinstance(asked, Asked) else asked
    return say(command, projects)


def job_asked_for(command: grammar.OpenJob, channel: str, projects: Projects) -> Asked | str:
    """Find the project that is meant (pure)."""
    project = projects.find(command.project) if command.project else projects.only
    if project is None:
        return helping.which_project(command.project, [each.name for each in projects.all])
    try:
        ref = JobRef(project_id=project.id, cluster_name=command.cluster, job_id=command.job_id)
    except InvalidName as error:
        return helping.type_instead(text.escape(str(error)))
    return Asked(ref=ref, project_name=project.name, asked_in=channel)


def say(command: grammar.Command, projects: Projects) -> str:
    """Answer every command that opens no dialog (pure)."""
    match command:
        case grammar.Help():
            return helping.help_text(project.name for project in projects.all)
        case grammar.Unclear():
            return helping.unclear(command)
        case grammar.FindJob(job_id):
            return helping.type_instead(
                f"Name the cluster of restore job {text.code(job_id)} too, before its id."
            )
        case grammar.OpenPicker(_, cluster) if cluster:
            problem = f"Name the restore job too: its id stands after {text.code(cluster)}."
            return helping.type_instead(problem, grammar.nearest(cluster))
        case grammar.ShowList() | grammar.ShowHistory():
            return helping.type_instead("This is not there yet. Name a cluster and a restore job.")
        case _:
            return helping.type_instead("Name a cluster and the id of a restore job.")


def _barred(asked: Asked, floor: Floor) -> str | None:
    policy = floor.desk.policy_of(asked.ref.project_id)
    refusal = may_use_channel(policy, asked.asked_in) if policy else None
    return sentence_for(refusal) if refusal else None
