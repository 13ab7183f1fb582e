"""Routes the slash command and the message shortcut to a dialog, a list or a private text."""

from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import structlog

from bot.atlas import InvalidName, JobRef, is_object_id
from bot.cancellation.errors import (
    AlreadyHandled,
    CancellationError,
    DenialReasonMissing,
    KeepReasonMissing,
    OwnRequest,
)
from bot.cancellation.lifecycle import UNDECIDED, Request, State
from bot.services.projects import Projects
from bot.slack import blockkit, deployment, grammar, ids, job_lines, mrkdwn
from bot.slack.decisions import Decisions, decide_when_possible
from bot.slack.dependencies import Dependencies, Interaction
from bot.slack.deployment import EXAMPLE, command_code, for_example, with_example
from bot.slack.dialog.flow import open_dialog
from bot.slack.dialog.state import DialogState
from bot.slack.grammar import Command, Decide, InvalidCommand, ShowHistory, ShowList
from bot.slack.lists import show_history, show_jobs
from bot.slack.payloads import Actor

log = structlog.get_logger(__name__)

#: Characters around names and ids in prose.
PUNCTUATION = "*_~.,;:!?()[]{}'\""

#: Builds a private reply that names projects, from the names that the person may see.
ProjectText: TypeAlias = Callable[[Sequence[str]], str]

#: A string is the text of a private reply (trusted mrkdwn).
Route: TypeAlias = DialogState | ShowList | ShowHistory | Decide | ProjectText | str

MAX_PROJECTS = 20  #: projects that one sentence names

#: The forms of the command, as the help shows them.
FORMS: Mapping[str, str] = {
    "": "lets you pick a cluster and one of its downloads",
    "CLUSTER": "lets you pick a download of this cluster",
    "CLUSTER JOB_ID": "shows this download, and lets you cancel it",
    "PROJECT CLUSTER JOB_ID": "shows it where the bot knows several projects",
    "PROJECT/CLUSTER JOB_ID": "shows it, with project and cluster in one word",
    "JOB_ID": "finds the cluster of this download, and shows it",
    "LINK": "shows the download or the cluster that a link to Atlas or its API names",
    "list [CLUSTER]": "lists the downloads that can be cancelled now",
    "history [N]": "lists the last requests",
    "approve REQUEST": "approves cancelling; the request's id is on its card",
    "deny REQUEST REASON": "denies cancelling: the download goes on",
    "withdraw REQUEST": "withdraws your own request",
    "keep REQUEST REASON": "keeps a download in quarantine: it goes on",
    "cancel REQUEST": "cancels a download in quarantine now",
    "help": "shows this",
}


def on_command(deps: Dependencies, body: dict[str, Any]) -> dict[str, Any] | None:
    typed, by = str(body.get("text") or ""), deps.interaction(body)
    to = route(grammar.parse(typed), by.channel, deps.service.projects)
    if isinstance(to, str):
        _log(by, "command typed", "text")
        return blockkit.private(to)
    dispatch(deps, to, by, "command typed")
    return None


def on_button(event: str, deps: Dependencies, body: dict[str, Any]) -> None:
    """Do what the button's value says, which is a command."""
    typed, by = str(body["actions"][0].get("value") or ""), deps.interaction(body)
    to = route(grammar.parse(typed), by.channel, deps.service.projects)
    is_click = body["actions"][0]["action_id"] == ids.OPEN  # else a typed command, again
    dispatch(deps, by_click(to) if is_click else to, by, event)


def on_shortcut(deps: Dependencies, body: dict[str, Any]) -> None:
    by = deps.interaction(body)
    to = route_message(body.get("message") or {}, by.channel, deps.service.projects)
    dispatch(deps, by_click(to), by, "shortcut used")


def route(command: Command, channel: str, projects: Projects) -> Route:
    """Choose the route of a command (pure)."""
    match command:
        case grammar.OpenDialog():
            return _route_dialog(command, channel, projects)
        case ShowList() | ShowHistory() | Decide():
            return command
        case grammar.Help():
            return help_text
        case InvalidCommand():
            return invalid(command)


def by_click(to: Route) -> Route:
    return replace(to, is_click=True) if isinstance(to, DialogState) else to


def _route_dialog(command: grammar.OpenDialog, channel: str, projects: Projects) -> Route:
    project = projects.find(command.project) if command.project else projects.only
    cluster, job_id = command.cluster, command.job_id
    if project is None and command.project:
        return partial(unknown_project, command.project)
    if job_id is None:
        project_id = project.id if project else None
        return DialogState(
            asked_in=channel, project_id=project_id, cluster=cluster, has_pickers=True
        )
    if project is None or cluster is None:
        return DialogState(asked_in=channel, cluster=cluster, job_id=job_id)
    try:
        ref = JobRef(project_id=project.id, cluster_name=cluster, job_id=job_id)
    except InvalidName as error:
        return with_example(mrkdwn.escape(str(error)))
    return DialogState(asked_in=channel).about(ref)


def route_message(message: Mapping[str, Any], channel: str, projects: Projects) -> Route:
    """Choose the route of a message by its first URL, or else by its first job id (pure)."""
    texts = " ".join(map(grammar.normalise, _texts(message)))
    words = [bare for word in texts.split() if (bare := word.strip(PUNCTUATION))]
    object_ids = [word.lower() for word in words if is_object_id(word)]
    job_ids = [each for each in object_ids if projects.find(each) is None]
    for word in words:
        if url := grammar.parse_url(word):
            command = grammar.parse(" ".join([word, *job_ids[:1]]) if url.cluster else word)
            if isinstance(command, grammar.OpenDialog):
                return route(command, channel, projects)
    if not job_ids:
        return no_job_in_message()
    return DialogState(asked_in=channel, job_id=job_ids[0])


def no_job_in_message() -> str:
    return (
        "This message names no download: it contains no link to one, and no id "
        f"(24 characters 0-9 or a-f). {command_code('list')} shows what can be cancelled now."
    )


def _texts(part: object, depth: int = 8) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, list | dict) and depth:
        for each in part if isinstance(part, list) else part.values():
            yield from _texts(each, depth - 1)


def dispatch(deps: Dependencies, to: Route, by: Interaction, event: str) -> None:
    """Start the work of a route in the background, after the ack; `event` is for the log."""
    about: Mapping[str, str] = {}  # never the typed text
    match to:
        case DialogState(job_id=job_id, ref=ref):
            name = "job" if ref else "search" if job_id else "picker"
            work = open_dialog(deps, to, by)
            about = {"job": job_id} if job_id else {}
            about |= {"cluster": ref.cluster_name} if ref else {}
        case ShowList(cluster):
            name, work = "list", show_jobs(deps, by, cluster)
        case ShowHistory(count):
            name, work = "history", show_history(deps, by, count)
        case Decide(verb, request_id):
            name, work = verb, _decide(deps, to, by)
            about = {"decides": request_id}
        case str():
            name, work = "text", deps.replies.send_text(by, to)
        case _:
            name, work = "text", _name_projects(deps, to, by)
    _log(by, event, name, **about)
    deps.start(work, f"dispatch {name}", by)


def _log(by: Interaction, event: str, name: str, **about: str) -> None:
    log.info(event, actor=by.actor.id, channel=by.channel_id, route=name, **about)


async def _decide(deps: Dependencies, typed: Decide, by: Interaction) -> None:
    try:
        text = await decide_when_possible(partial(_decided, deps, typed, by), deps, by)
    except CancellationError as error:
        await deps.refuse(by, error, to_type(typed, error))
    else:
        await deps.replies.send_text(by, text)


def to_type(typed: Decide, refusal: CancellationError) -> str:
    """Return the command that its author can type after a refusal; nothing without one (pure)."""
    match refusal:
        case DenialReasonMissing() | KeepReasonMissing():
            return f"\n{for_example(f'{typed.verb} {typed.request_id} REASON')}"
        case OwnRequest():
            return f"\n{for_example(f'withdraw {typed.request_id}')}"
    return ""


async def _decided(deps: Dependencies, typed: Decide, by: Interaction) -> str:
    """Carry out a typed decision if it is one about such a request; return the answer."""
    request = await deps.service.requests.get(typed.request_id)
    if typed.verb not in (grammar.QUARANTINE_DECISIONS if request.by_bot else grammar.DECISIONS):
        if request.state not in UNDECIDED:
            raise AlreadyHandled(request)
        log.info("command refused", actor=by.actor.id, why="verb of another kind of request")
        return right_verbs(request)
    request = await _decision(Decisions(deps), typed, by.actor)
    missing = request.approvals_missing if request.state is State.AWAITING else 0
    needed = f" {mrkdwn.count(missing, 'more approval')} needed." if missing else ""
    job, status = mrkdwn.summary(request), mrkdwn.request_status(request)
    link = job_lines.link_below(request, await deps.job_of(request.ref))
    return f":white_check_mark: Recorded for {job}. {status}{needed}{link}"


def _decision(decisions: Decisions, typed: Decide, actor: Actor) -> Coroutine[Any, Any, Request]:
    match typed.verb:
        case "approve" | "cancel":
            return decisions.approve(typed.request_id, actor)
        case "deny":
            return decisions.deny(typed.request_id, actor, typed.reason)
        case "keep":
            return decisions.keep(typed.request_id, actor, typed.reason)
    return decisions.withdraw(typed.request_id, actor)


async def _name_projects(deps: Dependencies, build: ProjectText, by: Interaction) -> None:
    """Send a text with the projects that the person may see by what Slack says."""
    projects = await deps.visible_projects(by.actor)
    await deps.replies.send_text(by, build([project.name for project in projects]))


def help_text(names: Sequence[str]) -> str:
    """Explain the forms of the command, with an example and the reader's projects."""
    lines = [
        "*Cancel a download of a MongoDB Atlas backup* before its link is used.",
        *(f"• `{deployment.command(form)}` {does}" for form, does in FORMS.items()),
        f"For example: {command_code(EXAMPLE)}",
        *([f"Projects: {_codes(names)}"] if names else []),
    ]
    return "\n".join(lines)


def invalid(answer: InvalidCommand) -> str:
    return with_example(mrkdwn.escape(answer.problem, 600), answer.suggestion, answer.example)


def right_verbs(request: Request) -> str:
    if request.by_bot:
        keep, cancel = f"keep {request.id} REASON", f"cancel {request.id}"
        return (
            "Nothing was changed: this is a download in quarantine. "
            f"{command_code(keep)} lets it go on, and {command_code(cancel)} cancels it now."
        )
    approve, deny = f"approve {request.id}", f"deny {request.id} REASON"
    return (
        "Nothing was changed: this is a request to cancel a download. "
        f"{command_code(approve)} approves cancelling, and {command_code(deny)} denies it."
    )


def unknown_project(given: str, names: Sequence[str]) -> str:
    known = f"; you may use {_codes(names)}" if names else ""
    problem = f"The bot does not know a project {mrkdwn.code(given)}{known}."
    example = f"{next(iter(names), 'PROJECT')}/{EXAMPLE}"
    return f"{problem}\n{for_example(example)}"


def _codes(projects: Iterable[str]) -> str:
    return mrkdwn.join(map(mrkdwn.code, projects), MAX_PROJECTS)
