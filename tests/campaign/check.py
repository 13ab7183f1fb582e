"""What must hold after the storm: each rule gives the violations that it found, a sentence each."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.sandbox.atlas.jobs import PLANTED_SECRET
from tests.campaign.people import PLOTS
from tests.campaign.town import OPEN, RULES, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from bot.cancellation.events import Recorded
    from bot.sandbox.atlas import AtlasStandIn, Call
    from bot.sandbox.slack import SlackStandIn
    from tests.campaign.people import Story
    from tests.campaign.town import Board, Thread
    from tests.campaign.weather import Blow

#: The one complaint of the stand-in that is no fault of the bot's: it stood still, or was slow.
LATE_ACK = "An ack came late"

#: Marks of an error that nobody expected, in a log.
TRACES = ("Traceback (most recent call last)", "was never retrieved", "was never awaited")

#: What asyncpg leaves behind when a server dies while a connection is being opened: one line, of
#: a future that nobody can reach.
DRIVERS_OWN = "unexpected connection_lost() call"

#: Blows after which two DELETEs of one job may be on the wire at once: a bot that stood still with
#: its DELETE written down, a DELETE that was held up where nobody sees it, a database that stood
#: still while a lease ran out.
OVERLAP = ("bot: stopped", "atlas:", "database:")

#: Seconds for which such a blow explains a late DELETE.
EXPLAINS = 45.0


@dataclass(slots=True)
class Scene:
    """Everything that there is to look at."""

    stories: Sequence[Story]
    board: Board
    slack: SlackStandIn
    atlas: AtlasStandIn
    events: Sequence[Recorded]
    blows: Sequence[Blow]
    logs: Sequence[Path]
    secrets: Sequence[str]
    posts_may_double: bool

    deletes: dict[str, list[Call]] = field(init=False)

    def __post_init__(self) -> None:
        found = defaultdict(list)
        for call in self.atlas.deletes():
            found[call.path.rpartition("/")[2].partition("?")[0]].append(call)
        self.deletes = dict(found)

    def effects(self, story: Story) -> int:
        """How many DELETEs of ours cancelled the job."""
        return sum(call.effect for call in self.deletes.get(story.job.id, ()))

    def late(self, story: Story) -> list[Call]:
        """The DELETEs that came when the job was cancelled already."""
        calls = self.deletes.get(story.job.id, [])
        done = [call.at for call in calls if call.effect]
        return [call for call in calls if done and call.at > done[0]]

    def on_our_word(self) -> list[Story]:
        return [story for story in self.stories if story.acknowledged]

    @property
    def copies(self) -> int:
        return sum(thread.copies for thread in self.board.threads.values())


def violations(scene: Scene) -> list[str]:
    """Check everything."""
    found = [
        f"request for job {story.job.id} ({story.plot}): {sentence}"
        for story in scene.stories
        for sentence in _of_story(scene, story)
    ]
    return [
        *found,
        *_of_copies(scene),
        *traces_in(scene.logs),
        *_of_secrets(scene),
        *_of_slack(scene),
    ]


def _of_story(scene: Scene, story: Story) -> Iterable[str]:
    threads = scene.board.by_job.get(story.job.id, [])
    if story.acknowledged and not threads:
        yield "it was acknowledged and has no card"
    if len(threads) > 1 and not _second_came_late(threads):
        yield f"there are {len(threads)} requests for it"
    for thread in threads:
        yield from _of_thread(scene, story, thread.request)
    if scene.effects(story) > 1:
        yield f"{scene.effects(story)} DELETEs took effect"
    if scene.effects(story) and not threads:
        yield "it was cancelled and nothing tells of it"
    yield from _of_approvals(scene, story)
    yield from _of_late_deletes(scene, story)


def _second_came_late(threads: Sequence[Thread]) -> bool:
    """Whether the later requests found the job cancelled, as their dialogs did not know yet."""
    first, *later = sorted(threads, key=lambda thread: next(iter(thread.cards)))
    return first.state == "cancelled" and {thread.state for thread in later} == {"over"}


def _of_thread(scene: Scene, story: Story, request: str) -> Iterable[str]:
    thread = scene.board.threads[request]
    ids = {card.get("client_msg_id") or ts for ts, card in thread.cards.items()}
    if len(ids) > 1:
        yield f"there are {len(ids)} cards"
    if thread.state in OPEN or not thread.outcomes:
        yield f"it has not ended: the card says {thread.state}, the thread {thread.outcomes}"
        return
    *before, last = thread.outcomes
    if set(before) - {"failed"} or len(before) > story.retried:
        yield f"more than one outcome was told: {thread.outcomes}"
    if last != thread.state:
        yield f"the card says {thread.state}, the thread {last}"
    if thread is scene.board.by_job[story.job.id][0]:
        yield from _of_truth(scene, story, thread.state)


def _of_truth(scene: Scene, story: Story, state: str) -> Iterable[str]:
    if state not in PLOTS[story.plot].ends:
        yield f"it ended as {state}, not as {sorted(PLOTS[story.plot].ends)}"
    ours = scene.effects(story) == 1
    if state == "cancelled" and not story.job.cancelled:
        yield "it is said cancelled, and is not"
    if state == "cancelled" and not ours:
        yield "it is said cancelled by us, and no DELETE of ours took effect"
    if state != "cancelled" and ours:
        yield f"we cancelled it, and it is said {state}"


def _of_approvals(scene: Scene, story: Story) -> Iterable[str]:
    needed, _ = RULES[story.project]
    for call in scene.deletes.get(story.job.id, ()):
        given = [who for who, at in story.yes.items() if at <= call.at.timestamp()]
        if len(given) < needed:
            yield f"a DELETE was sent with {len(given)} of {needed} approvals"


def _of_late_deletes(scene: Scene, story: Story) -> Iterable[str]:
    for call in scene.late(story):
        at = call.at.timestamp()
        if not any(_explains(blow, at) for blow in scene.blows):
            yield "a DELETE was sent after the job was cancelled, and nothing explains it"


def _explains(blow: Blow, at: float) -> bool:
    return blow.what.startswith(OVERLAP) and at - EXPLAINS <= blow.at <= at


def _of_copies(scene: Scene) -> Iterable[str]:
    if scene.copies and not scene.posts_may_double:
        yield f"{scene.copies} posts stand there twice, though Slack knows a repeated one"


def traces_in(logs: Iterable[Path]) -> Iterable[str]:
    """Find the errors that nobody expected."""
    for path in logs:
        lines = path.read_text(errors="replace").splitlines()
        for trace in TRACES:
            if any(trace in line and DRIVERS_OWN not in line for line in lines):
                yield f"the log {path.name} has {trace!r}"


def _of_secrets(scene: Scene) -> Iterable[str]:
    places = {path.name: path.read_text(errors="replace") for path in scene.logs}
    places["the record"] = json.dumps([str(event) for event in scene.events])
    places["Slack"] = texts(scene.slack)
    for place, text in places.items():
        for number, secret in enumerate((*scene.secrets, PLANTED_SECRET)):
            if secret in text:
                yield f"secret number {number} stands in {place}"


def _of_slack(scene: Scene) -> Iterable[str]:
    for complaint in scene.slack.complaints:
        if not complaint.startswith(LATE_ACK):
            yield f"Slack complains: {complaint}"


def endings(scene: Scene) -> Counter[str]:
    """Count how the requests ended."""
    return Counter(thread.state for thread in scene.board.threads.values())


def problems_in_logs(logs: Sequence[Path]) -> Counter[str]:
    """Count the errors that the bots logged, by their event."""
    found: Counter[str] = Counter()
    for path in logs:
        for line in path.read_text(errors="replace").splitlines():
            if '"level": "error"' in line or '"level": "critical"' in line:
                found[str(json.loads(line).get("event"))] += 1
    return found
