"""The scenarios of the demo's page: what each sets up, and what to try in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.atlas import PRESETS, Fault
from bot.sandbox.atlas.faults import Kind

#: The automated restore of the example world; the other scenarios start a download.
AUTOMATED_JOB = "65f0a1c2d3e4f5a6b7c80103"

CLUSTER = "prod-eu"

#: Seconds until Atlas answers the DELETE, to kill the bot meanwhile; less than its timeout.
LONG_DELETE = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One situation that the demo sets up.

    Attributes:
        name: as `--fault` and the page's address name it.
        title: its label in the menu.
        hint: one sentence about what to try.
        approvals: the least number of other people who must approve.
        without_approval: no approval is needed, even with `--approvals`: it must run at once.
        job: the restore job to cancel; empty for a download that starts with the scenario.
        fault: the fault of Atlas, in a sentence.
        faults: the same for the fake Atlas.
    """

    name: str
    title: str
    hint: str
    approvals: int = 0
    without_approval: bool = False
    job: str = ""
    fault: str = ""
    faults: tuple[Fault, ...] = field(default=())


def _preset(name: str, title: str, hint: str) -> Scenario:
    fault, faults = PRESETS[name]
    return Scenario(name=name, title=title, hint=hint, fault=fault, faults=faults)


BASICS = (
    Scenario(
        name="mistake",
        title="A download started by mistake",
        hint="A download of prod-eu was started. Open its restore job and cancel it.",
    ),
    Scenario(
        name="approval",
        title="Two people and an approval",
        hint="Request as Rina. Then approve as Ada, here or in a second tab.",
        approvals=1,
    ),
    Scenario(
        name="automated",
        title="A restore that cannot be cancelled",
        hint="Open an automated restore: the dialog gives the reason and has no button.",
        job=AUTOMATED_JOB,
    ),
    Scenario(
        name="restart",
        title="The bot is killed in the middle",
        hint="Cancel the job, kill the bot at once, start it again: it finishes with one DELETE.",
        without_approval=True,
        fault=f"Atlas takes {LONG_DELETE:.0f} seconds over the next DELETE.",
        faults=(Fault(kind=Kind.DELAY, method="DELETE", seconds=LONG_DELETE),),
    ),
)

ATLAS_FAULTS = (
    _preset(
        "slow",
        "Atlas is slow",
        "The dialog opens at once and shows the details when Atlas answers.",
    ),
    _preset(
        "rate-limited",
        "Atlas limits the rate",
        "Cancel the job: the bot waits as long as Atlas requests, then continues.",
    ),
    _preset(
        "down",
        "Atlas is down",
        "Open the job: the bot retries for a while. Clear the fault, and it continues.",
    ),
    _preset(
        "cut-after",
        "The connection breaks after the DELETE",
        "Cancel the job: the bot reads it again first, and sends no second DELETE.",
    ),
)

TITLES: Mapping[str, str] = {
    "hang": "Atlas never answers one call",
    "unavailable": "Atlas is unavailable",
    "cut-before": "The DELETE is lost",
    "garbage": "Atlas answers with HTML instead of JSON",
    "maintenance": "Atlas is being upgraded",
    "stale-read": "Atlas returns outdated jobs",
    "stale-nonce": "The digest nonce expires",
    "access-list": "The bot is not on the access list",
    "wrong-key": "Atlas rejects the API key",
}

HINT = "Open the job, cancel it, and see how the bot reports the fault."

MORE_FAULTS = tuple(
    _preset(name, TITLES.get(name, name), HINT)
    for name in PRESETS
    if name not in {scenario.name for scenario in ATLAS_FAULTS}
)

#: The menu, in groups.
MENU: Mapping[str, tuple[Scenario, ...]] = {
    "Basics": BASICS,
    "Faults of Atlas": ATLAS_FAULTS,
    "More faults": MORE_FAULTS,
}

SCENARIOS: Mapping[str, Scenario] = {s.name: s for group in MENU.values() for s in group}

FIRST = BASICS[0].name
