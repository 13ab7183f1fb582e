"""The workspace: people, channels, user groups and the installed app."""

from dataclasses import dataclass, field
from typing import Literal

from bot.sandbox.slack.errors import CannotDo

# The scopes of the manifest; tests grant `chat:write.public` and the `im:` scopes.
DEFAULT_SCOPES = (
    "channels:read",
    "chat:write",
    "commands",
    "groups:read",
    "usergroups:read",
    "users:read",
    "users:read.email",
)


@dataclass(kw_only=True)
class Team:
    """A Slack workspace (`T…`)."""

    id: str
    name: str
    domain: str


@dataclass(kw_only=True)
class User:
    """A person or a bot user (`U…`); guests are `is_restricted`, single-channel ones also ultra."""

    id: str
    name: str
    team_id: str
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_bot: bool = False
    deleted: bool = False

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"

    @property
    def is_full_member(self) -> bool:
        return not (self.is_restricted or self.is_bot or self.deleted)


@dataclass(kw_only=True)
class Channel:
    """A channel (`C…`) or a direct message of the app with one person (`D…`)."""

    id: str
    name: str
    kind: Literal["public", "private", "im"] = "public"
    members: set[str] = field(default_factory=set)
    is_archived: bool = False
    connected_team_ids: tuple[str, ...] = ()

    @property
    def is_ext_shared(self) -> bool:
        return bool(self.connected_team_ids)


@dataclass(kw_only=True)
class Group:
    """A user group (`S…`)."""

    id: str
    handle: str
    users: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class App:
    """The installed app: ids, credentials (public on purpose) and granted scopes."""

    id: str = "A0SANDBOX1"
    name: str = "Cancel restore"
    bot_id: str = "B0BOT00001"
    bot_user: str = "U0BOT00001"
    bot_token: str = "xoxb-sandbox-bot-token"
    app_token: str = "xapp-1-A0SANDBOX1-sandbox-app-token"
    verification_token: str = "sandbox-verification-token"
    scopes: set[str] = field(default_factory=lambda: set(DEFAULT_SCOPES))
    app_scopes: set[str] = field(default_factory=lambda: {"connections:write"})
    commands: set[str] = field(default_factory=lambda: {"/cancel-restore"})


@dataclass(kw_only=True)
class Workspace:
    """Teams, people, channels and groups; tests may change them at any time."""

    team: Team
    app: App = field(default_factory=App)
    other_teams: list[Team] = field(default_factory=list)
    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    has_user_groups: bool = True  # False: `plan_upgrade_required`, as on free plans

    def add(self, *things: User | Channel | Group) -> None:
        for thing in things:
            if isinstance(thing, User):
                self.users[thing.id] = thing
            elif isinstance(thing, Channel):
                self.channels[thing.id] = thing
            else:
                self.groups[thing.id] = thing

    def user(self, who: str) -> User:
        """A person by id or by name (`rina`, `@Rina`)."""
        name = who.removeprefix("@").lower()
        for user in self.users.values():
            if who == user.id or name == user.name.lower():
                return user
        raise CannotDo(f"No person is called {who} in this workspace.")

    def channel(self, where: str) -> Channel:
        """A channel by id or by name (`ops`, `#ops`)."""
        name = where.removeprefix("#")
        for channel in self.channels.values():
            if where == channel.id or (channel.kind != "im" and name == channel.name):
                return channel
        raise CannotDo(f"No channel is called {where} in this workspace.")

    def team_of(self, user: User) -> Team:
        return next(t for t in (self.team, *self.other_teams) if t.id == user.team_id)

    def is_here(self, user: User) -> bool:
        """Whether the person belongs to this workspace (as opposed to Slack Connect)."""
        return user.team_id == self.team.id

    def direct_message(self, user: User) -> Channel:
        """The app's direct message with this person, opened when needed."""
        channel_id = "D" + user.id[1:]
        if channel_id not in self.channels:
            members = {user.id, self.app.bot_user}
            self.add(Channel(id=channel_id, name=user.id, kind="im", members=members))
        return self.channels[channel_id]

    @classmethod
    def example(cls) -> "Workspace":
        """Rina is on call, Ada and Abe approve, Gus is a guest, Olga is of another organization."""
        here, there = "T0SANDBOX1", "T0OTHER001"
        self = cls(
            team=Team(id=here, name="Sandbox", domain="sandbox"),
            other_teams=[Team(id=there, name="Elsewhere", domain="elsewhere")],
        )
        self.add(*_people(here, there, self.app.bot_user), *_channels(there, self.app.bot_user))
        self.add(Group(id="S0APPROVE1", handle="approvers", users=["U0ADA00001", "U0ABE00001"]))
        return self


def _people(here: str, there: str, bot: str) -> list[User]:
    return [
        User(id=bot, name="cancel-restore", team_id=here, is_bot=True),
        User(id="U0RINA0001", name="rina", team_id=here),
        User(id="U0ADA00001", name="ada", team_id=here),
        User(id="U0ABE00001", name="abe", team_id=here),
        User(id="U0GUS00001", name="gus", team_id=here, is_restricted=True),
        User(
            id="U0UMA00001", name="uma", team_id=here, is_restricted=True, is_ultra_restricted=True
        ),
        User(id="U0DAN00001", name="dan", team_id=here, deleted=True),
        User(id="U0CIBOT001", name="ci-bot", team_id=here, is_bot=True),
        User(id="U0OLGA0001", name="olga", team_id=there),
    ]


def _channels(there: str, bot: str) -> list[Channel]:
    people = {"U0RINA0001", "U0ADA00001", "U0ABE00001"}
    guests = {"U0GUS00001", "U0UMA00001"}
    shared = people | {"U0OLGA0001", bot}
    return [
        Channel(id="C0OPS00001", name="ops", members=people | guests | {"U0CIBOT001", bot}),
        Channel(id="C0QUIET001", name="quiet", kind="private", members=set(people)),
        Channel(id="C0LOBBY001", name="lobby", members=set(people)),
        Channel(id="C0SHARED01", name="shared", members=shared, connected_team_ids=(there,)),
        Channel(id="C0ATTIC001", name="attic", members=people | {bot}, is_archived=True),
    ]
