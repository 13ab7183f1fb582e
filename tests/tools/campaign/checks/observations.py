"""The observations of a campaign."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.cancellation.events import is_about_job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bot.cancellation.events import Recorded
    from bot.sandbox.atlas import Call, FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer
    from tests.tools.campaign.faults.injector import InjectedFault
    from tests.tools.campaign.faults.proxy import BrokenExchange
    from tests.tools.campaign.replicas import ProcessRecord
    from tests.tools.campaign.scenarios import Scenario
    from tests.tools.campaign.worlds import MessageTracker


@dataclass(slots=True, kw_only=True)
class Observations:
    """The actions of people, calls to Slack and Atlas, the audit log, and the injected faults.

    Attributes:
        breaks: breaks of the audit log's hash chain.
        faults: faults injected into bots, databases and services.
        to_atlas: exchanges with Atlas that the proxy broke.
        processes: each process of each bot, with its end.
        has_settled: whether the bots had the time to post everything.
        posts_may_double: whether this Slack does not recognize a repeated post.
    """

    scenarios: Sequence[Scenario]
    messages: MessageTracker
    slack: FakeSlackServer
    atlas: FakeAtlasServer
    events: Sequence[Recorded]
    breaks: Sequence[str] = ()
    faults: Sequence[InjectedFault] = ()
    to_atlas: Sequence[BrokenExchange] = ()
    processes: Sequence[ProcessRecord] = ()
    logs: Sequence[Path] = ()
    secrets: Sequence[str] = ()
    posts_may_double: bool = False
    has_settled: bool = True

    calls: Mapping[str, list[Call]] = field(init=False)
    chains: Mapping[str, list[Recorded]] = field(init=False)

    def __post_init__(self) -> None:
        calls, chains = defaultdict(list), defaultdict(list)
        for call in sorted(self.atlas.calls, key=lambda each: each.at):
            if not call.challenge:
                calls[call.path.rpartition("/")[2].partition("?")[0]].append(call)
        for event in sorted(self.events, key=lambda each: each.number):
            if not is_about_job(event.request):
                chains[event.request].append(event)
        self.calls, self.chains = dict(calls), dict(chains)

    def deletes(self, scenario: Scenario) -> list[Call]:
        """The DELETEs of the job whose credentials were taken, by their arrival."""
        return [call for call in self.calls.get(scenario.job.id, ()) if call.method == "DELETE"]

    def effects(self, scenario: Scenario) -> int:
        """The number of the bot's DELETEs that cancelled the job."""
        return sum(call.effect for call in self.deletes(scenario))

    def late(self, scenario: Scenario) -> list[Call]:
        """The DELETEs that came when one that took effect had come already."""
        deletes = self.deletes(scenario)
        done = next((call.at for call in deletes if call.effect), None)
        return [call for call in deletes if done and call.at > done]

    def expired_after(self, scenario: Scenario) -> float | None:
        """Seconds from its submission until Slack showed that it had expired, if it did."""
        expired_at = self._expired_at(scenario)
        return expired_at - scenario.submitted_at if expired_at and scenario.submitted_at else None

    def _expired_at(self, scenario: Scenario) -> float | None:
        thread = self.messages.of(scenario.job.id)
        return thread.reported_at("expired") if thread else None

    def acknowledged(self) -> list[Scenario]:
        return [scenario for scenario in self.scenarios if scenario.acknowledged]

    def ended(self, scenario: Scenario) -> bool:
        """Whether card and thread show the same end."""
        thread = self.messages.of(scenario.job.id)
        return thread is not None and thread.settled

    @property
    def copies(self) -> int:
        return sum(thread.copies for thread in self.messages.threads.values())
