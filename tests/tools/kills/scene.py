"""The stand-ins of a campaign: three projects, their people, and an index of the messages."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.sandbox.atlas import PROJECT_ID, PUBLIC_KEY, Role
from bot.sandbox.slack import User
from bot.sandbox.slack.event_bus import ChangeEvent
from tests.support.serving import CHANNEL, Serving, payload
from tests.tools.kills.record import Project, Record

Json = dict[str, Any]
T = TypeVar("T")

GROUP = "S0APPROVE1"
REQUESTERS = tuple(f"U0REQ{n:05}" for n in range(10))
APPROVERS = ("U0ADA00001", "U0ABE00001", *(f"U0APP{n:05}" for n in range(6)))
ALONE = ("U0HEAD0001", "U0HEAD0002")
#: A full member whom no policy names, a guest, and a person of another organization.
OUTSIDERS = ("U0NORA0001", "U0GUS00001", "U0OLGA0001")
SHOP = Project(
    name="shop-prod",
    id=PROJECT_ID,
    clusters={"prod-eu": 1, "prod-us": 2, "staging-eu": 1},
    requesters=frozenset(REQUESTERS),
    approvers=frozenset(APPROVERS),
    alone=frozenset(ALONE),
)
FREE = Project(
    name="shop-free",
    id="5b6212af90dc76637950a2f1",
    clusters={"free-a": 0, "free-b": 0},
    requesters=frozenset(REQUESTERS),
    approvers=frozenset(APPROVERS),
    alone=frozenset(),
)
AUTO = Project(
    name="shop-auto",
    id="5b6212af90dc76637950a2f2",
    clusters={"auto-a": 1, "auto-b": 1},
    requesters=frozenset(REQUESTERS),
    approvers=frozenset(APPROVERS),
    alone=frozenset(ALONE),
    auto_cancel_after=35.0,
)
PROJECTS = (SHOP, FREE, AUTO)
APPROVAL_TTL = 45


def projects_file() -> str:
    """Return the projects file of these policies."""
    tables = []
    for project in PROJECTS:
        lines = [
            "[[projects]]",
            f'name = "{project.name}"',
            f'id = "{project.id}"',
            f'channel = "{CHANNEL}"',
            f"requesters = {sorted(project.requesters)}",
            f'approvers = ["{GROUP}"]',
            f"approvals = {min(project.clusters.values())}",
            f"approval_ttl = {APPROVAL_TTL}",
            "require_reason = false",
        ]
        if project.alone:
            lines.append(f"break_glass = {sorted(project.alone)}")
        if project.auto_cancel_after:
            lines.append(f"auto_cancel_after = {project.auto_cancel_after:g}")
        for cluster, needed in project.clusters.items():
            lines += ["[[projects.clusters]]", f'names = ["{cluster}"]', f"approvals = {needed}"]
        tables.append("\n".join(lines).replace("'", '"'))
    return "\n\n".join(tables) + "\n"


def fill(serving: Serving) -> None:
    """Add the people and the projects to the stand-ins."""
    space, world = serving.slack.workspace, serving.atlas.world
    for person in {*REQUESTERS, *APPROVERS, *ALONE, *OUTSIDERS} - set(space.users):
        space.add(User(id=person, name=person.lower(), team_id=space.team.id))
    space.channels[CHANNEL].members |= {*REQUESTERS, *APPROVERS, *ALONE, *OUTSIDERS}
    space.groups[GROUP].users = list(APPROVERS)
    for project in PROJECTS:
        home = world.projects.get(project.id)
        home = home or world.add_project(project.name, project_id=project.id)
        world.keys[PUBLIC_KEY].roles[home.id] = {Role.RECOVERY_OPERATOR, Role.READ_ONLY}
        for cluster in set(project.clusters) - set(home.clusters):
            world.add_cluster(home, cluster)


@dataclass(eq=False)
class Messages:
    """The messages of the downloads, and what each person was shown privately, as they come."""

    serving: Serving
    record: Record
    request_ids: set[str] = field(default_factory=set)
    private: Counter[str] = field(default_factory=Counter)  #: sentences to each person
    #: Versions of each job's message, and replies: Slack allows 50 edits a minute, so that a reply
    #: may be there before the edit.
    changes: Counter[str] = field(default_factory=Counter)
    _places: dict[str, str] = field(default_factory=dict)  #: the `ts` of each job's message
    _jobs: dict[str, str] = field(default_factory=dict)  #: and the other way

    def __post_init__(self) -> None:
        self.serving.slack.world.events.subscribe(self._see)

    def _see(self, event: ChangeEvent) -> None:
        if event.kind == "ephemeral":
            self.private[str(event.data["message"]["only_for"])] += 1
        elif event.kind in {"message", "message_changed"}:
            message = event.data["message"]
            thread = str(message.get("thread_ts", message["ts"]))
            if thread != message["ts"]:
                self.changes[self._jobs.get(thread, "")] += 1
            elif (shown := payload(message)) and shown["job"] in self.record.downloads:
                self._changed(message, shown)

    def _changed(self, message: Json, shown: Json) -> None:
        job, state = str(shown["job"]), shown["state"]
        self.changes[job] += 1
        self._jobs[message["ts"]] = job
        self._places[job] = message["ts"]
        if shown["request"]:
            self.request_ids.add(shown["request"])
        self.record.note(job, f"message shows {state}")
        if state == "cancelled" and not self.record.downloads[job].job.cancelled:
            self.record.found.append(("cancelled shown, not cancelled in Atlas", job, "then"))

    def find(self, job: str) -> Json | None:
        """Return the newest message of a download."""
        place = self._places.get(job)
        found = place and self.serving.slack.world.messages.find(CHANNEL, place)
        return found.snapshot() if found else None

    def answers(self, job: str, who: str) -> tuple[int, int]:
        """Count what this person could see as an answer to a click about this download."""
        return self.changes[job], self.private[who]


async def until(predicate: Callable[[], T], seconds: float) -> T | None:
    """Wait until `predicate()` is true; return None where it was not in time."""
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        if time.monotonic() > deadline:
            return None
        await asyncio.sleep(0.05)
    return value
