"""chat.postMessage, chat.postEphemeral, chat.update and chat.getPermalink."""

from typing import Any

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.messages import Message
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.auth import Caller
from bot.sandbox.slack.web_api.methods.content import MAX_EDIT, content_of, require_content
from bot.sandbox.slack.web_api.methods.conversations import direct_message, is_in, visible_channel
from bot.sandbox.slack.web_api.methods.method import Method
from bot.sandbox.slack.workspace import Channel
from bot.sandbox.slack.world import World

Json = dict[str, Any]


def author_fields(world: World) -> Json:
    """Return the fields that mark a message as the app's."""
    app, team = world.workspace.app, world.workspace.team
    profile = {"id": app.bot_id, "app_id": app.id, "name": app.name, "team_id": team.id}
    return {
        "user": app.bot_user,
        "bot_id": app.bot_id,
        "app_id": app.id,
        "team": team.id,
        "bot_profile": {**profile, "deleted": False, "updated": 1700000000, "icons": {}},
    }


def post_message(world: World, args: Args, caller: Caller) -> Json:
    channel = _writable(world, args.text("channel"), caller)
    content = require_content(content_of(args))
    content |= _thread(world, channel, args)
    if repeated := _find_duplicate(world, channel, args):
        return _posted(repeated)
    message = world.messages.post(
        channel.id,
        {"text": "", **author_fields(world), **content},
        client_msg_id=args.text("client_msg_id"),
    )
    world.notifications.add(message, _direct_recipient(world, channel))
    world.publish_message("message", message)
    return _posted(message)


def _direct_recipient(world: World, channel: Channel) -> set[str]:
    """Return the person of a direct message: each post there notifies them."""
    is_direct = channel.kind == "im"
    return channel.members - {world.workspace.app.bot_user} if is_direct else set()


def get_permalink(world: World, args: Args, _caller: Caller) -> Json:
    channel = visible_channel(world, args.text("channel"))
    message = world.messages.find(channel.id, args.text("message_ts"))
    if message is None:
        raise ApiError("message_not_found")
    link = f"{world.base_url}/archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {"channel": channel.id, "permalink": link}


def _posted(message: Message) -> Json:
    shown = message.snapshot()
    del shown["edits"], shown["channel"]
    return {"channel": message.channel, "ts": message.ts, "message": shown}


def _writable(world: World, where: str, caller: Caller) -> Channel:
    """The channel (or the direct message with a person) in which the app may post."""
    if where.startswith(("U", "W")):
        return _direct(world, where)
    channel = visible_channel(world, where)
    if channel.is_archived:
        raise ApiError("is_archived")
    if not is_in(world, channel) and "chat:write.public" not in caller.scopes:
        raise ApiError("not_in_channel")
    return channel


def _direct(world: World, user_id: str) -> Channel:
    try:
        return direct_message(world, user_id)
    except ApiError as error:
        # The method documents no other error about a person.
        unknown = error.code in ("user_not_found", "user_disabled")
        raise ApiError("channel_not_found" if unknown else error.code) from None


def _thread(world: World, channel: Channel, args: Args) -> Json:
    thread_ts = args.text("thread_ts")
    if not thread_ts:
        return {}
    parent = world.messages.find(channel.id, thread_ts)
    if parent is None or parent.only_for:
        raise ApiError("thread_not_found")
    if parent.content.get("thread_ts", parent.ts) != parent.ts:
        raise ApiError("cannot_reply_to_message")
    is_broadcast = args.flag("reply_broadcast")
    return {"thread_ts": thread_ts, **({"subtype": "thread_broadcast"} if is_broadcast else {})}


def _find_duplicate(world: World, channel: Channel, args: Args) -> Message | None:
    before = world.messages.with_client_id(args.text("client_msg_id"))
    if before and before.channel != channel.id:
        raise ApiError("duplicate_channel_not_found")
    return before


def post_ephemeral(world: World, args: Args, caller: Caller) -> Json:
    channel = _writable(world, args.text("channel"), caller)
    content = require_content(content_of(args))
    if len(content.get("text", "")) > MAX_EDIT:
        raise ApiError("msg_too_long")
    if args.text("user") not in channel.members:
        raise ApiError("user_not_in_channel")
    content = {"text": "", **author_fields(world), **content, **_thread(world, channel, args)}
    message = world.messages.post_ephemeral(channel.id, args.text("user"), content)
    world.publish_message("ephemeral", message)
    return {"message_ts": message.ts}


def update(world: World, args: Args, _caller: Caller) -> Json:
    """Edit a message of the app; blocks and metadata that are not given stay unchanged."""
    message = _public_message(world, args)
    if world.workspace.channels[message.channel].is_archived:
        raise ApiError("is_inactive")
    content = content_of(args)
    if not {"text", "blocks"} & set(content):
        raise ApiError("no_text")
    if len(content.get("text", "")) > MAX_EDIT:
        raise ApiError("msg_too_long")
    require_content({**message.content, **content})
    world.messages.edit(message, content, by=world.workspace.app.bot_user)
    world.publish_message("message_changed", message)
    return {**_posted(message), "text": message.content["text"]}


def _public_message(world: World, args: Args) -> Message:
    channel = visible_channel(world, args.text("channel"))
    message = world.messages.find(channel.id, args.text("ts"))
    if message is None or message.only_for:
        raise ApiError("message_not_found")
    return message


_WRITE = ("chat:write",)
METHODS = {
    "chat.postMessage": Method(run=post_message, required=("channel",), any_of=_WRITE),
    "chat.postEphemeral": Method(run=post_ephemeral, required=("channel", "user"), any_of=_WRITE),
    "chat.getPermalink": Method(run=get_permalink, required=("channel", "message_ts")),
    "chat.update": Method(run=update, required=("channel", "ts"), any_of=_WRITE),
}
