"""Builds the private answers to commands: the help, and the explanation of invalid ones."""

from collections.abc import Iterable, Mapping, Sequence

from bot.cancellation.lifecycle import Request
from bot.slack import mrkdwn
from bot.slack.deployment import EXAMPLE, command, command_code, for_example, with_example
from bot.slack.grammar import InvalidCommand

MAX_PROJECTS = 20  #: projects that one sentence names

#: The forms of the command, as the help shows them.
FORMS: Mapping[str, str] = {
    "": "lets you pick a cluster and one of its downloads",
    "CLUSTER": "lets you pick a download of this cluster",
    "CLUSTER JOB_ID": "shows this download, and lets you cancel it",
    "PROJECT CLUSTER JOB_ID": "shows it where the bot knows several projects",
    "PROJECT/CLUSTER JOB_ID": "shows it as well",
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


def help_text(names: Sequence[str]) -> str:
    """Explain the forms of the command, with an example and the reader's projects."""
    lines = [
        "*Cancel a download of a MongoDB Atlas backup* before its link is used.",
        *(f"• `{command(form)}` {does}" for form, does in FORMS.items()),
        f"For example: {command_code(EXAMPLE)}",
        *([f"Projects: {_codes(names)}"] if names else []),
    ]
    return "\n".join(lines)


def invalid(answer: InvalidCommand) -> str:
    """Explain what is wrong with a command, with a suggestion and an example."""
    return with_example(mrkdwn.escape(answer.problem, 600), answer.suggestion)


def right_verbs(request: Request) -> str:
    """Answer a decision that is not one about this request: with those that are."""
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
    """Say that the bot does not know a project, and which ones the reader may use."""
    known = f"; you may use {_codes(names)}" if names else ""
    problem = f"The bot does not know a project {mrkdwn.code(given)}{known}."
    example = f"{next(iter(names), 'PROJECT')}/{EXAMPLE}"
    return f"{problem}\n{for_example(example)}"


def _codes(projects: Iterable[str]) -> str:
    return mrkdwn.join(map(mrkdwn.code, projects), MAX_PROJECTS)
