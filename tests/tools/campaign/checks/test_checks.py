"""Each rule of a campaign finds its violation."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bot.cancellation.events import Event, EventName, chain
from bot.sandbox.atlas import Call, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack.event_bus import ChangeEvent
from tests.tools.campaign.checks.observations import Observations
from tests.tools.campaign.checks.requests import violations
from tests.tools.campaign.checks.rules import Rule
from tests.tools.campaign.faults.injector import InjectedFault
from tests.tools.campaign.faults.proxy import BrokenExchange
from tests.tools.campaign.scenarios import Scenario
from tests.tools.campaign.worlds import (
    GRACE,
    MessageTracker,
    build_workspace,
    build_world,
    start_job,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bot.cancellation.events import Recorded

    Json = dict[str, Any]

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


#: The events of a successful scenario, in order, with their actors.
SUCCESSFUL_EVENTS = (
    (EventName.CREATED, "U0CAMP00006"),
    (EventName.APPROVED, "U0CAMP00000"),
    (EventName.CLAIMED, None),
    (EventName.CANCEL_SENT, None),
    (EventName.CANCEL_ANSWERED, None),
    (EventName.CANCELLED, None),
)


@dataclass(slots=True)
class ScenarioEvidence:
    """The evidence of one successful scenario, which tests change."""

    kind: str = "approved"
    atlas: FakeAtlasServer = field(default_factory=lambda: FakeAtlasServer(build_world()))
    slack: FakeSlackServer = field(default_factory=lambda: FakeSlackServer(build_workspace(2)))
    events: list[Recorded] = field(default_factory=list)
    scenario: Scenario = field(init=False)
    messages: MessageTracker = field(init=False)
    _stamps: int = 0

    def __post_init__(self) -> None:
        job = start_job(self.atlas.world, "pair", live=False)
        self.scenario = Scenario(0, self.kind, job, "room-0", acknowledged=True)
        self.messages = MessageTracker({job.id})

    def post(
        self,
        state: str,
        *,
        thread: str = "",
        request: str = "r1",
        again: str = "",
        ts: str = "",
        channel: str = "C0CAMP0000",
    ) -> str:
        self._stamps += 1
        payload = {"request": request, "state": state}
        stamp = ts or f"{self._stamps}.0"
        message = {
            "ts": stamp,
            "channel": channel,
            "thread_ts": thread or stamp,
            "client_msg_id": again or f"id-{self._stamps}",
            "blocks": [self.scenario.job.id],
            "metadata": {"event_payload": payload},
        }
        self.messages.on_change(ChangeEvent(kind="message", data={"message": message}, at=0.0))
        return str(message["ts"])

    def record(self, *entries: tuple[EventName, str | None], request: str = "r1") -> None:
        """Put events in the audit log, one after the other."""
        for name, actor in entries:
            before = [event for event in self.events if event.request == request]
            at = "2026-11-25T12:00:00Z"
            number = len(before) + 1
            event = Event(name=name, request=request, number=number, at=at, actor=actor)
            self.events.append(chain(event, before[-1].hash if before else ""))

    def forget_event(self, name: EventName) -> None:
        self.events = [event for event in self.events if event.event != name]

    def call(self, method: str, seconds: float, **more: Any) -> None:
        """Record a call of the bot so many seconds after noon."""
        path = f"/api/atlas/v2/groups/1/clusters/a/backup/restoreJobs/{self.scenario.job.id}"
        at = NOON + timedelta(seconds=seconds)
        self.atlas.recorder.record(Call(at=at, method=method, path=path, status=204, **more))

    def delete(self, seconds: float = 60, *, effect: bool = True, **more: Any) -> None:
        if effect:
            self.scenario.job.cancel()
        self.call("DELETE", seconds, effect=effect, **more)

    def approve(self, user: str = "approver-1", seconds: float = 30) -> None:
        self.scenario.approved_at[user] = NOON.timestamp() + seconds

    def observations(self, **more: Any) -> Observations:
        return Observations(
            scenarios=[self.scenario],
            messages=self.messages,
            slack=self.slack,
            atlas=self.atlas,
            events=self.events,
            secrets=["hush-hush"],
            **more,
        )

    def found(self, **more: Any) -> list[str]:
        return [str(each) for each in violations(self.observations(**more))]


def successful() -> ScenarioEvidence:
    evidence = ScenarioEvidence()
    evidence.approve()
    evidence.delete()
    evidence.post("cancelled", thread=evidence.post("cancelled"))
    evidence.record(*SUCCESSFUL_EVENTS)
    return evidence


def test_successful_scenario_has_no_violation() -> None:
    assert successful().found() == []


def nothing_posted(evidence: ScenarioEvidence) -> None:
    evidence.messages.forget(evidence.scenario.job.id)


def never_ended(evidence: ScenarioEvidence) -> None:
    evidence.post("cancelling", thread=evidence.post("cancelling", request="r1"))


def two_cards(evidence: ScenarioEvidence) -> None:
    evidence.post("cancelled")


def two_outcomes(evidence: ScenarioEvidence) -> None:
    evidence.post("cancelled", thread="1.0")


def thread_and_card_differ(evidence: ScenarioEvidence) -> None:
    evidence.post("failed", thread="1.0")


def two_requests(evidence: ScenarioEvidence) -> None:
    evidence.post("cancelled", thread=evidence.post("cancelled", request="r2"), request="r2")


def another_outcome(evidence: ScenarioEvidence) -> None:
    evidence.messages.forget(evidence.scenario.job.id)
    evidence.post("over", thread=evidence.post("over"))


def not_cancelled(evidence: ScenarioEvidence) -> None:
    evidence.atlas.calls.clear()
    evidence.scenario.job.cancelled = False


def not_approved(evidence: ScenarioEvidence) -> None:
    evidence.scenario.approved_at.clear()


def approved_too_late(evidence: ScenarioEvidence) -> None:
    evidence.approve(seconds=90)


def approval_of_another_recorded(evidence: ScenarioEvidence) -> None:
    evidence.approve("approver-2")
    evidence.scenario.approved_at.pop("approver-1")


def two_effects(evidence: ScenarioEvidence) -> None:
    evidence.delete(61)


def delete_sent_again(evidence: ScenarioEvidence) -> None:
    evidence.delete(90, effect=False)


def delete_not_recorded(evidence: ScenarioEvidence) -> None:
    evidence.forget_event(EventName.CANCEL_SENT)


def two_ends_recorded(evidence: ScenarioEvidence) -> None:
    evidence.record((EventName.DENIED, None), (EventName.CANCELLED, None))


def notified_after_the_decision(evidence: ScenarioEvidence) -> None:
    evidence.record((EventName.NOTIFIED, None))


def notified_twice(evidence: ScenarioEvidence) -> None:
    evidence.events.clear()
    evidence.record(SUCCESSFUL_EVENTS[0], *[(EventName.NOTIFIED, None)] * 2, *SUCCESSFUL_EVENTS[1:])


def copy_not_recorded(evidence: ScenarioEvidence) -> None:
    evidence.post("cancelled", channel=evidence.slack.state.dm("approver-1"))


def copy_is_behind(evidence: ScenarioEvidence) -> None:
    evidence.post("awaiting", channel=evidence.slack.state.dm("approver-1"))


def acted_alone(evidence: ScenarioEvidence) -> None:
    evidence.record((EventName.ACTED_ALONE, None))


def reviewed_without_a_click(evidence: ScenarioEvidence) -> None:
    evidence.record((EventName.REVIEWED, "U0CAMP00000"))


@pytest.mark.parametrize(
    ("broken", "violation"),
    [
        (notified_after_the_decision, Rule.NOTICES),
        (notified_twice, Rule.NOTICES),
        (copy_not_recorded, Rule.NOTICES),
        (copy_is_behind, Rule.DIRECT),
        (acted_alone, Rule.ALONE),
        (reviewed_without_a_click, Rule.ALONE),
        (nothing_posted, f"{Rule.CARDS}: request for job"),
        (nothing_posted, f"{Rule.TRUTH}: request for job"),
        (never_ended, Rule.ENDED),
        (two_cards, Rule.CARDS),
        (two_requests, Rule.CARDS),
        (two_outcomes, Rule.OUTCOMES),
        (another_outcome, Rule.OUTCOMES),
        (another_outcome, Rule.TRUTH),
        (thread_and_card_differ, Rule.OUTCOMES),
        (not_cancelled, Rule.TRUTH),
        (not_cancelled, Rule.EFFECTS),
        (two_effects, Rule.EFFECTS),
        (not_approved, Rule.APPROVED),
        (approved_too_late, Rule.APPROVED),
        (approval_of_another_recorded, Rule.APPROVED),
        (delete_sent_again, Rule.BLIND),
        (delete_not_recorded, Rule.AUDIT_LOG),
        (two_ends_recorded, Rule.AUDIT_LOG),
    ],
)
def test_each_rule_finds_its_violation(
    broken: Callable[[ScenarioEvidence], None], violation: str
) -> None:
    evidence = successful()

    broken(evidence)

    assert [each for each in evidence.found() if each.startswith(violation)] != []


def with_two_deletes(evidence: ScenarioEvidence) -> None:
    """Add a DELETE 12 s after the one that took effect at 12:01, with its audit event."""
    evidence.delete(72, effect=False)
    evidence.forget_event(EventName.CANCELLED)
    evidence.record((EventName.TAKEN_OVER, None), *SUCCESSFUL_EVENTS[-3:])


def at(seconds: float) -> float:
    return NOON.timestamp() + seconds


@pytest.mark.parametrize(
    ("faults", "exchanges", "explained"),
    [
        ([], [], False),
        ([InjectedFault(at(59), at(70), "bot: paused", "bot-1")], [], True),
        # It had seen it.
        ([InjectedFault(at(61), at(70), "bot: paused", "bot-1")], [], False),
        # It was back.
        ([InjectedFault(at(55), at(61), "bot: paused", "bot-1")], [], False),
        ([InjectedFault(at(59), at(70), "bot: SIGKILL", "bot-1")], [], False),
        ([InjectedFault(at(59), at(70), "database: paused", "")], [], True),
        ([InjectedFault(at(59), at(70), "slack: faulty answer", "")], [], False),
        ([], [BrokenExchange(at(68), at(72), "late")], True),
        ([], [BrokenExchange(at(56), at(60), "late")], True),
        ([], [BrokenExchange(at(60), at(64), "late")], False),
        ([], [BrokenExchange(at(71), at(72), "reset after")], False),
    ],
)
def test_second_delete_is_explained_by_a_fault_that_hid_the_first(
    faults: list[InjectedFault], exchanges: list[BrokenExchange], *, explained: bool
) -> None:
    evidence = successful()
    with_two_deletes(evidence)

    assert (evidence.found(faults=faults, to_atlas=exchanges) == []) is explained


@pytest.mark.parametrize(("faults", "explained"), [(("stale_read",), True), ((), False)])
def test_job_cancelled_elsewhere_is_reported_cancelled_only_with_outdated_jobs(
    faults: tuple[str, ...], *, explained: bool
) -> None:
    evidence = ScenarioEvidence(kind="cancelled elsewhere")
    evidence.scenario.elsewhere = True
    evidence.scenario.job.cancel()
    evidence.approve()
    evidence.call("GET", 50, faults=faults)
    evidence.delete(effect=False)
    evidence.post("cancelled", thread=evidence.post("cancelled"))
    evidence.record(*SUCCESSFUL_EVENTS)

    assert (evidence.found() == []) is explained


def test_duplicate_post_is_allowed_only_without_deduplication_in_slack() -> None:
    evidence = successful()
    evidence.post("cancelled", thread="1.0", again="id-2")

    assert evidence.found(posts_may_double=True) == []
    assert evidence.found() == [
        f"{Rule.COPIES}: 1 stand there twice, though Slack knows a repeated one"
    ]


@pytest.mark.parametrize(("seconds", "early"), [(GRACE - 3, True), (GRACE + 1, False)])
def test_delete_before_the_grace_time_is_over_is_a_violation(
    seconds: float, *, early: bool
) -> None:
    evidence = ScenarioEvidence(kind="not kept")
    evidence.delete(seconds)
    evidence.post("cancelled", thread=evidence.post("cancelled", ts=f"{at(0)}"))
    evidence.record(SUCCESSFUL_EVENTS[0], *SUCCESSFUL_EVENTS[2:])

    assert [each.startswith(Rule.GRACE) for each in evidence.found()] == [True] * early


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("Traceback (most recent call last):", Rule.TRACES),
        ('{"event": "run interrupted", "level": "error"}', Rule.TRACES),
        ("it is hush-hush", Rule.SECRETS),
    ],
)
def test_error_or_secret_in_a_log_is_a_violation(line: str, rule: Rule, tmp_path: Path) -> None:
    log = tmp_path / "bot-1.log"
    log.write_text(f"started\n{line}\n")

    found = successful().found(logs=[log])

    assert [each.startswith(rule) for each in found] == [True]


def test_secret_in_the_audit_log_or_slack_is_a_violation() -> None:
    evidence = successful()
    evidence.slack.world.messages.post("C0CAMP0000", {"text": "hush-hush"})
    evidence.record((EventName.CARD_MOVED, "hush-hush"))

    assert evidence.found() == [
        f"{Rule.SECRETS}: secret number 0 is in the audit log",
        f"{Rule.SECRETS}: secret number 0 is in Slack",
    ]


def test_broken_hash_chain_is_a_violation() -> None:
    assert successful().found(breaks=["event 2 was changed"]) == [
        f"{Rule.CHAIN}: event 2 was changed"
    ]
