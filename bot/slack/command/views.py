"""The private answers to commands: the help, and what is said to anything unclear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bot.slack import blockkit, ids, mrkdwn
from bot.slack.command.grammar import EXAMPLE, FORMS, Unclear

if TYPE_CHECKING:
    from collections.abc import Iterable


def private(said: str) -> dict[str, Any]:
    """Build an answer that only its reader sees; `said` is mrkdwn of our own making."""
    said = blockkit.cut(said, blockkit.TEXT)
    return {"response_type": "ephemeral", "text": said, "blocks": [blockkit.section(said)]}


def help_text(projects: Iterable[str]) -> str:
    """Tell what can be typed, with examples, and which projects are known."""
    lines = [
        "*Cancel a restore job of MongoDB Atlas* before somebody downloads the backup.",
        *(f"• `{f'{ids.COMMAND} {form}'.strip()}` {does}" for form, does in FORMS.items()),
        f"For example: {example()}",
        f"Projects: {mrkdwn.listed(_shown(projects))}",
    ]
    return "\n".join(lines)


def unclear(answer: Unclear) -> str:
    """Say what was wrong, which command was perhaps meant, and one that works."""
    meant = f" Did you mean {command(answer.nearest)}?" if answer.nearest else ""
    return f"{mrkdwn.escape(answer.problem, 600)}{meant}\n{_for_example(answer.example)}"


def type_instead(problem: str, nearest: str | None = None) -> str:
    """Say what cannot be done in this way, and what to type; `problem` is mrkdwn of ours."""
    meant = f" Did you mean {command(nearest)}?" if nearest else ""
    return f"{problem}{meant}\n{_for_example(EXAMPLE)}"


def which_project(given: str | None, projects: Iterable[str]) -> str:
    """Ask for the project, where there are several or another one was named."""
    names_known = [*projects]
    known = mrkdwn.listed(_shown(names_known))
    if given is None:
        problem = f"The bot knows several projects, so say which: {known}."
    else:
        problem = f"The bot does not know a project {mrkdwn.code(given)}; it knows {known}."
    first = next(iter(names_known), "PROJECT")
    return f"{problem}\n{_for_example(f'{first}/{EXAMPLE}')}"


def command(rest: str) -> str:
    return mrkdwn.code(f"{ids.COMMAND} {rest}")


def example() -> str:
    return command(EXAMPLE)


def _for_example(rest: str) -> str:
    return f"For example: {command(rest)}, and {command('help')} tells more."


def _shown(projects: Iterable[str], most: int = 20) -> list[str]:
    shown = [mrkdwn.code(name) for name in projects]
    return shown if len(shown) <= most else [*shown[:most], f"{len(shown) - most} more"]
