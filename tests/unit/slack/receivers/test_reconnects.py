"""When the next Socket Mode connection may be opened, by what Slack counts."""

import math
from dataclasses import dataclass, field

import pytest

from bot.slack.receivers.connections import ReconnectPlan

START = 1000.0
SECOND_PAUSE = 120.0


def a_plan() -> ReconnectPlan:
    return ReconnectPlan(jitter=lambda: 0.0)


@dataclass
class Simulation:
    """One process and a Slack that counts each cut connection for longer than the simulation.

    `silence`: seconds until the process notices a cut.
    """

    silence: float = 0.0
    now: float = START
    plan: ReconnectPlan = field(default_factory=a_plan)
    opened: list[float] = field(default_factory=list)  # that the process believes in
    working: list[float] = field(default_factory=list)  # that were not cut
    registered: int = 0
    noticing: list[float] = field(default_factory=list)  # when it notices the next cuts
    closing: list[float] = field(default_factory=list)  # when it closes a second one again
    connected_at: list[float] = field(default_factory=list)

    def run_until(self, end: float) -> None:
        """Open connections as planned, and notice cuts."""
        while True:
            steps = {
                min(self.noticing, default=math.inf): self._notice,
                min(self.closing, default=math.inf): self._close_second,
                max(self.now, self.plan.next_at(self.opened)): self._open,
            }
            at = min(steps)
            if at >= end:
                self.now = end
                return
            self.now = at
            steps[at]()

    def cut(self) -> None:
        """Cut all connections."""
        self.noticing += [self.now + self.silence] * len(self.working)
        self.working = []

    def _notice(self) -> None:
        self.noticing.remove(min(self.noticing))
        self.plan.on_end(self.now, self.opened.pop(0), is_lost=True)

    def _close_second(self) -> None:
        self.closing.pop()
        self.opened.pop()
        self.working.pop()
        self.registered -= 1

    def _open(self) -> None:
        is_second = bool(self.opened)
        self.registered += 1
        self.opened.append(self.now)
        self.working.append(self.now)
        self.connected_at.append(self.now)
        held = len(self.opened)
        self.plan.on_hello(self.now, self.registered, held, is_second=is_second)
        if is_second and self.plan.excess:
            self.closing.append(self.now + self.plan.timings.excess_grace)


@pytest.mark.parametrize("silence", [0.0, 7.5], ids=["reset", "silent"])
@pytest.mark.parametrize("interval", [0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11.9])
def test_six_cuts_in_a_minute_leave_six_registered_connections(
    interval: float, silence: float
) -> None:
    process = Simulation(silence)
    process.run_until(START + 60)
    assert process.registered == 2
    for _ in range(6):
        process.cut()
        last = process.now
        process.run_until(last + interval)
    process.run_until(last + 25)

    assert process.registered <= 6
    assert len(process.working) == 1  # it is connected again


@pytest.mark.parametrize("silence", [0.0, 7.5], ids=["reset", "silent"])
def test_process_is_connected_within_15_s_of_a_cut_and_opens_no_second_one(silence: float) -> None:
    process = Simulation(silence)
    process.run_until(START + 60)
    process.cut()
    process.run_until(START + 75)
    assert len(process.working) == 1

    process.run_until(START + 600)
    assert (len(process.working), process.registered) == (1, 3)


def test_second_connection_is_opened_15_s_after_the_first() -> None:
    process = Simulation()
    process.run_until(START + 14.9)
    assert process.connected_at == [START]

    process.run_until(START + 60)
    assert process.connected_at == [START, START + 15]


def test_second_connection_is_tried_in_growing_pauses_until_the_excess_is_over() -> None:
    plan, now, pauses = a_plan(), START, []
    plan.on_hello(now, 2, 1, is_second=False)
    for _ in range(4):
        pauses.append(plan.next_at([START]) - now)
        now += pauses[-1]
        plan.on_hello(now, 3, 2, is_second=True)
    assert pauses == [SECOND_PAUSE, 2 * SECOND_PAUSE, 4 * SECOND_PAUSE, 600]

    plan.on_hello(now + 600, 2, 2, is_second=True)
    assert plan.excess == 0


def test_announced_end_needs_no_pause() -> None:
    plan = a_plan()
    plan.on_hello(START, 1, 1, is_second=False)
    plan.on_end(START + 60, START, is_lost=False)

    assert plan.next_at([]) <= START + 60
    assert plan.excess == 0


def test_hello_without_a_count_is_no_excess() -> None:
    plan = a_plan()
    plan.on_end(START + 60, START, is_lost=True)
    plan.on_hello(START + 61, None, 1, is_second=False)

    assert plan.excess == 0


def test_pauses_after_failures_grow_to_ten_seconds() -> None:
    plan = a_plan()
    for _ in range(40):
        plan.on_failure(START)

    assert plan.next_at([]) == START + 10


def test_short_connection_counts_as_a_failure_and_a_long_one_ends_the_row() -> None:
    plan = a_plan()
    plan.on_end(START, START - 4, is_lost=False)
    assert plan.next_at([]) > START

    plan.on_end(START, START - 6, is_lost=False)
    assert plan.failures == 0
