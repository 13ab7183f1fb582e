"""Rules for each request after a campaign, by the state of Slack and Atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.tools.campaign.checks.audit_log import of_audit_log
from tests.tools.campaign.checks.deletes import effect_is_hidden, of_deletes
from tests.tools.campaign.checks.logs import of_logs, of_secrets
from tests.tools.campaign.checks.notices import of_notices
from tests.tools.campaign.checks.rules import Rule, Violation
from tests.tools.campaign.scenarios import CANCELLED, KINDS
from tests.tools.campaign.worlds import OPEN, RULES, different

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.tools.campaign.checks.observations import Observations
    from tests.tools.campaign.scenarios import Scenario
    from tests.tools.campaign.worlds import Thread

#: A violation: its rule, and a sentence.
Found = tuple[Rule, str]

#: The one complaint of the fake server that is no fault of the bot: it was paused, or slow.
LATE_ACK = "An ack is late"

#: Seconds by which a message's stamp may be earlier than the message.
STAMP = 1.0


def violations(observations: Observations) -> list[Violation]:
    """Check everything."""
    found = [
        *_of_scenarios(observations),
        *of_audit_log(observations),
        *of_notices(observations),
        *of_logs(observations),
        *of_secrets(observations),
    ]
    found += [*of_copies(observations), *of_slack(observations), *_of_processes(observations)]
    return [Violation(rule, what) for rule, what in found]


def _of_scenarios(observations: Observations) -> Iterator[Found]:
    for scenario in observations.scenarios:
        found = (*_of_scenario(observations, scenario), *of_deletes(observations, scenario))
        for rule, what in found:
            yield rule, f"request for job {scenario.job.id} ({scenario.kind}): {what}"


def _of_scenario(observations: Observations, scenario: Scenario) -> Iterator[Found]:
    of_job = observations.messages.by_job.get(scenario.job.id, [])
    # The card of the request that cancelled the job may come after that of a late one.
    threads = sorted(of_job, key=lambda thread: thread.state != "cancelled")
    if scenario.acknowledged and not threads:
        yield Rule.CARDS, "it was acknowledged and has no card"
    if observations.effects(scenario) and not threads:
        yield Rule.TRUTH, "it was cancelled and nothing tells of it"
    if len(threads) > 1 and not is_second_late(threads):
        yield Rule.CARDS, f"there are {len(threads)} requests for it"
    for thread in threads:
        yield from _of_thread(scenario, thread)
    yield from _of_expiry(observations, scenario)
    for thread in threads[:1]:
        yield from _of_truth(observations, scenario, thread.state)


def is_second_late(threads: Sequence[Thread]) -> bool:
    """Whether the later requests found the job cancelled, as their dialogs did not know yet."""
    first, *later = threads
    return first.state == "cancelled" and {thread.state for thread in later} == {"over"}


def _of_thread(scenario: Scenario, thread: Thread) -> Iterator[Found]:
    if (cards := len(different(thread.cards))) != 1:
        yield Rule.CARDS, f"there are {cards} cards"
    if thread.state in OPEN or not thread.outcomes:
        yield Rule.ENDED, f"the card shows {thread.state}, the thread {thread.outcomes}"
        return
    *before, last = thread.outcomes
    if set(before) - {"failed"} or len(before) > scenario.retried:
        yield Rule.OUTCOMES, f"more than one: {thread.outcomes}"
    if last != thread.state:
        yield Rule.OUTCOMES, f"the card shows {thread.state}, the thread {last}"


def _of_truth(observations: Observations, scenario: Scenario, state: str) -> Iterator[Found]:
    effects = observations.effects(scenario)
    # If Atlas returned an outdated job that was cancelled elsewhere, the bot may send a DELETE,
    # and then reads that the job is cancelled.
    hidden = scenario.elsewhere and effect_is_hidden(observations.calls[scenario.job.id])
    ends = KINDS[scenario.kind].ends | (CANCELLED if hidden else frozenset())
    if state not in OPEN | ends:
        yield Rule.OUTCOMES, f"it ended as {state}, not as {sorted(ends)}"
    if effects > 1 or (state == "cancelled" and not effects and not hidden):
        yield Rule.EFFECTS, f"the card shows {state}, and {effects} DELETEs took effect"
    if state == "cancelled" and not scenario.job.cancelled:
        yield Rule.TRUTH, "it is said cancelled, and is not"
    if state not in {"cancelled", *OPEN} and effects:
        yield Rule.TRUTH, f"we cancelled it, and it is said {state}"


def _of_expiry(observations: Observations, scenario: Scenario) -> Iterator[Found]:
    _, wait = RULES[scenario.project]
    after = observations.expired_after(scenario)
    if after is not None and after < wait - STAMP:
        yield Rule.EARLY, f"after {after:.0f} s of {wait}"


def of_copies(observations: Observations) -> Iterator[Found]:
    if observations.copies and not observations.posts_may_double:
        yield (
            Rule.COPIES,
            f"{observations.copies} stand there twice, though Slack knows a repeated one",
        )


def of_slack(observations: Observations) -> Iterator[Found]:
    for complaint in observations.slack.complaints:
        if not complaint.startswith(LATE_ACK):
            yield Rule.COMPLAINTS, complaint


def _of_processes(observations: Observations) -> Iterator[Found]:
    for process in observations.processes:
        if problem := process.problem:
            yield Rule.PROCESSES, f"{process.log}: {problem}"
