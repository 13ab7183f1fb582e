"""Sends a message again without what Slack refused: its metadata, or its blocks.

The plain text has the facts of the blocks, and the command to type in place of each button.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

import structlog

from bot.slack import blockkit, ids
from bot.slack.blockkit import Block
from bot.slack.deployment import command
from bot.slack.errors import SlackRejected

T = TypeVar("T")

log = structlog.get_logger(__name__)

#: What follows the command to do the same as a button, whose value it includes.
COMMANDS = {ids.APPROVE: "approve {}", ids.DENY: "deny {} REASON", ids.WITHDRAW: "withdraw {}"} | {
    ids.OPEN: "{}",
    ids.KEEP: "keep {} REASON",
    ids.NOT_MINE: "{}",  # no text is an answer, but it cancels the download
}
#: The button *Cancel it now* has the action id of *Approve*, and *Keep it* is beside it.
QUARANTINE_COMMANDS = COMMANDS | {ids.APPROVE: "cancel {}"}

#: Characters; `chat.update` and `chat.postEphemeral` accept 4,000.
MAX_TEXT = 3900
#: The part that facts keep, however many commands there are.
MIN_FACTS = 2000


async def send_simplified(
    call: Callable[[Mapping[str, Any]], Awaitable[T]],
    content: Mapping[str, Any],
    *,
    is_edit: bool = False,
) -> T:
    """Call Slack with `content`, and again without the part that it refuses.

    Raises what `call` raises for the simplest content.
    """
    try:
        return await call(content)
    except SlackRejected as error:
        if (simpler := simplify(content, error.code, is_edit=is_edit)) is None:
            raise
        log.warning("message is sent again in a simpler form", error=error.sentence)
    return await send_simplified(call, simpler, is_edit=is_edit)


def simplify(
    content: Mapping[str, Any], code: str, *, is_edit: bool = False
) -> dict[str, Any] | None:
    """Return `content` without metadata or blocks, by Slack's error code; None without them.

    An edit keeps its metadata unless Slack names it: without, the message would keep those of its
    earlier state.
    """
    others = ("blocks",) if is_edit else ("blocks", "metadata")
    parts = ("metadata",) if "metadata" in code else others
    refused = next((part for part in parts if content.get(part)), None)
    if refused is None:
        return None
    text = {"text": as_text(content["blocks"])} if refused == "blocks" else {}
    return {name: part for name, part in content.items() if name != refused} | text


def as_text(blocks: list[Block]) -> str:
    """Return the texts of blocks, then a line with a command for each button that has one."""
    facts = "\n".join(filter(None, map(_text, blocks)))
    commands = "\n".join(line for block in blocks for line in _commands(block))
    commands = blockkit.cut(commands, MAX_TEXT - MIN_FACTS)
    return f"{blockkit.cut(facts, MAX_TEXT - len(commands) - 1)}\n{commands}".strip()


def _text(block: Block) -> str:
    fields = [part["text"].replace("*\n", "* ", 1) for part in block.get("fields", [])]
    notes = [part["text"] for part in block.get("elements", []) if part["type"] == "mrkdwn"]
    own = [block["text"]["text"]] if "text" in block else []
    return "\n".join([*own, *fields, *notes])


def _commands(block: Block) -> Iterator[str]:
    buttons = (*block.get("elements", []), block.get("accessory", {}))
    in_quarantine = any(each.get("action_id") == ids.KEEP for each in buttons)
    commands = QUARANTINE_COMMANDS if in_quarantine else COMMANDS
    for button in buttons:
        if rest := commands.get(button.get("action_id", "")):
            label = button["text"]["text"]
            yield f"{label}: `{command(rest.format(button['value']))}`"
