"""The world of a campaign: projects of each kind, channels, and a tracker of messages."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.sandbox.atlas import PRIVATE_KEY, PUBLIC_KEY
from bot.sandbox.atlas.auth.credentials import Role
from bot.sandbox.atlas.world import World
from bot.sandbox.slack import Channel, User, Workspace
from tests.acceptance.environment import request_of, state_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from bot.sandbox.atlas.jobs import RestoreJob
    from bot.sandbox.slack import FakeSlackServer
    from bot.sandbox.slack.event_bus import ChangeEvent

Json = dict[str, Any]

CLUSTER = "prod-eu"
OPEN = frozenset({"awaiting", "quarantined", "approved", "cancelling"})

#: A job's id in a card.
IDS = re.compile(r"(?<![0-9a-f])[0-9a-f]{24}(?![0-9a-f])")

#: Seconds for which a request of the project `brief` waits for approval.
BRIEF = 8

#: Seconds for which a download of the project `guard` can be kept.
GRACE = 15

#: The projects: how many approvals each wants, and for how long a request waits.
RULES = {
    "free": (0, 1800),
    "pair": (1, 1800),
    "trio": (2, 1800),
    "brief": (2, BRIEF),
    "notified": (1, 1800),  # its approvers get direct messages, and every member may act alone
    "guard": (0, 1800),  # its new downloads are in quarantine
}

APPROVERS = tuple(f"approver-{number}" for number in range(1, 7))
#: Slack's direct messages with them; `build_workspace` adds them first.
DIRECT_CHANNELS = frozenset(f"D0CAMP{number:05d}" for number in range(len(APPROVERS)))

#: The channel of the cards of downloads in quarantine.
WATCH_CHANNEL = "C0CAMPGUARD"

#: Channels: Slack takes about one message a second in each.
CHANNELS = 40


def build_world() -> World:
    """Return an Atlas with those projects, one cluster each, and one key for all."""
    world = World()
    roles: dict[str, Iterable[Role]] = {}
    for name in RULES:
        project = world.add_project(name)
        cluster = world.add_cluster(project, CLUSTER)
        if name == "guard":
            world.add_job(cluster)  # the watch announces it after its first read
        roles[project.id] = {Role.RECOVERY_OPERATOR, Role.READ_ONLY}
    world.add_key(PUBLIC_KEY, PRIVATE_KEY, roles)
    return world


def write_projects(world: World, folder: Path, people: int) -> Path:
    """Write the bot's projects file, for a workspace with so many members."""
    approvers, members = _ids(0, len(APPROVERS)), _ids(len(APPROVERS), people)
    more = {
        "notified": f"approvers = {approvers}\nremind_after = [3, 8]\nbreak_glass = {members}\n",
        "guard": f'approvers = {approvers}\nwatch_channel = "{WATCH_CHANNEL}"\n'
        f'quarantine = "enforce"\nquarantine_grace = {GRACE}\nquarantine_limit = 1000\n',
    }
    path = folder / "projects.toml"
    parts = []
    for project in world.projects.values():
        approvals, ttl = RULES[project.name]
        parts.append(
            f'[[projects]]\nname = "{project.name}"\nid = "{project.id}"\n'
            'public_key_env = "SHOP_PUBLIC_KEY"\nprivate_key_env = "SHOP_PRIVATE_KEY"\n'
            f"approvals = {approvals}\napproval_ttl = {ttl}\n{more.get(project.name, '')}"
        )
    path.write_text("\n".join(parts))
    return path


def _ids(first: int, count: int) -> str:
    """Return so many users' ids as a TOML list."""
    return json.dumps([f"U0CAMP{number:05d}" for number in range(first, first + count)])


def build_workspace(people: int) -> Workspace:
    """Return a workspace with so many members, approvers, and channels in which all of them are."""
    space = Workspace.example()
    names = [*APPROVERS, *(f"member-{number}" for number in range(people))]
    for number, name in enumerate(names):
        space.add(User(id=f"U0CAMP{number:05d}", name=name, team_id=space.team.id))
    all_people = {user.id for user in space.users.values() if user.id.startswith("U0CAMP")}
    members = {*all_people, space.app.bot_user}
    for number in range(CHANNELS):
        space.add(Channel(id=f"C0CAMP{number:04d}", name=f"room-{number}", members={*members}))
    space.add(Channel(id=WATCH_CHANNEL, name="guard", members=members))
    return space


def start_job(world: World, project: str, *, live: bool) -> RestoreJob:
    """Start a download in a project."""
    (found,) = (each for each in world.projects.values() if each.name == project)
    return world.add_job(found.clusters[CLUSTER], live=live)


@dataclass(slots=True)
class Thread:
    """The messages of one request: its cards (one, without faults) and their replies."""

    request: str
    job: str
    cards: dict[str, Json] = field(default_factory=dict)
    replies: dict[str, Json] = field(default_factory=dict)

    @property
    def card(self) -> Json:
        """The newest card."""
        return list(self.cards.values())[-1]

    @property
    def state(self) -> str:
        return state_of(self.card)

    @property
    def outcomes(self) -> list[str]:
        """The outcomes of the replies, a repeated post counted once."""
        states = map(state_of, different(self.replies))
        return [state for state in states if state not in OPEN]

    def reported_at(self, state: str) -> float | None:
        """The time of the first reply with a state, in whole seconds."""
        return min(
            (float(ts) for ts, each in self.replies.items() if state_of(each) == state),
            default=None,
        )

    @property
    def settled(self) -> bool:
        """Whether the card and the newest reply have the same outcome."""
        return bool(self.outcomes) and self.outcomes[-1] == self.state

    @property
    def copies(self) -> int:
        """The number of posts with an id that an earlier post has."""
        posts = (self.cards, self.replies)
        return sum(len(each) - len(different(each)) for each in posts)


class MessageTracker:
    """The current cards and replies, by request and by job; fed with Slack's events.

    `direct` has the direct messages to approvers, which are copies of cards, by channel and ts. A
    card is a direct message to its requester where Slack could not say who reads the channel.
    """

    def __init__(self, known: set[str], direct_channels: Collection[str] = DIRECT_CHANNELS) -> None:
        self._known = known
        self._direct_channels = direct_channels
        self.threads: dict[str, Thread] = {}
        self.by_job: defaultdict[str, list[Thread]] = defaultdict(list)
        self.direct: dict[tuple[str, str], Json] = {}

    def on_change(self, item: ChangeEvent) -> None:
        if item.kind in ("message", "message_changed"):
            self._note(item.data["message"])

    def _note(self, message: Json) -> None:
        request = request_of(message)
        if not request:
            return
        channel = str(message.get("channel", ""))
        if channel in self._direct_channels:
            self.direct[channel, message["ts"]] = message
            return
        is_card = message.get("thread_ts", message["ts"]) == message["ts"]
        thread = self.threads.get(request) or self._begin(request, message)
        (thread.cards if is_card else thread.replies)[message["ts"]] = message

    def _begin(self, request: str, message: Json) -> Thread:
        named = [each for each in IDS.findall(str(message.get("blocks"))) if each in self._known]
        thread = self.threads[request] = Thread(request, named[0] if named else "")
        self.by_job[thread.job].append(thread)
        return thread

    def of(self, job: str) -> Thread | None:
        """Return the newest thread about a job."""
        threads = self.by_job.get(job)
        return threads[-1] if threads else None

    def copies_of(self, request: str) -> dict[tuple[str, str], Json]:
        """Return the copies of a request's card, oldest first; a repeated post counts once."""
        by_id = {
            (place[0], str(each.get("client_msg_id") or place[1])): (place, each)
            for place, each in self.direct.items()
            if request_of(each) == request
        }
        return dict(by_id.values())

    def copies_show(self, thread: Thread) -> bool:
        """Whether every copy of a card shows the same state."""
        return {state_of(each) for each in self.copies_of(thread.request).values()} <= {
            thread.state
        }

    def forget(self, job: str) -> list[Thread]:
        """Forget a job's threads, and return them."""
        gone = self.by_job.pop(job, [])
        for thread in gone:
            self.threads.pop(thread.request, None)
        return gone


def different(posts: Mapping[str, Json]) -> list[Json]:
    """One of each post that was repeated under its id, the newest."""
    return list({each.get("client_msg_id") or ts: each for ts, each in posts.items()}.values())


def texts(slack: FakeSlackServer) -> str:
    """All texts of messages and their edits, and all that a bot sent, as one text to search."""
    messages = [each.snapshot() for each in slack.world.messages.all()]
    return "\n".join(map(str, [*messages, *(call.args for call in slack.world.calls)]))
