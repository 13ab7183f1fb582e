"""Scenarios: the plan of people for a job, and their actions."""

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
    """The plan of people for a job, and its possible ends.

    `weight`: relative frequency.
    """

    project: str
    ends: frozenset[str]
    weight: int


CANCELLED = frozenset({"cancelled"})

KINDS: Mapping[str, ScenarioKind] = {
    "asked": ScenarioKind("free", CANCELLED, 40),
    "asked by two": ScenarioKind("free", CANCELLED, 4),
    "approved": ScenarioKind("pair", CANCELLED, 14),
    "approved by two": ScenarioKind("trio", CANCELLED, 12),
    "denied": ScenarioKind("pair", frozenset({"denied"}), 7),
    "withdrawn": ScenarioKind("trio", frozenset({"withdrawn"}), 6),
    "no approval": ScenarioKind("brief", frozenset({"expired"}), 5),
    "one approval of two": ScenarioKind("brief", frozenset({"expired"}), 4),
    "competing decisions": ScenarioKind("pair", frozenset({"cancelled", "denied", "withdrawn"}), 5),
    "cancelled elsewhere": ScenarioKind("pair", frozenset({"over"}), 3),
    "approved in a copy": ScenarioKind("notified", CANCELLED, 4),
    "approved after reminders": ScenarioKind("notified", CANCELLED, 3),
    "copy against channel": ScenarioKind("notified", frozenset({"cancelled", "denied"}), 4),
    "acts alone": ScenarioKind("notified", CANCELLED, 5),
    "kept": ScenarioKind(GUARD, frozenset({"kept", "cancelled"}), 4),
    "not kept": ScenarioKind(GUARD, CANCELLED, 4),
    "cancelled early": ScenarioKind(GUARD, CANCELLED, 3),
}


@dataclass(slots=True)
class Scenario:
    """One job, and the actions of people about it.

    Attributes:
        acknowledged: whether a submission was acknowledged without an error.
        refusal: the last error that the dialog showed instead.
        approved_at: the people who clicked Approve, with the first moment (wall clock).
        submitted_at: when a submission was sent first (wall clock).
        elsewhere: whether the job was cancelled in Atlas.
        reviewed: whether an approver reviewed the act without approval.
    """

    number: int
    kind: str
    job: RestoreJob
    channel: str
    acknowledged: bool = False
    refusal: str = ""
    approved_at: dict[str, float] = field(default_factory=dict)
    submitted_at: float | None = None
    elsewhere: bool = False
    retried: int = 0
    reviewed: bool = False

    @property
    def alone(self) -> bool:
        """Whether the requester acts without the approvals that the project wants."""
        return self.kind == "acts alone"

    @property
    def in_quarantine(self) -> bool:
        return self.project == GUARD

    @property
    def needed(self) -> int:
        """How many approvals a DELETE needs."""
        return 0 if self.alone else RULES[self.project][0]

    @property
    def project(self) -> str:
        return KINDS[self.kind].project

    @property
    def requester(self) -> str:
        return f"member-{2 * self.number}"

    @property
    def second(self) -> str:
        """The second requester, where there are two."""
        return f"member-{2 * self.number + 1}"


def write_scenarios(
    count: int,
    start: Callable[[str], RestoreJob],
    rng: random.Random,
    *,
    quarantine: bool = True,
) -> list[Scenario]:
    """Return so many scenarios, each with a job of its own; of each kind at least one."""
    known = {name: kind for name, kind in KINDS.items() if quarantine or kind.project != GUARD}
    weights = [kind.weight for kind in known.values()]
    once = list(known) if count >= len(known) else []
    kinds = once + rng.choices(list(known), weights, k=count - len(once))
    rng.shuffle(kinds)
    return [
        Scenario(number, kind, start(_first_project(kind)), f"room-{number % CHANNELS}")
        for number, kind in enumerate(kinds)
    ]


def _first_project(kind: str) -> str:
    """Return where the job of a scenario is; a download in quarantine starts later."""
    project = KINDS[kind].project
    return "free" if project == GUARD else project
