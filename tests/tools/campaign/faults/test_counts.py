"""The table of faults counts faults that hit a call, not pending ones."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from bot.sandbox.atlas import Call, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer, Fault
from tests.tools.campaign.faults.counts import count_faults
from tests.tools.campaign.faults.delivery import Counts
from tests.tools.campaign.faults.injector import (
    ATLAS_FAULTS,
    SLACK_FAULTS,
    FaultInjector,
    InjectedFault,
)
from tests.tools.campaign.faults.proxy import PROXY_FAULTS, BrokenExchange, FaultyProxy, ProxyFault

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def new_injector() -> FaultInjector:
    return FaultInjector(
        rng=random.Random(1),  # noqa: S311 - fault injection, no secret
        slack=FakeSlackServer(),
        atlas=FakeAtlasServer(),
        replicas=[],
        to_slack=FaultyProxy(lambda: None),
        to_atlas=FaultyProxy(lambda: None),
        to_bot=None,
        postgres=None,
    )


def test_actions_are_counted_by_name() -> None:
    injector = new_injector()
    injector.faults += [
        InjectedFault(1.0, 2.0, "bot: SIGKILL", "bot-1"),
        InjectedFault(2.0, 2.0, "bot: SIGKILL", "bot-2"),
    ]

    assert count_faults(injector, Counts()) == {"bot: SIGKILL": 2}


def test_fault_of_slack_counts_when_a_call_hits_it() -> None:
    injector = new_injector()
    injector.slack.faults.add("*", Fault(kind="status", status=502), 2)
    injector.faults.append(InjectedFault(1.0, 1.0, "slack: faulty answer", "status x2"))
    assert count_faults(injector, Counts()) == {}

    injector.slack.faults.next("chat.postMessage")

    assert count_faults(injector, Counts()) == {"answer of Slack: 502": 1}


def test_faults_of_atlas_are_counted_by_call() -> None:
    injector = new_injector()
    for status, *faults in ((429, "status"), (200, "status", "truncated"), (None, "reset_after")):
        call = Call(at=NOW, method="GET", path="/", status=status, faults=tuple(faults))
        injector.atlas.recorder.record(call)

    assert count_faults(injector, Counts()) == {
        "answer of Atlas: 429": 1,
        "answer of Atlas: truncated": 1,
        "answer of Atlas: reset after": 1,
    }


def test_proxy_fault_counts_when_it_breaks_an_exchange() -> None:
    injector = new_injector()
    injector.to_atlas.faults.append(ProxyFault("noise"))
    assert count_faults(injector, Counts()) == {}

    injector.to_atlas.broken_exchanges.append(BrokenExchange(1.0, 1.0, "noise"))

    assert count_faults(injector, Counts()) == {"connection to Atlas: noise": 1}


def test_deliveries_are_counted_by_result() -> None:
    counts = Counts(sent=10, late=3, twice=2, again=1)

    assert count_faults(new_injector(), counts) == {
        "delivery of Slack: late, overtaken by others": 3,
        "delivery of Slack: twice": 2,
        "delivery of Slack: again, not acknowledged": 1,
    }


async def test_every_kind_of_fault_is_injected() -> None:
    injector = new_injector()
    drawn = set()
    for _ in ATLAS_FAULTS:
        await injector._add_atlas_fault()
        drawn |= {(each.fault.kind, each.fault.status) for each in injector.atlas.faults.active}
        injector.atlas.faults.clear()
    for _ in SLACK_FAULTS:
        await injector._add_slack_fault()
        while injector.slack.faults.next("chat.postMessage"):
            continue
    break_connection = injector._break(injector.to_slack)
    for _ in PROXY_FAULTS:
        await break_connection()
        injector.to_slack.broken_exchanges += [
            BrokenExchange(1.0, 1.0, fault.kind) for fault in injector.to_slack.faults
        ]
        injector.to_slack.faults.clear()

    counts = count_faults(injector, Counts())

    assert drawn == set(ATLAS_FAULTS)
    assert len([name for name in counts if name.startswith("answer of Slack")]) == len(SLACK_FAULTS)
    assert {f"connection to Slack: {kind}" for kind in PROXY_FAULTS} <= set(counts)
