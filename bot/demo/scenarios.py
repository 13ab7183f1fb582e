"""The scenarios of the demo: what each sets up, and what to try in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.sandbox.atlas import PRESETS, Fault
from bot.sandbox.atlas.activity import DANA, Actor
from bot.sandbox.atlas.faults import Kind

CLUSTER = "prod-eu"

#: Seconds from the start of a download to its link: as many as the bot expects.
LINK_AFTER = 180.0

#: Seconds from its start to the scenario that shows the link: those that are left do not take long.
LONG_AGO = 150.0

#: Seconds until Atlas answers the DELETE, to kill the bot before; less than its timeout.
LONG_DELETE = 6.0

#: Ids of people, of the group of approvers, and of #ops in the fake Slack.
RINA, ADA, ABE = "U0RINA0001", "U0ADA00001", "U0ABE00001"
GROUP, OPS = "S0APPROVE1", "C0OPS00001"

QUARANTINE = {"BOT_QUARANTINE": "enforce", "BOT_QUARANTINE_LIMIT": "100"}


#: The beginnings of hints: the buttons of the announcement and of the dialog.
OPEN = "Press Cancel this download"
CANCEL = f"{OPEN}, then Cancel the job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One situation that the demo sets up.

    Attributes:
        name: as `--fault` and the page's address name it.
        title: its label in the menu.
        hint: what to try.
        approvals: the least number of other people who must approve.
        without_approval: no approval is needed, even with `--approvals`: it must run immediately.
        settings: further settings of the bot.
        second: the person whom a second tab shows.
        is_automated: an automated restore is to be cancelled, not a download that starts now.
        starter: who starts the download, as the activity feed names them.
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
    is_automated: bool = False
    starter: Actor = DANA
    age: float = 0.0
    fault: str = ""
    faults: tuple[Fault, ...] = field(default=())


def _preset(name: str, title: str, hint: str) -> Scenario:
    fault, faults = PRESETS[name]
    return Scenario(name=name, title=title, hint=hint, fault=fault, faults=faults)


FIRST_SCENARIOS = (
    Scenario(
        name="mistake",
        title="A download started by mistake",
        hint="The bot announces a download. Press Cancel this download before its link is there.",
    ),
    Scenario(
        name="approval",
        title="Two people and an approval",
        hint=(
            f"{OPEN} as Rina, and give a reason, which is required. Then approve as Ada, here or "
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

PEOPLE_AND_TIME = (
    Scenario(
        name="automated",
        title="A restore that cannot be cancelled",
        hint="Type the command for an automated restore: the dialog says why it has no button.",
        is_automated=True,
    ),
    Scenario(
        name="unanswered",
        title="Approvers do not answer",
        hint=(
            "Request as Rina, and wait: Ada is reminded after 5, 10 and 15 s (by default 1, 3 and "
            "10 min), then Abe is notified. Both can approve in the app's messages."
        ),
        approvals=1,
        second="ada",
        settings={
            "BOT_APPROVERS": ADA,
            "BOT_ESCALATE_TO": ABE,
            "BOT_REMIND_AFTER": "5,10,15",
        },
    ),
    Scenario(
        name="alone",
        title="Acting alone",
        hint=(
            "Rina may cancel at once, without approval: select it in the dialog, with a reason. "
            "Then review it as Ada."
        ),
        approvals=1,
        second="ada",
        settings={"BOT_BREAK_GLASS": RINA},
    ),
    Scenario(
        name="link-live",
        title="The link goes live while a request waits",
        hint=(
            f"This download was started {LONG_AGO:.0f} s ago. Request as Rina at once: "
            f"{LINK_AFTER - LONG_AGO:.0f} s later the link goes live. Within seconds the card and "
            "its thread say so."
        ),
        approvals=1,
        second="ada",
        age=LONG_AGO,
    ),
    Scenario(
        name="quarantine",
        title="Quarantine",
        hint=(
            "This download is unexpected: 30 s (by default 90) after its announcement the bot "
            "itself cancels it, unless Ada or Abe presses Keep it."
        ),
        without_approval=True,
        second="ada",
        settings={**QUARANTINE, "BOT_QUARANTINE_GRACE": "30"},
    ),
    Scenario(
        name="not-mine",
        title="Was it you?",
        hint=(
            "Atlas says that Rina started this download. The bot asks her in the app's messages: "
            "press It was not me, and it cancels the download at once."
        ),
        without_approval=True,
        second="ada",
        settings=QUARANTINE,
        starter=Actor.user("rina@example.com"),
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
        f"{OPEN}: the bot retries for a while. Clear the fault; once it gave up, press Try again.",
    ),
    _preset(
        "hang",
        "Atlas never answers one call",
        f"{OPEN}: the bot stops waiting after some seconds, and reads again.",
    ),
    _preset(
        "unavailable",
        "Atlas is unavailable",
        f"{OPEN}: the bot retries, then says so. Clear the fault, and try again.",
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
        f"{CANCEL}: the card gives Atlas's reason. Clear the fault, and press Try again.",
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
        f"{OPEN}: the dialog names the address to add. Clear the fault, and try again.",
    ),
    _preset(
        "feed-refused",
        "The key may not read the activity feed",
        "The announcement does not say who started the download; cancelling works as before.",
    ),
    _preset(
        "wrong-key",
        "Atlas rejects the API key",
        f"{OPEN}: the dialog says that the key is wrong. Clear the fault, and try again.",
    ),
)

#: The menu, in groups.
MENU: Mapping[str, tuple[Scenario, ...]] = {
    "Scenarios": FIRST_SCENARIOS,
    "More": PEOPLE_AND_TIME + FAULTS,
}

SCENARIOS: Mapping[str, Scenario] = {s.name: s for group in MENU.values() for s in group}

FIRST = FIRST_SCENARIOS[0].name
