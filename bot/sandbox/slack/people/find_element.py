"""Finds the message, view or element that a person acts on, in its current state."""

from typing import Any

from bot.sandbox.slack.block_kit.blocks import elements_of
from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.views import View
from bot.sandbox.slack.workspace import Channel, User, Workspace
from bot.sandbox.slack.world import World

Json = dict[str, Any]


def find_element(
    thing: Json, action_id: str, *, value: str | None = None, block: str | None = None
) -> tuple[Json, Json]:
    """Return the block and the one element that has this action.

    Raises:
        CannotDo: no element matches, or several do that `value` and `block` do not tell apart.
    """
    found = [
        (holder, element)
        for holder, element in elements_of(thing.get("blocks") or [])
        if element.get("action_id") == action_id and value in (None, element.get("value"))
    ]
    if len(found) > 1 and block is not None:
        # Not where one is enough: an edit in between gave each block without an id a new one.
        found = [each for each in found if each[0]["block_id"] == block]
    if not found:
        raise CannotDo(f"There is no {action_id} here.")
    if len(found) > 1:
        raise CannotDo(f"There are {len(found)} {action_id} here; say which, by value or block.")
    return found[0]


def current_version(world: World, person: User, thing: Json) -> Json:
    """Return the current state of a message or view that the person saw.

    Raises:
        CannotDo: it was removed, or this person does not see it.
    """
    if "root_view_id" in thing:
        return world.views.as_json(open_view(world, person, thing))
    message = world.messages.find(thing["channel"], thing["ts"])
    if message is None:
        raise CannotDo("The message is gone.")
    _check_visible(world, person, message.channel, message.only_for)
    return message.snapshot()


def stale_version(world: World, person: User, thing: Json) -> Json:
    """Return `thing` as a client shows it that missed later edits.

    Raises:
        CannotDo: this person never saw it.
    """
    if "root_view_id" in thing:
        open_view(world, person, thing)
    else:
        _check_visible(world, person, thing["channel"], thing.get("only_for"))
    return thing


def _check_visible(world: World, person: User, channel: str, only_for: str | None) -> None:
    visible = can_see(world.workspace, person, world.workspace.channel(channel))
    if only_for not in (None, person.id) or not visible:
        raise CannotDo(f"{person.name} does not see this message.")


def can_see(workspace: Workspace, user: User, channel: Channel) -> bool:
    """Members see a channel; full members of the workspace see public ones too."""
    open_to_all = channel.kind == "public" and user.is_full_member and workspace.is_here(user)
    return not user.deleted and (user.id in channel.members or open_to_all)


def open_view(world: World, person: User, thing: Json | None) -> View:
    """Return an open view of the person; the modal by default."""
    if thing is None and (modal := world.views.modal(person.id)):
        return modal
    try:
        view = world.views.find(view_id=(thing or {}).get("id", "none"))
    except ApiError:
        raise CannotDo(f"{person.name} has no such view open.") from None
    if view.user is not person:
        raise CannotDo(f"That view is on the screen of {view.user.name}.")
    return view


def store_value(world: World, thing: Json, block: Json, element: Json, state: Json) -> None:
    """Keep an element's value in an open view, so that the next submission contains it."""
    if "root_view_id" in thing:
        view = world.views.find(view_id=thing["id"])
        view.values.setdefault(block["block_id"], {})[element["action_id"]] = state
