"""What people have in mind with a job, and what they did about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.tools.campaign.worlds import CHANNELS, RULES

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from bot.sandbox.atlas.jobs import RestoreJob

#: The project whose new downloads are in quarantine.
GUARD = "guard"


@dataclass(frozen=True, slots=True)
class ScenarioKind:
    """What people have in mind with a job, and how it may end.

    `weight`: how often, beside the others.
    """

    project: str
    ends: frozenset[str]
    weight: int


CANCELLED = frozenset({"cancelled"})

PLOTS: Mapping[str, ScenarioKind] = {
    "asked": ScenarioKind("free", CANCELLED, 40),
    "asked by two": ScenarioKind("free", CANCELLED, 4),
    "approved": ScenarioKind("pair", CANCELLED, 14),
    "approved by two": ScenarioKind("trio", CANCELLED, 12),
    "denied": ScenarioKind("pair", frozenset({"denied"}), 7),
    "withdrawn": ScenarioKind("trio", frozenset({"withdrawn"}), 6),
    "no approval": ScenarioKind("brief", frozenset({"expired"}), 5),
    "one approval of two": ScenarioKind("brief", frozenset({"expired"}), 4),
    "everybody at once": ScenarioKind("pair", frozenset({"cancelled", "denied", "withdrawn"}), 5),
    "cancelled elsewhere": ScenarioKind("pair", frozenset({"over"}), 3),
    "approved in a copy": ScenarioKind("told", CANCELLED, 4),
    "approved after reminders": ScenarioKind("told", CANCELLED, 3),
    "copy against channel": ScenarioKind("told", frozenset({"cancelled", "denied"}), 4),
    "acts alone": ScenarioKind("told", CANCELLED, 5),
    "kept": ScenarioKind(GUARD, frozenset({"kept", "cancelled"}), 4),
    "not kept": ScenarioKind(GUARD, CANCELLED, 4),
    "cancelled at once": ScenarioKind(GUARD, CANCELLED, 3),
}


@dataclass(slots=True)
class Scenario:
    """One job, and what people did about it.

    Attributes:
        acknowledged: whether a submission was taken without a word against it: on our word.
        told_off: what the dialog said instead, the last time.
        yes: who clicked Approve, with the moment of the first click (wall clock).
        submitted_at: when a submission was sent first (wall clock).
        elsewhere: whether the job was cancelled in Atlas.
        seconds: from the first command to the acknowledged submission.
        reviewed: whether somebody reviewed what was done without approval.
    """

    number: int
    plot: str
    job: RestoreJob
    channel: str
    acknowledged: bool = False
    told_off: str = ""
    yes: dict[str, float] = field(default_factory=dict)
    submitted_at: float | None = None
    elsewhere: bool = False
    seconds: float | None = None
    clicks: int = 0
    retried: int = 0
    reviewed: bool = False

    @property
    def alone(self) -> bool:
        """Whether the requester acts without the approvals that the project wants."""
        return self.plot == "acts alone"

    @property
    def in_quarantine(self) -> bool:
        return self.project == GUARD

    @property
    def needed(self) -> int:
        """How many approvals a DELETE needs."""
        return 0 if self.alone else RULES[self.project][0]

    @property
    def project(self) -> str:
        return PLOTS[self.plot].project

    @property
    def requester(self) -> str:
        return f"member-{2 * self.number}"

    @property
    def second(self) -> str:
        """Who else asks, where two do."""
        return f"member-{2 * self.number + 1}"


def write_scenarios(
    count: int,
    start: Callable[[str], RestoreJob],
    dice: random.Random,
    *,
    quarantine: bool = True,
) -> list[Scenario]:
    """Think of so many scenarios, each with a job of its own; of each plot at least one."""
    known = {name: plot for name, plot in PLOTS.items() if quarantine or plot.project != GUARD}
    weights = [plot.weight for plot in known.values()]
    once = list(known) if count >= len(known) else []
    plots = once + dice.choices(list(known), weights, k=count - len(once))
    dice.shuffle(plots)
    return [
        Scenario(number, plot, start(_first_project(plot)), f"room-{number % CHANNELS}")
        for number, plot in enumerate(plots)
    ]


def _first_project(plot: str) -> str:
    """Return where the job of a scenario is; a download in quarantine starts later."""
    project = PLOTS[plot].project
    return "free" if project == GUARD else project
