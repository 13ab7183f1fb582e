"""The scenes of the demo's page: what is set up for each, and what to try in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.sandbox.atlas import PRESETS, Fault
from bot.sandbox.atlas.faults import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The automated restore of the example world; the other scenes start a download of their own.
AUTOMATED_JOB = "65f0a1c2d3e4f5a6b7c80103"

CLUSTER = "prod-eu"

#: Seconds that Atlas takes over a DELETE while the bot is killed: less than the bot waits for it.
LONG_DELETE = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One thing to see.

    Attributes:
        name: as `--fault` and the page's address name it.
        title: as the menu has it.
        hint: one line that says what to try.
        approvals: how many other people must approve at least.
        alone: nobody else approves, whatever the demo was told: it must happen at once.
        job: the restore job it is about; empty for a download that starts with the scene.
        fault: what is wrong at Atlas, in a sentence.
        faults: the same for the stand-in.
    """

    name: str
    title: str
    hint: str
    approvals: int = 0
    alone: bool = False
    job: str = ""
    fault: str = ""
    faults: tuple[Fault, ...] = field(default=())


def _preset(name: str, title: str, hint: str) -> Scenario:
    fault, faults = PRESETS[name]
    return Scenario(name=name, title=title, hint=hint, fault=fault, faults=faults)


STORY = (
    Scenario(
        name="mistake",
        title="A download started by mistake",
        hint="Somebody downloads prod-eu. Look the restore job up, and cancel it.",
    ),
    Scenario(
        name="approval",
        title="Two people and an approval",
        hint="Ask as Rina. Then become Ada, here or in a second tab, and approve.",
        approvals=1,
    ),
    Scenario(
        name="automated",
        title="A restore that cannot be cancelled",
        hint="Look up an automated restore: the dialog says why it offers no button.",
        job=AUTOMATED_JOB,
    ),
    Scenario(
        name="restart",
        title="The bot is killed in the middle",
        hint="Cancel the job, kill the bot at once, start it again: it finishes, with one DELETE.",
        alone=True,
        fault=f"Atlas takes {LONG_DELETE:.0f} seconds over the next DELETE.",
        faults=(Fault(kind=Kind.DELAY, method="DELETE", seconds=LONG_DELETE),),
    ),
)

TROUBLE = (
    _preset("slow", "Atlas is slow", "The dialog opens at once, and fills when Atlas answers."),
    _preset(
        "rate-limited",
        "Atlas limits the rate",
        "Cancel the job: the bot waits as long as Atlas asks, and goes on.",
    ),
    _preset(
        "down",
        "Atlas is down",
        "Look the job up: the bot keeps trying for a while. Mend Atlas, and it goes on.",
    ),
    _preset(
        "cut-after",
        "The connection breaks after the DELETE",
        "Cancel the job: the bot looks before it says anything, and sends no second DELETE.",
    ),
)

TITLES: Mapping[str, str] = {
    "hang": "One call is never answered",
    "unavailable": "Atlas is unavailable",
    "cut-before": "The DELETE is lost",
    "garbage": "The answers are no JSON",
    "maintenance": "Atlas is being upgraded",
    "stale-read": "The answers lag behind",
    "stale-nonce": "The login runs out",
    "access-list": "The address is not let in",
    "wrong-key": "The key is not accepted",
}

HINT = "Look the job up and cancel it, and see what the bot makes of it."

MORE = tuple(
    _preset(name, TITLES.get(name, name), HINT)
    for name in PRESETS
    if name not in {scene.name for scene in TROUBLE}
)

#: The menu, in groups.
MENU: Mapping[str, tuple[Scenario, ...]] = {
    "The story": STORY,
    "Trouble at Atlas": TROUBLE,
    "More faults": MORE,
}

SCENARIOS: Mapping[str, Scenario] = {s.name: s for scenes in MENU.values() for s in scenes}

FIRST = STORY[0].name
