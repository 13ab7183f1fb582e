"""Counts the injected faults and the calls that they hit."""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus
from typing import TYPE_CHECKING

from bot.sandbox.atlas import Kind
from bot.sandbox.slack.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bot.sandbox.atlas import Call
    from bot.sandbox.slack import Fault
    from tests.tools.campaign.faults.delivery import Counts
    from tests.tools.campaign.faults.injector import FaultInjector, InjectedFault
    from tests.tools.campaign.faults.proxy import FaultyProxy

#: Names of actions that apply to the next calls: their faults are counted by call.
PENDING_ACTIONS = ("faulty answer", "broken connection")


class FaultCounts(Faults):
    """Slack's faults, which count the calls that met one."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """How many wait for a call."""
        return sum(map(len, self._queue.values()))

    def next(self, method: str) -> Fault | None:
        fault = super().next(method)
        if fault:
            named = fault.status if fault.kind == "status" else fault.kind
            self.counts[_readable("answer of Slack", named)] += 1
        return fault


def count_faults(injector: FaultInjector, deliveries: Counts) -> Counter[str]:
    """Count everything; a fault that waited for a call which never came did not happen."""
    proxies = {
        "connection to Slack": injector.to_slack,
        "connection to Atlas": injector.to_atlas,
        "connection from Slack": injector.to_bot,
    }
    counts = sum((_by_proxy(name, proxy) for name, proxy in proxies.items() if proxy), Counter())
    counts += (
        _done(injector.faults) + injector.fault_counts.counts + _by_atlas(injector.atlas.calls)
    )
    return counts + _of_deliveries(deliveries)


def _done(faults: Iterable[InjectedFault]) -> Counter[str]:
    return Counter(fault.what for fault in faults if not fault.what.endswith(PENDING_ACTIONS))


def _by_atlas(calls: Iterable[Call]) -> Counter[str]:
    return Counter(
        _readable("answer of Atlas", each) for call in calls for each in _faults_of(call)
    )


def _faults_of(call: Call) -> Iterator[object]:
    """Yield each fault; count the status, unless another fault of the same call hid it."""
    for fault in call.faults:
        if fault != Kind.STATUS:
            yield fault
        elif call.status and call.status >= HTTPStatus.BAD_REQUEST:
            yield call.status


def _by_proxy(name: str, proxy: FaultyProxy) -> Counter[str]:
    return Counter(_readable(name, exchange.kind) for exchange in proxy.broken_exchanges)


def _of_deliveries(counts: Counts) -> Counter[str]:
    return Counter(
        {
            "delivery of Slack: late, overtaken by others": counts.late,
            "delivery of Slack: twice": counts.twice,
            "delivery of Slack: again, not acknowledged": counts.again,
        }
    )


def _readable(where: str, what: object) -> str:
    return f"{where}: {what}".replace("_", " ")
