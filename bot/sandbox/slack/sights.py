"""What people see: channels, private messages, open dialogs, the Home tab."""

from collections.abc import Callable
from typing import Any, TypeVar

from bot.sandbox.slack.readable import text_of
from bot.sandbox.slack.workspace import Channel, User, Workspace
from bot.sandbox.slack.world import Call, World

Json = dict[str, Any]
T = TypeVar("T")


class Sights:
    """Looks at the world; people are named by id or name, channels by id or `#name`."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def workspace(self) -> Workspace:
        return self.world.workspace

    @property
    def calls(self) -> list[Call]:
        """Every call of the Web API, oldest first."""
        return self.world.calls

    def called(self, method: str) -> list[Call]:
        """The calls of one method."""
        return [call for call in self.calls if call.method == method]

    @property
    def complaints(self) -> list[str]:
        """What the bot did against Slack's rules outside the Web API; empty is good."""
        return self.world.complaints

    def dm(self, user: str) -> str:
        """The id of the app's direct message with a person."""
        return self.workspace.direct_message(self.workspace.user(user)).id

    def messages(self, channel: str) -> list[Json]:
        """The channel's messages as they stand, oldest first, replies of threads included.

        Each has `channel` and `edits` (what it was before, oldest first) beside Slack's own keys.
        """
        channel_id = self.workspace.channel(channel).id
        return [message.snapshot() for message in self.world.messages.public(channel_id)]

    def replies(self, message: Json) -> list[Json]:
        """The replies in a message's thread, oldest first."""
        shown = self.messages(message["channel"])
        thread = message["ts"]
        return [m for m in shown if m.get("thread_ts") == thread and m["ts"] != thread]

    def message(self, channel: str, ts: str) -> Json | None:
        """One message as it stands now."""
        return next((m for m in self.messages(channel) if m["ts"] == ts), None)

    def ephemerals(self, user: str) -> list[Json]:
        """What only this person sees, in all channels, oldest first."""
        user_id = self.workspace.user(user).id
        return [message.snapshot() for message in self.world.messages.private(user_id)]

    def views_of(self, user: str) -> list[Json]:
        """The person's open dialogs, the visible one last."""
        stack = self.world.views.stack(self.workspace.user(user).id)
        return [self.world.views.as_json(view) for view in stack]

    def view_of(self, user: str) -> Json | None:
        """The dialog on the person's screen."""
        views = self.views_of(user)
        return views[-1] if views else None

    def errors_of(self, user: str) -> dict[str, str]:
        """The sentences under the inputs of the visible dialog, by block_id."""
        stack = self.world.views.stack(self.workspace.user(user).id)
        return dict(stack[-1].errors) if stack else {}

    def home_of(self, user: str) -> Json | None:
        """What the app published on the person's Home tab."""
        home = self.world.views.home(self.workspace.user(user).id)
        return self.world.views.as_json(home) if home else None

    def text_of(self, thing: Json) -> str:
        """A message or view as plain text, with the names of people, groups and channels."""
        space = self.workspace
        names = {user.id: user.name.capitalize() for user in space.users.values()}
        names |= {group.id: group.handle for group in space.groups.values()}
        names |= {channel.id: channel.name for channel in space.channels.values()}
        return text_of(thing, names)

    async def until(self, predicate: Callable[[], T], seconds: float = 5.0) -> T:
        """Waits until `predicate()` is true; it is asked again whenever something changed.

        Raises:
            TimeoutError: it was still false after `seconds`.
        """
        return await self.world.news.until(predicate, seconds)

    def _sees(self, user: User, channel: Channel) -> bool:
        """Members see a channel; full members of the workspace see public ones too."""
        open_to_all = channel.kind == "public" and user.is_full_member
        here = self.workspace.is_here(user)
        return not user.deleted and (user.id in channel.members or (here and open_to_all))
