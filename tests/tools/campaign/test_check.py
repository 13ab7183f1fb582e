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
from tests.tools.campaign.check import violations
from tests.tools.campaign.fault_injector import InjectedFault
from tests.tools.campaign.faulty_proxy import BrokenExchange
from tests.tools.campaign.observations import Observations
from tests.tools.campaign.replicas import Life
from tests.tools.campaign.rules import Rule
from tests.tools.campaign.scenarios import Scenario
from tests.tools.campaign.worlds import BRIEF, GRACE, Board, build_workspace, build_world, start_job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bot.cancellation.events import Recorded

    Json = dict[str, Any]

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


#: What is on record of a scenario that went well, in order, with who did it.
COURSE = (
    (EventName.CREATED, "U0CAMP00006"),
    (EventName.APPROVED, "U0CAMP00000"),
    (EventName.CLAIMED, None),
    (EventName.CANCEL_SENT, None),
    (EventName.CANCEL_ANSWERED, None),
    (EventName.CANCELLED, None),
)


@dataclass(slots=True)
class Aftermath:
    """One scenario that went well, and what can be changed about it."""

    plot: str = "approved"
    atlas: FakeAtlasServer = field(default_factory=lambda: FakeAtlasServer(build_world()))
    slack: FakeSlackServer = field(default_factory=lambda: FakeSlackServer(build_workspace(2)))
    events: list[Recorded] = field(default_factory=list)
    scenario: Scenario = field(init=False)
    board: Board = field(init=False)
    _stamps: int = 0

    def __post_init__(self) -> None:
        job = start_job(self.atlas.world, "pair", live=False)
        self.scenario = Scenario(0, self.plot, job, "room-0", acknowledged=True)
        self.board = Board({job.id})

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
        self.board.heard(ChangeEvent(kind="message", data={"message": message}, at=0.0))
        return str(message["ts"])

    def record(self, *course: tuple[EventName, str | None], request: str = "r1") -> None:
        """Put events in the audit log, one after the other."""
        for name, actor in course:
            before = [event for event in self.events if event.request == request]
            at = "2026-11-25T12:00:00Z"
            number = len(before) + 1
            event = Event(name=name, request=request, number=number, at=at, actor=actor)
            self.events.append(chain(event, before[-1].hash if before else ""))

    def forget_event(self, name: EventName) -> None:
        self.events = [event for event in self.events if event.event != name]

    def call(self, method: str, seconds: float, **more: Any) -> None:
        """Let a call of the bot's come so many seconds after noon."""
        path = f"/api/atlas/v2/groups/1/clusters/a/backup/restoreJobs/{self.scenario.job.id}"
        at = NOON + timedelta(seconds=seconds)
        self.atlas.recorder.record(Call(at=at, method=method, path=path, status=204, **more))

    def delete(self, seconds: float = 60, *, effect: bool = True, **more: Any) -> None:
        if effect:
            self.scenario.job.cancel()
        self.call("DELETE", seconds, effect=effect, **more)

    def approve(self, who: str = "approver-1", seconds: float = 30) -> None:
        self.scenario.yes[who] = NOON.timestamp() + seconds

    def observations(self, **more: Any) -> Observations:
        return Observations(
            scenarios=[self.scenario],
            board=self.board,
            slack=self.slack,
            atlas=self.atlas,
            events=self.events,
            secrets=["hush-hush"],
            **more,
        )

    def found(self, **more: Any) -> list[str]:
        return [str(each) for each in violations(self.observations(**more))]


def went_well() -> Aftermath:
    after = Aftermath()
    after.approve()
    after.delete()
    after.post("cancelled", thread=after.post("cancelled"))
    after.record(*COURSE)
    return after


def test_successful_scenario_has_no_violation() -> None:
    assert went_well().found() == []


def nothing_posted(after: Aftermath) -> None:
    after.board.forget(after.scenario.job.id)


def never_ended(after: Aftermath) -> None:
    after.post("cancelling", thread=after.post("cancelling", request="r1"))


def two_cards(after: Aftermath) -> None:
    after.post("cancelled")


def two_outcomes(after: Aftermath) -> None:
    after.post("cancelled", thread="1.0")


def thread_and_card_differ(after: Aftermath) -> None:
    after.post("failed", thread="1.0")


def two_requests(after: Aftermath) -> None:
    after.post("cancelled", thread=after.post("cancelled", request="r2"), request="r2")


def another_outcome(after: Aftermath) -> None:
    after.board.forget(after.scenario.job.id)
    after.post("over", thread=after.post("over"))


def not_cancelled(after: Aftermath) -> None:
    after.atlas.calls.clear()
    after.scenario.job.cancelled = False


def cancelled_by_others(after: Aftermath) -> None:
    after.atlas.calls.clear()


def not_approved(after: Aftermath) -> None:
    after.scenario.yes.clear()


def approved_too_late(after: Aftermath) -> None:
    after.approve(seconds=90)


def approved_by_nobody_on_record(after: Aftermath) -> None:
    after.forget_event(EventName.APPROVED)


def approved_on_record_by_another(after: Aftermath) -> None:
    after.approve("approver-2")
    after.scenario.yes.pop("approver-1")


def two_effects(after: Aftermath) -> None:
    after.delete(61)


def sent_again(after: Aftermath) -> None:
    after.delete(90, effect=False)


def sent_off_the_record(after: Aftermath) -> None:
    after.forget_event(EventName.CANCEL_SENT)


def not_ended_on_record(after: Aftermath) -> None:
    after.forget_event(EventName.CANCELLED)


def ended_twice_on_record(after: Aftermath) -> None:
    after.record((EventName.DENIED, None), (EventName.CANCELLED, None))


def nothing_on_record(after: Aftermath) -> None:
    after.events.clear()


def on_record_and_nowhere_else(after: Aftermath) -> None:
    after.record(*COURSE, request="r2")


def told_after_the_decision(after: Aftermath) -> None:
    after.record((EventName.NOTIFIED, None))


def told_twice(after: Aftermath) -> None:
    after.events.clear()
    after.record(COURSE[0], *[(EventName.NOTIFIED, None)] * 2, *COURSE[1:])


def copy_off_the_record(after: Aftermath) -> None:
    after.post("cancelled", channel=after.slack.state.dm("approver-1"))


def copy_is_behind(after: Aftermath) -> None:
    after.post("awaiting", channel=after.slack.state.dm("approver-1"))


def acted_alone(after: Aftermath) -> None:
    after.record((EventName.ACTED_ALONE, None))


def reviewed_without_a_click(after: Aftermath) -> None:
    after.record((EventName.REVIEWED, "U0CAMP00000"))


@pytest.mark.parametrize(
    ("broken", "violation"),
    [
        (told_after_the_decision, Rule.NOTICES),
        (told_twice, Rule.NOTICES),
        (copy_off_the_record, Rule.NOTICES),
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
        (cancelled_by_others, Rule.EFFECTS),
        (two_effects, Rule.EFFECTS),
        (not_approved, Rule.APPROVED),
        (approved_too_late, Rule.APPROVED),
        (approved_by_nobody_on_record, Rule.APPROVED),
        (approved_on_record_by_another, Rule.APPROVED),
        (sent_again, Rule.BLIND),
        (sent_off_the_record, Rule.RECORD),
        (not_ended_on_record, Rule.RECORD),
        (ended_twice_on_record, Rule.RECORD),
        (nothing_on_record, Rule.RECORD),
        (on_record_and_nowhere_else, Rule.RECORD),
    ],
)
def test_each_rule_finds_its_violation(broken: Callable[[Aftermath], None], violation: str) -> None:
    after = went_well()

    broken(after)

    assert [each for each in after.found() if each.startswith(violation)] != []


def sent_again_after(after: Aftermath) -> None:
    """Add a DELETE 12 s after the one that took effect at 12:01, with its audit event."""
    after.delete(72, effect=False)
    after.forget_event(EventName.CANCELLED)
    after.record((EventName.TAKEN_OVER, None), *COURSE[-3:])


def at(seconds: float) -> float:
    return NOON.timestamp() + seconds


@pytest.mark.parametrize(
    ("faults", "wire", "explained"),
    [
        ([], [], False),
        ([InjectedFault(at(59), at(70), "bot: paused", "bot-1")], [], True),
        (
            [InjectedFault(at(61), at(70), "bot: paused", "bot-1")],
            [],
            False,
        ),  # it had seen it
        (
            [InjectedFault(at(55), at(61), "bot: paused", "bot-1")],
            [],
            False,
        ),  # it was back
        ([InjectedFault(at(59), at(70), "bot: SIGKILL", "bot-1")], [], False),
        ([InjectedFault(at(59), at(70), "database: paused", "")], [], True),
        ([InjectedFault(at(59), at(70), "slack: odd answer", "")], [], False),
        ([], [BrokenExchange(at(68), at(72), "late")], True),
        ([], [BrokenExchange(at(56), at(60), "late")], True),
        ([], [BrokenExchange(at(60), at(64), "late")], False),
        ([], [BrokenExchange(at(71), at(72), "reset after")], False),
    ],
)
def test_second_delete_is_explained_by_a_fault_that_hid_the_first(
    faults: list[InjectedFault], wire: list[BrokenExchange], *, explained: bool
) -> None:
    after = went_well()
    sent_again_after(after)

    assert (after.found(faults=faults, to_atlas=wire) == []) is explained


@pytest.mark.parametrize(("fault", "explained"), [("stale_read", True), ("reset_after", False)])
def test_second_delete_is_explained_by_outdated_jobs_of_atlas(
    fault: str, *, explained: bool
) -> None:
    after = went_well()
    after.call("GET", 59, faults=(fault,))
    sent_again_after(after)

    assert (after.found() == []) is explained


@pytest.mark.parametrize(("faults", "explained"), [(("stale_read",), True), ((), False)])
def test_job_cancelled_elsewhere_is_reported_cancelled_only_with_outdated_jobs(
    faults: tuple[str, ...], *, explained: bool
) -> None:
    after = Aftermath(plot="cancelled elsewhere")
    after.scenario.elsewhere = True
    after.scenario.job.cancel()
    after.approve()
    after.call("GET", 50, faults=faults)
    after.delete(effect=False)
    after.post("cancelled", thread=after.post("cancelled"))
    after.record(*COURSE)

    assert (after.found() == []) is explained


def test_duplicate_post_is_allowed_only_without_deduplication_in_slack() -> None:
    after = went_well()
    after.post("cancelled", thread="1.0", again="id-2")

    assert after.found(posts_may_double=True) == []
    assert after.found() == [
        f"{Rule.COPIES}: 1 stand there twice, though Slack knows a repeated one"
    ]


@pytest.mark.parametrize(("seconds", "early"), [(GRACE - 3, True), (GRACE + 1, False)])
def test_delete_before_the_grace_time_is_over_is_a_violation(
    seconds: float, *, early: bool
) -> None:
    after = Aftermath(plot="not kept")
    after.delete(seconds)
    after.post("cancelled", thread=after.post("cancelled", ts=f"{at(0)}"))
    after.record(COURSE[0], *COURSE[2:])

    assert [each.startswith(Rule.GRACE) for each in after.found()] == [True] * early


@pytest.mark.parametrize(("submitted_at", "early"), [(3.0, False), (7.0, True)])
def test_early_expiry_is_a_violation(submitted_at: float, *, early: bool) -> None:
    after = Aftermath(plot="no approval")
    after.scenario.submitted_at = submitted_at
    after.post("expired", thread=after.post("expired"), ts="11.0")
    after.record(COURSE[0], (EventName.EXPIRED, None))

    assert [each.startswith(Rule.EARLY) for each in after.found()] == [True] * early


def test_delay_of_an_expiry_counts_from_the_audit_log() -> None:
    after = Aftermath(plot="no approval")
    after.scenario.submitted_at = at(-60)
    after.post("expired", thread=after.post("expired"), ts=f"{at(BRIEF + 3)}")
    after.record(COURSE[0], (EventName.EXPIRED, None))

    assert after.observations().expired_late(after.scenario) == 3.0


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

    found = went_well().found(logs=[log])

    assert [each.startswith(rule) for each in found] == [True]


def test_secret_in_the_audit_log_or_slack_is_a_violation() -> None:
    after = went_well()
    after.slack.world.messages.post("C0CAMP0000", {"text": "hush-hush"})
    after.record((EventName.CARD_MOVED, "hush-hush"))

    assert after.found() == [
        f"{Rule.SECRETS}: secret number 0 stands in the record",
        f"{Rule.SECRETS}: secret number 0 stands in Slack",
    ]


def test_complaints_of_slack_are_violations_except_late_acks() -> None:
    after = went_well()
    after.slack.complaints.extend(["An ack is late or unexpected: envelope 1", "no such view"])

    assert after.found() == [f"{Rule.COMPLAINTS}: no such view"]


def test_broken_hash_chain_is_a_violation() -> None:
    assert went_well().found(breaks=["event 2 was changed"]) == [
        f"{Rule.CHAIN}: event 2 was changed"
    ]


@pytest.mark.parametrize(
    ("life", "odd"),
    [
        (Life(log="l", started=True, told_at=1.0, code=0), False),
        (Life(log="l", started=True, told_at=1.0, code=1), True),
        (Life(log="l", started=True, told_at=1.0, code=-15), True),
        (Life(log="l", started=True, told_at=1.0, code=-9, overdue=True), True),
        (Life(log="l", started=True, killed=True, code=-9), False),
        (Life(log="l", started=True, code=-9), True),
        (Life(log="l", started=True, code=0), True),
        (Life(log="l", started=True, code=1), True),
        (Life(log="l", code=1), False),  # the database was away
        (Life(log="l", code=0), True),
        (Life(log="l", told_at=1.0, code=-15), False),  # it could not hear yet
    ],
)
def test_unexpected_exit_of_a_bot_is_a_violation(life: Life, *, odd: bool) -> None:
    found = went_well().found(lives=[life])

    assert [each.startswith(Rule.LIVES) for each in found] == [True] * odd
