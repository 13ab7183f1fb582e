"""Finds the button that a person clicks, in the message that this person sees."""

from typing import Any

from bot.sandbox.slack.block_kit.blocks import elements_of
from bot.sandbox.slack.errors import CannotDo
from bot.sandbox.slack.workspace import Channel, User, Workspace

Json = dict[str, Any]


def find_button(message: Json, action_id: str, value: str | None) -> tuple[Json, Json]:
    """Return the block and the one button that has this action.

    Raises:
        CannotDo: no button matches, or several do that `value` does not tell apart.
    """
    found = [
        (block, element)
        for block, element in elements_of(message.get("blocks") or [])
        if element.get("action_id") == action_id and value in (None, element.get("value"))
    ]
    if not found:
        raise CannotDo(f"There is no {action_id} here.")
    if len(found) > 1:
        raise CannotDo(f"There are {len(found)} {action_id} here; say which, by value.")
    return found[0]


def can_see(workspace: Workspace, user: User, channel: Channel, only_for: str | None) -> bool:
    """Members see a channel; full members of the workspace see public ones too."""
    open_to_all = channel.kind == "public" and user.is_full_member and workspace.is_here(user)
    is_there = user.id in channel.members or open_to_all
    return is_there and not user.deleted and only_for in (None, user.id)
