"""conversations.info and .members, and the visibility of channels."""

from typing import Any

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.auth import Caller, authorize
from bot.sandbox.slack.web_api.methods.method import Method
from bot.sandbox.slack.workspace import Channel
from bot.sandbox.slack.world import World

Json = dict[str, Any]
READ_SCOPES = {"public": "channels:read", "private": "groups:read", "im": "im:read"}


def visible_channel(world: World, channel_id: str) -> Channel:
    """A channel that the app can see: a public one, or one that it is in.

    Raises:
        ApiError: channel_not_found.
    """
    channel = world.workspace.channels.get(channel_id)
    if channel is None or not (channel.kind == "public" or is_in(world, channel)):
        raise ApiError("channel_not_found")
    return channel


def is_in(world: World, channel: Channel) -> bool:
    return world.workspace.app.bot_user in channel.members


def info(world: World, args: Args, caller: Caller) -> Json:
    channel = visible_channel(world, args.text("channel"))
    authorize(caller, ("bot",), (READ_SCOPES[channel.kind],))
    return {"channel": channel_json(world, channel)}


def channel_json(world: World, channel: Channel) -> Json:
    """A conversation object in the shape of its kind."""
    base: Json = {
        "id": channel.id,
        "created": 1700000000,
        "is_archived": channel.is_archived,
        "is_im": channel.kind == "im",
        "is_org_shared": False,
        "context_team_id": world.workspace.team.id,
    }
    if channel.kind == "im":
        return {**base, "user": channel.name, "is_user_deleted": False, "is_open": True}
    return {
        **base,
        "name": channel.name,
        "is_channel": True,
        "is_group": False,
        "is_private": channel.kind == "private",
        "is_member": is_in(world, channel),
        "is_shared": channel.is_ext_shared,
        "is_ext_shared": channel.is_ext_shared,
        "shared_team_ids": [world.workspace.team.id, *channel.connected_team_ids],
        "connected_team_ids": list(channel.connected_team_ids),
    }


def direct_message(world: World, user_id: str) -> Channel:
    """The app's direct message with a person.

    Raises:
        ApiError: user_not_found, user_disabled, cannot_dm_bot.
    """
    user = world.workspace.users.get(user_id)
    if user is None or not world.workspace.is_here(user):
        raise ApiError("user_not_found")
    if user.deleted:
        raise ApiError("user_disabled")
    if user.is_bot:
        raise ApiError("cannot_dm_bot")
    return world.workspace.direct_message(user)


METHODS = {
    "conversations.info": Method(
        run=info,
        required=("channel",),
        any_of=("channels:read", "groups:read", "im:read", "mpim:read"),
        takes_json=False,
    ),
}
