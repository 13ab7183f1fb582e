"""Everything that there is to look at after a storm."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from tests.tools.campaign.town import RULES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bot.cancellation.events import Recorded
    from bot.sandbox.atlas import Call, FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer
    from tests.tools.campaign.people import Story
    from tests.tools.campaign.relay import Struck
    from tests.tools.campaign.replicas import Life
    from tests.tools.campaign.town import Board
    from tests.tools.campaign.weather import Blow


@dataclass(slots=True, kw_only=True)
class Scene:
    """What people did, what Slack and Atlas saw, what is on record, and what went wrong.

    Attributes:
        breaks: where the record's chains do not hold.
        blows: what was done to bots, databases and services.
        to_atlas: what befell exchanges with Atlas on the wire.
        lives: how each life of each bot ended.
        posts_may_double: whether this Slack does not know a repeated post.
    """

    stories: Sequence[Story]
    board: Board
    slack: FakeSlackServer
    atlas: FakeAtlasServer
    events: Sequence[Recorded]
    breaks: Sequence[str] = ()
    blows: Sequence[Blow] = ()
    to_atlas: Sequence[Struck] = ()
    lives: Sequence[Life] = ()
    logs: Sequence[Path] = ()
    secrets: Sequence[str] = ()
    posts_may_double: bool = False

    calls: Mapping[str, list[Call]] = field(init=False)
    chains: Mapping[str, list[Recorded]] = field(init=False)

    def __post_init__(self) -> None:
        calls, chains = defaultdict(list), defaultdict(list)
        for call in sorted(self.atlas.calls, key=lambda each: each.at):
            if not call.challenge:
                calls[call.path.rpartition("/")[2].partition("?")[0]].append(call)
        for event in sorted(self.events, key=lambda each: each.number):
            chains[event.request].append(event)
        self.calls, self.chains = dict(calls), dict(chains)

    def deletes(self, story: Story) -> list[Call]:
        """The DELETEs of the job whose credentials were taken, by their arrival."""
        return [call for call in self.calls.get(story.job.id, ()) if call.method == "DELETE"]

    def effects(self, story: Story) -> int:
        """How many DELETEs of ours cancelled the job."""
        return sum(call.effect for call in self.deletes(story))

    def late(self, story: Story) -> list[Call]:
        """The DELETEs that came when one that took effect had come already."""
        deletes = self.deletes(story)
        done = next((call.at for call in deletes if call.effect), None)
        return [call for call in deletes if done and call.at > done]

    def expired_after(self, story: Story) -> float | None:
        """Seconds from its submission until Slack showed that it had expired, if it did."""
        told = self._told_expired(story)
        return told - story.submitted_at if told and story.submitted_at else None

    def expired_late(self, story: Story) -> float:
        """Seconds after the end of its time, counted from its record, until Slack showed it."""
        told, thread = self._told_expired(story), self.board.of(story.job.id)
        chain = self.chains.get(thread.request) if thread else None
        if told is None or not chain:
            return 0.0
        _, wait = RULES[story.project]
        return max(0.0, told - datetime.fromisoformat(chain[0].at).timestamp() - wait)

    def _told_expired(self, story: Story) -> float | None:
        thread = self.board.of(story.job.id)
        return thread.told("expired") if thread else None

    def on_our_word(self) -> list[Story]:
        return [story for story in self.stories if story.acknowledged]

    def ended(self, story: Story) -> bool:
        """Whether card and thread tell the same end."""
        thread = self.board.of(story.job.id)
        return thread is not None and thread.settled

    @property
    def copies(self) -> int:
        return sum(thread.copies for thread in self.board.threads.values())
