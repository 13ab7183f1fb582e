"""What people see: channels, private messages, open dialogs."""

from typing import Any

from bot.sandbox.slack.block_kit.plain_text import text_of
from bot.sandbox.slack.world import World

Json = dict[str, Any]


class VisibleState:
    """Reads the world. People are named by id or name, channels by id or `#name`."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._workspace = world.workspace

    def dm(self, user: str) -> str:
        """Return the id of the app's direct message with a person."""
        return self._workspace.direct_message(self._workspace.user(user)).id

    def messages(self, channel: str) -> list[Json]:
        """Return the channel's current messages, oldest first, including replies in threads.

        Besides Slack's own keys, each has `channel` and `edits` (earlier versions, oldest first).
        """
        channel_id = self._workspace.channel(channel).id
        return [message.snapshot() for message in self._world.messages.public(channel_id)]

    def replies(self, message: Json) -> list[Json]:
        """Return the replies in a message's thread, oldest first."""
        shown = self.messages(message["channel"])
        thread = message["ts"]
        return [m for m in shown if m.get("thread_ts") == thread and m["ts"] != thread]

    def ephemerals(self, user: str) -> list[Json]:
        """Return the messages that only this person sees, in all channels, oldest first."""
        user_id = self._workspace.user(user).id
        return [message.snapshot() for message in self._world.messages.private(user_id)]

    def view_of(self, user: str) -> Json | None:
        """Return the dialog on the person's screen."""
        modal = self._world.views.modal(self._workspace.user(user).id)
        return self._world.views.as_json(modal) if modal else None

    def text_of(self, thing: Json) -> str:
        """Return a message or view as plain text, with names of people, groups and channels."""
        space = self._workspace
        names = {user.id: user.name.capitalize() for user in space.users.values()}
        names |= {group.id: group.handle for group in space.groups.values()}
        names |= {channel.id: channel.name for channel in space.channels.values()}
        return text_of(thing, names)
