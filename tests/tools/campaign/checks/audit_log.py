"""Rules for the audit log: complete, and consistent with Slack and Atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cancellation.events import EventName
from bot.cancellation.lifecycle import State
from bot.storage.audit_log import AuditLog
from bot.storage.database import Database
from tests.support.timings import DATABASE_TIMEOUT
from tests.tools.campaign.checks.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bot.cancellation.events import Recorded
    from tests.tools.campaign.checks.observations import Observations
    from tests.tools.campaign.scenarios import Scenario
    from tests.tools.campaign.worlds import Thread

#: The events that end a request.
CLOSING = frozenset(EventName.entering(state) for state in State if state.ended)
#: The events of an approval by a person.
YES = frozenset({EventName.APPROVAL_GIVEN, EventName.APPROVED})

Found = tuple[Rule, str]


async def read_audit_log(url: str) -> tuple[list[Recorded], list[str]]:
    """Read the whole audit log, and the breaks of its hash chain."""
    database = Database(url, timeout=DATABASE_TIMEOUT)
    try:
        log = AuditLog(database)
        events = [event async for event in log.events()]
        return events, [str(each) for each in await log.verify()]
    finally:
        await database.close()


def of_audit_log(observations: Observations) -> Iterator[Found]:
    for each in observations.breaks:
        yield Rule.CHAIN, each
    for request in observations.messages.threads.keys() - observations.chains.keys():
        yield Rule.AUDIT_LOG, f"request {request} has a card, and no event in the audit log"
    for request, chain in observations.chains.items():
        thread = observations.messages.threads.get(request)
        if not observations.has_settled and not (thread and thread.settled):
            continue
        for what in _of_chain(thread, chain):
            yield Rule.AUDIT_LOG, f"request {request}: {what}"
    for scenario in observations.scenarios:
        yield from _of_scenario(observations, scenario)


def _of_chain(thread: Thread | None, chain: Sequence[Recorded]) -> Iterator[str]:
    ends = [event.event for event in chain if event.event in CLOSING]
    if thread is None:
        yield "the audit log has events of it, and it has no card"
    elif ends[-1:] != [f"request:{thread.state}"]:
        yield f"the card shows {thread.state}, the audit log {ends}"
    is_void = any(event.event == EventName.KEEP_VOIDED for event in chain)
    if set(ends[:-1]) - {EventName.FAILED} - ({EventName.KEPT} if is_void else set()):
        yield f"it ended more than once: {ends}"


def _of_scenario(observations: Observations, scenario: Scenario) -> Iterator[Found]:
    chains = [
        observations.chains.get(thread.request, [])
        for thread in observations.messages.by_job.get(scenario.job.id, ())
    ]
    sent = sum(event.event == EventName.CANCEL_SENT for chain in chains for event in chain)
    if (received := len(observations.deletes(scenario))) > sent:
        yield (
            Rule.AUDIT_LOG,
            f"job {scenario.job.id}: {received} DELETEs arrived, {sent} are in the audit log",
        )
    for chain in chains:
        yield from _of_approvals(observations, scenario, chain)


def _of_approvals(
    observations: Observations, scenario: Scenario, chain: Sequence[Recorded]
) -> Iterator[Found]:
    """Check the approvals before the first DELETE in the audit log: enough people, who clicked."""
    events = [event.event for event in chain]
    if (EventName.ACTED_ALONE in events) != scenario.alone:
        yield Rule.ALONE, f"job {scenario.job.id}: {events}"
    if (reviews := events.count(EventName.REVIEWED)) != scenario.reviewed:
        yield Rule.ALONE, f"job {scenario.job.id}: reviewed {reviews} times"
    if EventName.CANCEL_SENT not in events:
        return
    before = chain[: events.index(EventName.CANCEL_SENT)]
    approved_at = {event.actor for event in before if event.event in YES and event.actor}
    clicked = {observations.slack.workspace.user(user).id for user in scenario.approved_at}
    if len(approved_at) < scenario.needed:
        yield (
            Rule.APPROVED,
            f"job {scenario.job.id}: {len(approved_at)} of {scenario.needed}, by the audit log",
        )
    if approved_at - clicked:
        yield (
            Rule.APPROVED,
            f"job {scenario.job.id}: an approval in the audit log without a click",
        )
