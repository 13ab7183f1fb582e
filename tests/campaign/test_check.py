"""A campaign finds what is wrong: each rule is broken once, by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bot.sandbox.atlas import AtlasStandIn, Call
from bot.sandbox.slack import SlackStandIn
from bot.sandbox.slack.news import Item
from tests.campaign.check import Scene, violations
from tests.campaign.people import Story
from tests.campaign.town import Board, build_world, start_job
from tests.campaign.weather import Blow

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Json = dict[str, Any]

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@dataclass(slots=True)
class Aftermath:
    """One story that went well, and what can be changed about it."""

    plot: str = "approved"
    atlas: AtlasStandIn = field(default_factory=lambda: AtlasStandIn(build_world()))
    slack: SlackStandIn = field(default_factory=SlackStandIn)
    blows: list[Blow] = field(default_factory=list)
    logs: list[Path] = field(default_factory=list)
    story: Story = field(init=False)
    board: Board = field(init=False)
    _stamps: int = 0

    def __post_init__(self) -> None:
        job = start_job(self.atlas.world, "pair", live=False)
        self.story = Story(0, self.plot, job, "room-0", acknowledged=True)
        self.board = Board({job.id})

    def post(self, state: str, *, thread: str = "", request: str = "r1", id: str = "") -> str:  # noqa: A002 - Slack's own word
        self._stamps += 1
        payload = {"request": request, "state": state}
        message = {
            "ts": f"{self._stamps}.0",
            "thread_ts": thread or f"{self._stamps}.0",
            "client_msg_id": id or f"id-{self._stamps}",
            "blocks": [self.story.job.id],
            "metadata": {"event_payload": payload},
        }
        self.board.heard(Item(kind="message", data={"message": message}, at=0.0))
        return str(message["ts"])

    def delete(self, seconds: float = 60, *, effect: bool = True) -> None:
        """Let a DELETE of the bot's come so many seconds after noon."""
        if effect:
            self.story.job.cancel()
        path = f"/api/atlas/v2/groups/1/clusters/a/backup/restoreJobs/{self.story.job.id}"
        at = NOON + timedelta(seconds=seconds)
        self.atlas.wire.record(Call(at=at, method="DELETE", path=path, status=204, effect=effect))

    def approve(self, who: str = "ada", seconds: float = 30) -> None:
        self.story.yes[who] = NOON.timestamp() + seconds

    def found(self, *, may_double: bool = False) -> list[str]:
        scene = Scene(
            stories=[self.story],
            board=self.board,
            slack=self.slack,
            atlas=self.atlas,
            events=[],
            blows=self.blows,
            logs=self.logs,
            secrets=["hush-hush"],
            posts_may_double=may_double,
        )
        return violations(scene)


def went_well() -> Aftermath:
    after = Aftermath()
    after.approve()
    after.delete()
    after.post("cancelled", thread=after.post("cancelled"))
    return after


def test_a_story_that_went_well_violates_nothing() -> None:
    assert went_well().found() == []


def nothing_posted(after: Aftermath) -> None:
    after.board.forget(after.story.job.id)


def never_ended(after: Aftermath) -> None:
    after.post("cancelling", thread=after.post("cancelling", request="r1"))


def two_cards(after: Aftermath) -> None:
    after.post("cancelled")


def two_outcomes(after: Aftermath) -> None:
    after.post("cancelled", thread="1.0")


def two_requests(after: Aftermath) -> None:
    after.post("cancelled", thread=after.post("cancelled", request="r2"), request="r2")


def another_outcome(after: Aftermath) -> None:
    after.board.forget(after.story.job.id)
    after.post("over", thread=after.post("over"))


def not_cancelled(after: Aftermath) -> None:
    after.atlas.calls.clear()
    after.story.job.cancelled = False


def cancelled_by_others(after: Aftermath) -> None:
    after.atlas.calls.clear()


def not_approved(after: Aftermath) -> None:
    after.story.yes.clear()


def approved_too_late(after: Aftermath) -> None:
    after.approve(seconds=90)


def two_effects(after: Aftermath) -> None:
    after.delete(61)


def sent_again(after: Aftermath) -> None:
    after.delete(90, effect=False)


@pytest.mark.parametrize(
    ("broken", "sentence"),
    [
        (nothing_posted, "it was acknowledged and has no card"),
        (never_ended, "it has not ended"),
        (two_cards, "there are 2 cards"),
        (two_outcomes, "more than one outcome was told"),
        (two_requests, "there are 2 requests for it"),
        (another_outcome, "we cancelled it, and it is said over"),
        (not_cancelled, "it is said cancelled, and is not"),
        (cancelled_by_others, "no DELETE of ours took effect"),
        (not_approved, "a DELETE was sent with 0 of 1 approvals"),
        (approved_too_late, "a DELETE was sent with 0 of 1 approvals"),
        (two_effects, "2 DELETEs took effect"),
        (sent_again, "a DELETE was sent after the job was cancelled"),
    ],
)
def test_each_rule_finds_what_breaks_it(broken: Callable[[Aftermath], None], sentence: str) -> None:
    after = went_well()

    broken(after)

    assert [each for each in after.found() if sentence in each] != []


def test_a_late_delete_is_explained_by_a_bot_that_stood_still() -> None:
    after = went_well()
    after.delete(90, effect=False)
    after.blows.append(Blow(NOON.timestamp() + 55, "bot: stopped for a while", "bot-1 12 s"))

    assert after.found() == []


def test_a_copy_of_a_post_is_allowed_only_where_slack_does_not_know_a_repeated_one() -> None:
    after = went_well()
    after.post("cancelled", thread="1.0", id="id-2")

    assert after.found(may_double=True) == []
    assert after.found() == ["1 posts stand there twice, though Slack knows a repeated one"]


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "it is hush-hush"])
def test_traces_and_secrets_in_a_log_are_found(line: str, tmp_path: Path) -> None:
    after = went_well()
    log = tmp_path / "bot-1.log"
    log.write_text(f"started\n{line}\n")
    after.logs.append(log)

    assert len(after.found()) == 1


def test_what_slack_complains_of_is_found_but_for_late_acks() -> None:
    after = went_well()
    after.slack.complaints.extend(["An ack came late or for nothing: envelope 1", "no such view"])

    assert after.found() == ["Slack complains: no such view"]
