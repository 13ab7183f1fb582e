"""What went wrong in fact: what was done to bots and services, and which calls met a fault."""

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
    from tests.tools.campaign.courier import Counts
    from tests.tools.campaign.relay import Relay
    from tests.tools.campaign.weather import Blow, Weather

#: How deeds are named that only wait for the next calls: what these meet is counted by itself.
WAITS = ("odd answer", "broken wire")


class MetFaults(Faults):
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


def went_wrong(weather: Weather, deliveries: Counts) -> Counter[str]:
    """Count everything; a fault that waited for a call which never came did not happen."""
    wires = {
        "wire to Slack": weather.to_slack,
        "wire to Atlas": weather.to_atlas,
        "wire from Slack": weather.to_bot,
    }
    met = sum((_on_wire(name, relay) for name, relay in wires.items() if relay), Counter())
    met += _done(weather.blows) + weather.met.counts + _by_atlas(weather.atlas.calls)
    return met + _of_deliveries(deliveries)


def _done(blows: Iterable[Blow]) -> Counter[str]:
    return Counter(blow.what for blow in blows if not blow.what.endswith(WAITS))


def _by_atlas(calls: Iterable[Call]) -> Counter[str]:
    return Counter(_readable("answer of Atlas", each) for call in calls for each in _met_by(call))


def _met_by(call: Call) -> Iterator[object]:
    """A status counts as such, unless another fault struck the same call and left none of it."""
    for fault in call.faults:
        if fault != Kind.STATUS:
            yield fault
        elif call.status and call.status >= HTTPStatus.BAD_REQUEST:
            yield call.status


def _on_wire(name: str, relay: Relay) -> Counter[str]:
    return Counter(_readable(name, struck.kind) for struck in relay.struck)


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
