"""What must hold of each request after the storm, as Slack and Atlas show it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.tools.campaign.check_deletes import of_deletes, was_hidden
from tests.tools.campaign.check_logs import of_logs, of_secrets
from tests.tools.campaign.check_record import of_record
from tests.tools.campaign.people import CANCELLED, PLOTS
from tests.tools.campaign.rules import Rule, Violation
from tests.tools.campaign.town import OPEN, RULES, different

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.tools.campaign.people import Story
    from tests.tools.campaign.scene import Scene
    from tests.tools.campaign.town import Thread

#: What a rule finds: which rule, and a sentence.
Found = tuple[Rule, str]

#: The one complaint of the stand-in that is no fault of the bot's: it stood still, or was slow.
LATE_ACK = "An ack is late"

#: Seconds by which a message's stamp may be earlier than the message.
STAMP = 1.0


def violations(scene: Scene) -> list[Violation]:
    """Check everything."""
    found = [*_of_stories(scene), *of_record(scene), *of_logs(scene), *of_secrets(scene)]
    found += [*_of_copies(scene), *_of_slack(scene), *_of_lives(scene)]
    return [Violation(rule, what) for rule, what in found]


def _of_stories(scene: Scene) -> Iterator[Found]:
    for story in scene.stories:
        for rule, what in (*_of_story(scene, story), *of_deletes(scene, story)):
            yield rule, f"request for job {story.job.id} ({story.plot}): {what}"


def _of_story(scene: Scene, story: Story) -> Iterator[Found]:
    threads = scene.board.by_job.get(story.job.id, [])
    if story.acknowledged and not threads:
        yield Rule.CARDS, "it was acknowledged and has no card"
    if scene.effects(story) and not threads:
        yield Rule.TRUTH, "it was cancelled and nothing tells of it"
    if len(threads) > 1 and not _second_came_late(threads):
        yield Rule.CARDS, f"there are {len(threads)} requests for it"
    for thread in threads:
        yield from _of_thread(story, thread)
    yield from _of_expiry(scene, story)
    for thread in threads[:1]:
        yield from _of_truth(scene, story, thread.state)


def _second_came_late(threads: Sequence[Thread]) -> bool:
    """Whether the later requests found the job cancelled, as their dialogs did not know yet."""
    first, *later = threads
    return first.state == "cancelled" and {thread.state for thread in later} == {"over"}


def _of_thread(story: Story, thread: Thread) -> Iterator[Found]:
    if (cards := len(different(thread.cards))) != 1:
        yield Rule.CARDS, f"there are {cards} cards"
    if thread.state in OPEN or not thread.outcomes:
        yield Rule.ENDED, f"the card says {thread.state}, the thread {thread.outcomes}"
        return
    *before, last = thread.outcomes
    if set(before) - {"failed"} or len(before) > story.retried:
        yield Rule.OUTCOMES, f"more than one was told: {thread.outcomes}"
    if last != thread.state:
        yield Rule.OUTCOMES, f"the card says {thread.state}, the thread {last}"


def _of_truth(scene: Scene, story: Story, state: str) -> Iterator[Found]:
    effects = scene.effects(story)
    # Where Atlas did not show that somebody else had cancelled the job, the bot rightly asks it to,
    # and then reads that the job is cancelled.
    hidden = story.elsewhere and was_hidden(scene.calls[story.job.id])
    ends = PLOTS[story.plot].ends | (CANCELLED if hidden else frozenset())
    if state not in OPEN | ends:
        yield Rule.OUTCOMES, f"it ended as {state}, not as {sorted(ends)}"
    if effects > 1 or (state == "cancelled" and not effects and not hidden):
        yield Rule.EFFECTS, f"the card says {state}, and {effects} DELETEs took effect"
    if state == "cancelled" and not story.job.cancelled:
        yield Rule.TRUTH, "it is said cancelled, and is not"
    if state not in {"cancelled", *OPEN} and effects:
        yield Rule.TRUTH, f"we cancelled it, and it is said {state}"


def _of_expiry(scene: Scene, story: Story) -> Iterator[Found]:
    _, wait = RULES[story.project]
    after = scene.expired_after(story)
    if after is not None and after < wait - STAMP:
        yield Rule.EARLY, f"after {after:.0f} s of {wait}"


def _of_copies(scene: Scene) -> Iterator[Found]:
    if scene.copies and not scene.posts_may_double:
        yield Rule.COPIES, f"{scene.copies} stand there twice, though Slack knows a repeated one"


def _of_slack(scene: Scene) -> Iterator[Found]:
    for complaint in scene.slack.complaints:
        if not complaint.startswith(LATE_ACK):
            yield Rule.COMPLAINTS, complaint


def _of_lives(scene: Scene) -> Iterator[Found]:
    for life in scene.lives:
        if odd := life.odd:
            yield Rule.LIVES, f"{life.log}: {odd}"


def endings(scene: Scene) -> Counter[str]:
    """Count how the requests ended."""
    return Counter(thread.state for thread in scene.board.threads.values())
