"""The table of faults counts faults that hit a call, not pending ones."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from bot.sandbox.atlas import Call, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer, Fault
from tests.tools.campaign.fault_counts import went_wrong
from tests.tools.campaign.fault_injector import (
    ATLAS_FAULTS,
    SLACK_FAULTS,
    FaultInjector,
    InjectedFault,
)
from tests.tools.campaign.faulty_proxy import PROXY_FAULTS, BrokenExchange, FaultyProxy, ProxyFault
from tests.tools.campaign.flaky_delivery import Counts

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def injector() -> FaultInjector:
    return FaultInjector(
        dice=random.Random(1),  # noqa: S311 - fault injection, no secret
        slack=FakeSlackServer(),
        atlas=FakeAtlasServer(),
        replicas=[],
        to_slack=FaultyProxy(lambda: None),
        to_atlas=FaultyProxy(lambda: None),
        to_bot=None,
        postgres=None,
    )


def test_actions_are_counted_by_name() -> None:
    sky = injector()
    sky.faults += [
        InjectedFault(1.0, 2.0, "bot: SIGKILL", "bot-1"),
        InjectedFault(2.0, 2.0, "bot: SIGKILL", "bot-2"),
    ]

    assert went_wrong(sky, Counts()) == {"bot: SIGKILL": 2}


def test_fault_of_slack_counts_when_a_call_hits_it() -> None:
    sky = injector()
    sky.slack.faults.add("*", Fault(kind="status", status=502), 2)
    sky.faults.append(InjectedFault(1.0, 1.0, "slack: odd answer", "status x2"))
    assert went_wrong(sky, Counts()) == {}

    sky.slack.faults.next("chat.postMessage")

    assert went_wrong(sky, Counts()) == {"answer of Slack: 502": 1}


def test_faults_of_atlas_are_counted_by_call() -> None:
    sky = injector()
    for status, *faults in ((429, "status"), (200, "status", "truncated"), (None, "reset_after")):
        call = Call(at=NOW, method="GET", path="/", status=status, faults=tuple(faults))
        sky.atlas.recorder.record(call)

    assert went_wrong(sky, Counts()) == {
        "answer of Atlas: 429": 1,
        "answer of Atlas: truncated": 1,
        "answer of Atlas: reset after": 1,
    }


def test_proxy_fault_counts_when_it_breaks_an_exchange() -> None:
    sky = injector()
    sky.to_atlas.harms.append(ProxyFault("noise"))
    assert went_wrong(sky, Counts()) == {}

    sky.to_atlas.struck.append(BrokenExchange(1.0, 1.0, "noise"))

    assert went_wrong(sky, Counts()) == {"connection to Atlas: noise": 1}


def test_deliveries_are_counted_by_result() -> None:
    counts = Counts(sent=10, late=3, twice=2, again=1)

    assert went_wrong(injector(), counts) == {
        "delivery of Slack: late, overtaken by others": 3,
        "delivery of Slack: twice": 2,
        "delivery of Slack: again, not acknowledged": 1,
    }


async def test_every_kind_of_fault_is_injected() -> None:
    sky = injector()
    dealt = set()
    for _ in ATLAS_FAULTS:
        await sky._odd_atlas()
        dealt |= {(each.fault.kind, each.fault.status) for each in sky.atlas.faults.active}
        sky.atlas.faults.clear()
    for _ in SLACK_FAULTS:
        await sky._odd_slack()
        while sky.slack.faults.next("chat.postMessage"):
            continue
    tear = sky._break(sky.to_slack)
    for _ in PROXY_FAULTS:
        await tear()
        sky.to_slack.struck += [BrokenExchange(1.0, 1.0, harm.kind) for harm in sky.to_slack.harms]
        sky.to_slack.harms.clear()

    met = went_wrong(sky, Counts())

    assert dealt == set(ATLAS_FAULTS)
    assert len([name for name in met if name.startswith("answer of Slack")]) == len(SLACK_FAULTS)
    assert {f"connection to Slack: {kind}" for kind in PROXY_FAULTS} <= set(met)
