"""The slash command and the label of this deployment, for several bots in one workspace.

Sentences of every feature name the command, so it is a context variable, as the request id of the
log is: a bot sets it before it starts its tasks.
"""

from contextvars import ContextVar

from bot.slack import mrkdwn

#: The arguments of the example that answers show.
EXAMPLE = "prod-eu 5b622f9287d9d6039aa3fd87"

_command = ContextVar("command", default="/cancel-restore")
_label = ContextVar("label", default="")


def set_deployment(command: str, label: str | None) -> None:
    """Set both for the current task and for those that it starts."""
    _command.set(command)
    _label.set(label or "")


def command(rest: str = "") -> str:
    """Return the slash command with what follows it, as plain text."""
    return f"{_command.get()} {rest}".strip()


def command_code(rest: str = "") -> str:
    return mrkdwn.code(command(rest))


def labelled(text: str) -> str:
    """Put the label, if there is one, before the first line of a message (mrkdwn)."""
    label = mrkdwn.escape(_label.get())
    return f"[{label}] {text}" if label else text


def with_example(problem: str, suggestion: str | None = None, example: str = EXAMPLE) -> str:
    """Add a suggestion and an example to a problem, which is trusted mrkdwn."""
    meant = f" Did you mean {command_code(suggestion)}?" if suggestion else ""
    return f"{problem}{meant}\n{for_example(example)}"


def for_example(rest: str) -> str:
    return f"For example: {command_code(rest)}, and {command_code('help')} tells more."
