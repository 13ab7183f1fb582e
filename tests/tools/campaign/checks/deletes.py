"""Rules for each DELETE: it was approved, and not sent after the job was known to be cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.tools.campaign.checks.rules import Rule
from tests.tools.campaign.worlds import GRACE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bot.sandbox.atlas import Call
    from tests.tools.campaign.checks.observations import Observations
    from tests.tools.campaign.faults.injector import InjectedFault
    from tests.tools.campaign.faults.proxy import BrokenExchange
    from tests.tools.campaign.scenarios import Scenario

#: Faults that pause a bot between its read and its DELETE, or the database.
PAUSES = ("bot: paused", "database:")

#: Seconds until a resumed bot has sent its next call.
RESUMED = 5.0

#: Seconds by which a message's stamp may be later than the message.
STAMP = 1.0

#: Faults of Atlas after which a read shows a job that is cancelled as open.
UNSEEN = {"delay", "stale_read"}

#: Seconds by which the clocks of two observers of one moment may differ.
SAME = 0.5


def of_deletes(observations: Observations, scenario: Scenario) -> Iterator[tuple[Rule, str]]:
    yield from _of_approvals(observations, scenario)
    for call in observations.late(scenario):
        if not explained(observations, scenario, call):
            yield Rule.BLIND, f"one came at {call.at:%H:%M:%S.%f}, and nothing explains it"


def _of_approvals(observations: Observations, scenario: Scenario) -> Iterator[tuple[Rule, str]]:
    for call in observations.deletes(scenario):
        given = [user for user, at in scenario.approved_at.items() if at <= call.at.timestamp()]
        if len(given) < scenario.needed:
            yield Rule.APPROVED, f"{len(given)} of {scenario.needed} had approved"
        if scenario.in_quarantine and not given:
            yield from _of_grace(observations, scenario, call)


def _of_grace(
    observations: Observations, scenario: Scenario, call: Call
) -> Iterator[tuple[Rule, str]]:
    """Check that people could see the card for the grace time, before the bot acted by itself."""
    thread = observations.messages.of(scenario.job.id)
    shown_at = min(map(float, thread.cards), default=None) if thread else None
    if shown_at is None or call.at.timestamp() < shown_at + GRACE - STAMP:
        yield Rule.GRACE, f"shown at {shown_at}, DELETE at {call.at.timestamp()}"


def explained(observations: Observations, scenario: Scenario, late: Call) -> bool:
    """Whether its sender could not know of the DELETE that took effect before.

    Either Atlas did not show the effect to the reader, or one of the two was delayed on its
    way, or its sender was paused after its read while another bot took over.
    """
    done = next(call for call in observations.deletes(scenario) if call.effect)
    before = [call for call in observations.calls[scenario.job.id] if call.at <= late.at]
    return (
        effect_is_hidden(before)
        or any(
            _held_up(exchange, call) for exchange in observations.to_atlas for call in (done, late)
        )
        or any(_was_paused(fault, done, late) for fault in observations.faults)
    )


def effect_is_hidden(calls: Iterable[Call]) -> bool:
    """Whether Atlas showed a job for a while as it had been before."""
    return any(UNSEEN & set(call.faults) for call in calls)


def _held_up(exchange: BrokenExchange, call: Call) -> bool:
    return exchange.kind == "late" and abs(exchange.until - call.at.timestamp()) < SAME


def _was_paused(fault: InjectedFault, done: Call, late: Call) -> bool:
    """Whether it began before the effect, and ended shortly before the late one came."""
    began_before = fault.at <= done.at.timestamp()
    sent_after = late.at.timestamp() <= fault.until + RESUMED
    return fault.what.startswith(PAUSES) and began_before and sent_after
