"""Rules for random quarantines: which download the bot may and must cancel, when, and how often."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from bot.atlas import created_at
from bot.cancellation.lifecycle import State
from bot.cancellation.posts import PostKind
from bot.cancellation.starter import TOLERANCE
from tests.tools.campaign.checks.rules import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.tools.campaign.quarantine.simulation import Download, Simulation

#: Seconds of the grace time, and until when after it the DELETE must have been sent.
GRACE = 20
LATEST = 10.0

HOUR = 3600.0

#: Seconds within which a starter that the feed shows must be taken into account.
SEEN_WITHIN = 1.0

#: States that a request must not keep.
UNENDED = {State.QUARANTINED, State.AWAITING, State.APPROVED, State.CANCELLING, State.FAILED}


class Rule(StrEnum):
    """A rule; its value is the text of a violation in the table."""

    OTHER = "a DELETE of an old job, or of one that is no download"
    EXPECTED = "a DELETE of a download whose starter is certain and expected"
    KEPT = "a DELETE of a download that was kept"
    TWICE = "a DELETE after one that took effect"
    LIMIT = "more DELETEs within an hour than the limit"
    EARLY = "a DELETE before people could see the card for the grace time"
    LATE = "a DELETE more than 10 s after the grace time"
    MISSED = "neither cancelled nor kept, nor over, nor beyond the limit"
    TRUTH = "the request's state differs from Atlas"
    POSTS = "other than one card and one outcome"
    CHAIN = "the audit log does not verify"
    ERRORS = "an error in a log"


def violations(simulation: Simulation) -> list[Violation]:
    found = [*_of_others(simulation), *_of_limit(simulation)]
    for each in simulation.downloads:
        found += [
            Violation(rule, f"job {each.job_id}: {what}") for rule, what in _of(simulation, each)
        ]
    found += [Violation(Rule.CHAIN, each) for each in simulation.breaks]
    return found + [Violation(Rule.ERRORS, each) for each in simulation.errors]


def _of_others(simulation: Simulation) -> Iterator[Violation]:
    for job_id, at, _ in simulation.services.deletes:
        if job_id in simulation.others:
            yield Violation(Rule.OTHER, f"job {job_id} at {at:g} s")


def _of_limit(simulation: Simulation) -> Iterator[Violation]:
    by_person = {each.job_id for each in simulation.downloads if each.by_person}
    own = [at for job, at, effect in simulation.services.deletes if effect and job not in by_person]
    for at in own:
        count = sum(at - HOUR < each <= at for each in own)
        if simulation.plan.limit is not None and count > simulation.plan.limit:
            yield Violation(Rule.LIMIT, f"{count} in the hour before {at:g} s")


def _of(simulation: Simulation, each: Download) -> Iterator[tuple[Rule, str]]:
    deletes = [call for call in simulation.services.deletes if call[0] == each.job_id]
    effect_at = next((at for _, at, effect in deletes if effect), None)
    for number, (_, at, _) in enumerate(deletes):
        yield from _of_delete(simulation, each, at, is_first=number == 0)
        if effect_at is not None and at >= effect_at and not deletes[number][2]:
            yield Rule.TWICE, f"at {at:g} s, after {effect_at:g} s"
    if (effect_at is not None) != (each.state is State.CANCELLED):
        yield Rule.TRUTH, f"it is {each.state}, and the DELETE took effect at {effect_at}"
    yield from _of_end(simulation, each)
    yield from _of_posts(simulation, each)


def _of_delete(
    simulation: Simulation, each: Download, at: float, *, is_first: bool
) -> Iterator[tuple[Rule, str]]:
    if each.kept_at is not None:
        yield Rule.KEPT, f"kept at {each.kept_at:g} s, DELETE at {at:g} s"
    if each.by_person:
        return
    seen_since = max([each.visible_at, *_before(simulation.feed_outages, at)])
    if each.is_expected and _is_alone(simulation, each) and seen_since < at - SEEN_WITHIN:
        yield Rule.EXPECTED, f"known since {seen_since:g} s, DELETE at {at:g} s"
    if not is_first:
        return
    shown_at = simulation.services.shown_at.get(each.job_id)
    if shown_at is None:
        yield Rule.EARLY, "no card was posted"
        return
    over_at = at if each.approved_at is None else each.approved_at
    outages = [moment for moment in simulation.outages if shown_at < moment < over_at]
    shown_since = max([shown_at, *outages[-1:]])
    if over_at < shown_since + GRACE:
        yield Rule.EARLY, f"shown since {shown_since:g} s, grace time over at {over_at:g} s"
    undisturbed = max([shown_at, *_before(simulation.disturbances, at)])
    if at > undisturbed + GRACE + LATEST:
        yield Rule.LATE, f"undisturbed since {undisturbed:g} s, DELETE at {at:g} s"


def _is_alone(simulation: Simulation, each: Download) -> bool:
    """Whether no other job shares the event of this one, so that its starter is certain."""
    jobs = {*simulation.others, *(download.job_id for download in simulation.downloads)}
    others = map(created_at, jobs - {each.job_id})
    return all(abs(other - each.ref.started_at) > TOLERANCE for other in others)


def _of_end(simulation: Simulation, each: Download) -> Iterator[tuple[Rule, str]]:
    state = each.state
    if state is None or state is State.WITHDRAWN:
        # Not seen by the watch as a download that can be cancelled, or expected by then.
        over = simulation.services.job(each.job_id).failed
        if not (over or each.is_expected or simulation.plan.is_limited):
            yield Rule.MISSED, "there is no request of the bot's own"
    elif state in UNENDED and not _is_persons(simulation, each):
        yield Rule.MISSED, f"it is still {state}"
    elif state is State.OBSERVED and not simulation.plan.is_limited:
        yield Rule.MISSED, "it was observed only"
    elif state is State.KEPT and each.kept_at is None and not each.is_expected:
        yield Rule.TRUTH, "it is kept without a click"


def _of_posts(simulation: Simulation, each: Download) -> Iterator[tuple[Rule, str]]:
    """Check the messages of the request: repeated ones have the same `client_msg_id`."""
    if each.request is None or _is_persons(simulation, each):
        return
    kinds = simulation.services.kinds.get(each.request.id, set())
    counts = Counter(kind for kind, _, _ in kinds)
    ends = [event for kind, event, _ in kinds if (kind, event) == _outcome(each)]
    if counts[PostKind.CARD] != 1 or len(ends) != 1:
        yield Rule.POSTS, f"{sorted(kinds)}"


def _is_persons(simulation: Simulation, each: Download) -> bool:
    """Whether a person's request waits on, as the bot has no reason for one of its own."""
    return each.state is State.AWAITING and (each.is_expected or simulation.plan.is_limited)


def _outcome(each: Download) -> tuple[str, str]:
    return PostKind.REPLY, f"request:{each.state}"


def _before(moments: list[float], at: float) -> list[float]:
    """Return the last of the sorted moments before a moment, or nothing."""
    place = bisect_left(moments, at)
    return moments[max(0, place - 1) : place]


def undisturbed_waits(simulation: Simulation) -> Iterator[float]:
    """Yield the seconds from the end of each grace time that nothing disturbed to its DELETE."""
    for each in simulation.downloads:
        shown_at = simulation.services.shown_at.get(each.job_id)
        at = next(
            (at for job_id, at, _ in simulation.services.deletes if job_id == each.job_id), None
        )
        if shown_at is None or at is None or each.by_person:
            continue
        if not any(shown_at < moment <= at for moment in simulation.disturbances):
            yield at - shown_at - GRACE
