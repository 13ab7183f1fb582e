"""The scenarios of the demo's page: what each sets up, and what to try in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.atlas import PRESETS, Fault
from bot.sandbox.atlas.faults import Kind

CLUSTER = "prod-eu"

#: Seconds until Atlas answers the DELETE, to kill the bot meanwhile; less than its timeout.
LONG_DELETE = 6.0

#: Seconds from the card of a request to the live link, in the scenario that shows it.
LINK_DELAY = 5.0

#: Ids of people, of the group of approvers, and of #ops in the fake Slack.
RINA, ADA, ABE = "U0RINA0001", "U0ADA00001", "U0ABE00001"
GROUP, OPS = "S0APPROVE1", "C0OPS00001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One situation that the demo sets up.

    Attributes:
        name: as `--fault` and the page's address name it.
        title: its label in the menu.
        hint: one sentence about what to try.
        approvals: the least number of other people who must approve.
        without_approval: no approval is needed, even with `--approvals`: it must run immediately.
        settings: further settings of the bot.
        second: the person whom a second tab shows.
        is_automated: an automated restore is to be cancelled, not a download that starts now.
        link_delay: seconds from the card of the request to the live link; 0: it stays away.
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
    is_automated: bool = False
    link_delay: float = 0.0
    fault: str = ""
    faults: tuple[Fault, ...] = field(default=())

    @property
    def is_watched(self) -> bool:
        """Whether the bot itself announces the download."""
        return "BOT_WATCH_CHANNEL" in self.settings


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
        second="ada",
    ),
    Scenario(
        name="automated",
        title="A restore that cannot be cancelled",
        hint="Open an automated restore: the dialog gives the reason and has no button.",
        is_automated=True,
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

TIME_AND_PEOPLE = (
    Scenario(
        name="unanswered",
        title="Approvers do not answer",
        hint=(
            "Request as Rina, and wait: Ada is reminded after 10, 20 and 30 s (by default 1, 3 and "
            "10 min), then Abe is notified. Both can approve in the app's messages."
        ),
        approvals=1,
        second="ada",
        settings={
            "BOT_APPROVERS": ADA,
            "BOT_ESCALATE_TO": ABE,
            "BOT_REMIND_AFTER": "10,20,30",
        },
    ),
    Scenario(
        name="alone",
        title="Acting alone",
        hint=(
            "Rina may cancel at once, without approval: select it in the dialog, with a reason. "
            "Then click Reviewed as Ada."
        ),
        approvals=1,
        second="ada",
        settings={"BOT_BREAK_GLASS": RINA},
    ),
    Scenario(
        name="link-live",
        title="The link goes live meanwhile",
        hint=(
            f"Request as Rina. {LINK_DELAY:.0f} s later the link goes live: within seconds, the "
            "card and its thread say so."
        ),
        approvals=1,
        second="ada",
        link_delay=LINK_DELAY,
    ),
    Scenario(
        name="quarantine",
        title="Quarantine",
        hint=(
            "This download is unexpected: 30 s (by default 90) after its announcement the bot "
            "itself cancels it, unless Ada or Abe clicks Keep it."
        ),
        without_approval=True,
        second="ada",
        settings={
            "BOT_WATCH_CHANNEL": OPS,
            "BOT_WATCH_INTERVAL": "5",
            "BOT_EVENTS_INTERVAL": "3",
            "BOT_QUARANTINE": "enforce",
            "BOT_QUARANTINE_GRACE": "30",
            "BOT_QUARANTINE_LIMIT": "100",
        },
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
    "Time and people": TIME_AND_PEOPLE,
    "Faults of Atlas": ATLAS_FAULTS,
    "More faults": MORE_FAULTS,
}

SCENARIOS: Mapping[str, Scenario] = {s.name: s for group in MENU.values() for s in group}

FIRST = BASICS[0].name
