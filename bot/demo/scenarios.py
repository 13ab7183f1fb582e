"""The scenarios of the demo: what each sets up, and what to try in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.atlas import PRESETS, Fault
from bot.sandbox.atlas.faults import Kind

CLUSTER = "prod-eu"

#: Seconds from the start of a download to its link: as many as the bot expects.
LINK_AFTER = 180.0

#: Seconds from its start to the scenario that shows the link: those that are left do not take long.
LONG_AGO = 150.0

#: Seconds until Atlas answers the DELETE, to kill the bot before; less than its timeout.
LONG_DELETE = 6.0

#: Ids of Rina, of the group of approvers, and of #ops in the fake Slack.
RINA = "U0RINA0001"
GROUP, OPS = "S0APPROVE1", "C0OPS00001"

#: The beginnings of hints: the buttons of the message and of the dialog.
OPEN = "Press “Cancel this download”"
CANCEL = f"{OPEN}, then “Cancel the download”"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One situation that the demo sets up.

    Attributes:
        name: as `--fault` names it.
        title: its label in the menu.
        hint: what to try.
        approvals: the least number of other people who must approve.
        without_approval: no approval is needed, even with `--approvals`: it must run immediately.
        settings: further settings of the bot.
        second: the person whom a second tab shows.
        age: seconds from the start of the download to the scenario.
        fault: the fault of Atlas, in a sentence.
        faults: the same for the fake Atlas.
    """

    name: str
    title: str
    hint: str
    approvals: int = 0
    without_approval: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    second: str = ""
    age: float = 0.0
    fault: str = ""
    faults: tuple[Fault, ...] = field(default=())

    @property
    def shown(self) -> dict[str, str]:
        """What the page shows of it."""
        return {"name": self.name, "title": self.title, "hint": self.hint, "second": self.second}


def _preset(name: str, title: str, hint: str) -> Scenario:
    fault, faults = PRESETS[name]
    return Scenario(name=name, title=title, hint=hint, fault=fault, faults=faults)


FIRST_SCENARIOS = (
    Scenario(
        name="mistake",
        title="A download started by mistake",
        hint=f"The bot announces a download. {OPEN} before its link is there.",
    ),
    Scenario(
        name="approval",
        title="Two people and an approval",
        hint=(
            f"{OPEN} as Rina, and give a reason, which is needed. Then approve as Ada, here or "
            "in a second tab."
        ),
        approvals=1,
        second="ada",
    ),
    Scenario(
        name="restart",
        title="The bot is killed in the middle",
        hint=f"{CANCEL}. Kill the bot at once, start it again: it finishes with one DELETE.",
        without_approval=True,
        fault=f"Atlas takes {LONG_DELETE:.0f} seconds over the next DELETE.",
        faults=(Fault(kind=Kind.DELAY, method="DELETE", seconds=LONG_DELETE),),
    ),
    _preset(
        "cut-after",
        "The answer of the DELETE is lost",
        f"{CANCEL}: the bot reads it again first, and sends no second DELETE.",
    ),
)

MORE_SCENARIOS = (
    Scenario(
        name="auto-cancel",
        title="Auto-cancel",
        hint=(
            "Nobody needs to ask: the bot cancels this download 30 seconds after it was seen, "
            "unless Ada or Abe presses “Let it run” and says why. Their click counts once it is "
            "20 seconds old."
        ),
        without_approval=True,
        second="ada",
        settings={"BOT_AUTO_CANCEL_AFTER": "30"},
    ),
    Scenario(
        name="emergency",
        title="An emergency",
        hint=(
            "Rina may cancel at once, without approval: tick the box in the dialog, and give a "
            "reason. The thread calls the approvers."
        ),
        approvals=1,
        second="ada",
        settings={"BOT_BREAK_GLASS": RINA},
    ),
    Scenario(
        name="link-live",
        title="The link goes live while a request waits",
        hint=(
            f"This download was started {LONG_AGO:.0f} s ago. Ask as Rina at once: "
            f"{LINK_AFTER - LONG_AGO:.0f} s later the link goes live, and the thread calls the "
            "approvers."
        ),
        approvals=1,
        second="ada",
        age=LONG_AGO,
    ),
)

FAULTS = (
    _preset(
        "slow",
        "Atlas is slow",
        "The dialog opens at once and shows the details when Atlas answers.",
    ),
    _preset(
        "rate-limited",
        "Atlas limits the rate",
        f"{CANCEL}: the bot waits as long as Atlas requests, then continues.",
    ),
    _preset(
        "down",
        "Atlas is down",
        f"{OPEN}: the bot retries for a while. Clear the fault, and open the dialog again.",
    ),
    _preset(
        "hang",
        "Atlas never answers one call",
        f"{OPEN}: the bot stops waiting after some seconds, and reads again.",
    ),
    _preset(
        "unavailable",
        "Atlas is unavailable",
        f"{OPEN}: the bot retries, then says so. Clear the fault, and open it again.",
    ),
    _preset(
        "cut-before",
        "The DELETE is lost",
        f"{CANCEL}: the bot reads it, sees that nothing happened, and sends the DELETE again.",
    ),
    _preset(
        "garbage",
        "Atlas answers with HTML instead of JSON",
        f"{OPEN}: the bot does not trust the answer, and reads again.",
    ),
    _preset(
        "maintenance",
        "Atlas is being upgraded",
        f"{CANCEL}: the message gives Atlas's reason, and the bot goes on trying. Clear the fault.",
    ),
    _preset(
        "stale-read",
        "Atlas returns an outdated job",
        f"{CANCEL}: the bot says “cancelled” only after Atlas does.",
    ),
    _preset(
        "stale-nonce",
        "The digest nonce expires",
        f"{CANCEL}: the calls show a new challenge, and the bot answers it.",
    ),
    _preset(
        "access-list",
        "The bot is not on the access list",
        f"{OPEN}: the dialog names the address to add. Clear the fault, and open it again.",
    ),
    _preset(
        "feed-refused",
        "The key may not read the activity feed",
        "The announcement does not say who started the download; cancelling works as before.",
    ),
    _preset(
        "wrong-key",
        "Atlas rejects the API key",
        f"{OPEN}: the dialog says that the key is wrong. Clear the fault, and open it again.",
    ),
)

#: The menu, in groups.
MENU: Mapping[str, tuple[Scenario, ...]] = {
    "Scenarios": FIRST_SCENARIOS,
    "More": MORE_SCENARIOS,
}

#: Every scenario that `--fault` may name.
SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario for scenario in (*FIRST_SCENARIOS, *MORE_SCENARIOS, *FAULTS)
}

FIRST = FIRST_SCENARIOS[0].name


def first_for(approvals: int) -> str:
    """Return the name of the scenario with which the demo begins."""
    return "approval" if approvals else FIRST
