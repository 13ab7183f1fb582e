"""Every setting with each likely mistake, and the check that must report it.

A setting is a variable (`BOT_CHANNELS`) or a key of the projects file (`projects.channels`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, Fault, Kind
from bot.sandbox.atlas.example import CLIENT_ID
from bot.sandbox.slack import Fault as SlackFault
from tests.acceptance.doctor_environment import DoctorEnvironment

Changes = Mapping[str, str | None]

#: A project that Atlas has, to which the other key belongs.
OTHER_PROJECT = "5b6212af90dc76637950a2c8"

NO_KEY: Changes = {"MONGODB_ATLAS_PUBLIC_API_KEY": None, "MONGODB_ATLAS_PRIVATE_API_KEY": None}
FILE: Changes = {"MONGODB_ATLAS_PROJECT_ID": None, "BOT_PROJECTS_FILE": "projects.toml"}
ACCOUNT_OF_P_AND_Q = 'client_id_env = "P"\nclient_secret_env = "Q"'
SHOP = f'[[projects]]\nname = "shop"\nid = "{PROJECT_ID}"\n'

PEOPLE = "use ids of users (U…), ids of user groups (S…) or *"
NAMED = "use ids of users (U…) or ids of user groups (S…)"
CHANNELS = "use ids of channels (C…)"
ONE_CHANNEL = "must be the id of a channel (C…)"
REMINDERS = "must be up to 10 whole numbers of seconds"
FLAG = "must be true or false"
SECONDS = "must be a whole number of seconds, 1 or more"


def unchanged(_env: DoctorEnvironment) -> None:
    """Change nothing in the environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorCase:
    """One setting with one mistake.

    Attributes:
        setting: the name of the setting.
        mistake: the mistake, in words.
        changes: the variables that are set, and removed (None).
        message: a part of the message; of settings and services it is in one sentence with
            the fix, which for doctor is in a column of its own.
        toml: the projects file, where one is needed.
        before: changes the environment.
        check: doctor's check that finds it; empty where no service is needed.
        about: the subject of that result, or a part of it.
    """

    setting: str
    mistake: str
    changes: Changes = field(default_factory=dict)
    message: str
    toml: str = ""
    before: Callable[[DoctorEnvironment], None] = unchanged
    check: str = ""
    about: str = ""

    @property
    def name(self) -> str:
        return f"{self.setting}: {self.mistake}"


def variable(
    name: str,
    *cases: tuple[str, str | None, str],
    more: Changes | None = None,
    before: Callable[[DoctorEnvironment], None] = unchanged,
    check: str = "",
    about: str = "",
) -> list[ErrorCase]:
    """Make cases of one variable, also the default of `about`: the mistake, its value, the message.

    Args:
        more: further variables that are set, and removed.
    """
    return [
        ErrorCase(
            setting=name,
            mistake=mistake,
            changes={**(more or {}), name: value},
            message=message,
            before=before,
            check=check,
            about=about or name,
        )
        for mistake, value, message in cases
    ]


def key(name: str, *cases: tuple[str, str, str], head: str = SHOP, **more: str) -> list[ErrorCase]:
    """Make cases of one key of the projects file: the mistake, its line, the message."""
    return [
        ErrorCase(
            setting=f"projects.{name}",
            mistake=mistake,
            changes={**FILE, **more},
            toml=f"{head}{line}\n",
            message=message,
        )
        for mistake, line, message in cases
    ]


#: Settings that are refused with exit code 2 before any connection: one mistake of each, and
#: those of two settings together. tests/unit/settings has the other mistakes.
SETTINGS: list[ErrorCase] = [
    *variable("BOT_COMMAND", ("without the slash", "cancel-eu", "must be a slash and up to 31")),
    *variable("BOT_LABEL", ("of two lines", "EU\nproduction", "must be one line of up to 40")),
    *variable(
        "SLACK_BOT_TOKEN",
        ("the app token in its place", "xapp-1-A-2", "swapped with SLACK_APP_TOKEN"),
    ),
    *variable(
        "SLACK_APP_TOKEN",
        ("the bot token in its place", "xoxb-1-2", "swapped with SLACK_BOT_TOKEN"),
    ),
    *variable(
        "SLACK_SIGNING_SECRET",
        ("a token in its place", "xoxb-1-2", "the Signing Secret is in Slack under Basic"),
        more={"SLACK_APP_TOKEN": None},
    ),
    *variable("SLACK_API_URL", ("without a scheme", "slack.com/api/", "as https://slack.com/api/")),
    *variable(
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        ("the private key in its place", PRIVATE_KEY, "give its public one"),
    ),
    *variable(
        "MONGODB_ATLAS_PRIVATE_API_KEY",
        ("broken in the middle", "0a1b 2c3d", "copy it again"),
    ),
    *variable(
        "MONGODB_ATLAS_CLIENT_ID",
        ("the secret in its place", "mdb_sa_sk_1", "give its id, mdb_sa_id_…"),
        more={**NO_KEY, "MONGODB_ATLAS_CLIENT_SECRET": "mdb_sa_sk_1"},
    ),
    *variable(
        "MONGODB_ATLAS_CLIENT_SECRET",
        ("the id in its place", CLIENT_ID, "give its secret, mdb_sa_sk_…"),
        more={**NO_KEY, "MONGODB_ATLAS_CLIENT_ID": CLIENT_ID},
    ),
    *variable("MONGODB_ATLAS_PROJECT_ID", ("a name", "shop", "Atlas shows the project's id in")),
    *variable("MONGODB_ATLAS_BASE_URL", ("no address", "cloud.mongodb.com", "such as https://")),
    *variable("MONGODB_ATLAS_API_VERSION", ("unknown", "v3", "must be one of v2, v1.0")),
    *variable("MONGODB_ATLAS_ENVELOPE", ("no flag", "content", FLAG)),
    *variable("BOT_PROJECTS_FILE", ("a folder", ".", "cannot be read: Is a directory")),
    *variable("BOT_REQUESTERS", ("by name", "@rina", PEOPLE)),
    *variable("BOT_APPROVALS", ("too many", "9", "must be a whole number from 0 to 5")),
    *variable("BOT_APPROVERS", ("by name", "@ada", PEOPLE)),
    *variable("BOT_SELF_APPROVAL", ("no flag", "2", FLAG)),
    *variable("BOT_APPROVAL_TTL", ("none", "0", SECONDS)),
    *variable("BOT_CHANNELS", ("by name", "#ops", CHANNELS)),
    *variable("BOT_AUDIT_CHANNEL", ("by name", "#ops", ONE_CHANNEL)),
    *variable("BOT_REQUIRE_REASON", ("no flag", "always", FLAG)),
    *variable("BOT_CONFIRM_BY_TYPING", ("no flag", "cluster", FLAG)),
    *variable("BOT_READ_ONLY", ("no flag", "shadow", FLAG)),
    *variable("BOT_BREAK_GLASS", ("everyone", "*", NAMED), ("by name", "@rina", NAMED)),
    *variable("BOT_NOTIFY_APPROVERS", ("no flag", "never", FLAG)),
    *variable("BOT_REMIND_AFTER", ("with a unit", "60s", REMINDERS)),
    *variable("BOT_ESCALATE_TO", ("everyone", "*", NAMED), ("by name", "@rina", NAMED)),
    *variable("BOT_WATCH_CHANNEL", ("by name", "#ops", ONE_CHANNEL)),
    *variable("BOT_WATCH_INTERVAL", ("none", "0", SECONDS)),
    *variable("BOT_EVENTS_INTERVAL", ("none", "0", SECONDS)),
    *variable("BOT_QUARANTINE", ("no mode", "on", "must be one of off, observe, enforce")),
    *variable("BOT_QUARANTINE_GRACE", ("none", "0", SECONDS)),
    *variable("BOT_QUARANTINE_EXPECTED", ("with blanks", "dana shop", "use Atlas user names")),
    *variable("BOT_QUARANTINE_LIMIT", ("negative", "-1", "a whole number from 0")),
    *variable("BOT_ASK_STARTER", ("a word", "perhaps", "true or false")),
    *variable("BOT_WATCH_RESTORES", ("a word", "perhaps", "true or false")),
    *variable("DATABASE_URL", ("in memory", "sqlite:///:memory:", "must name a file")),
    *variable("HOST", ("with a scheme", "http://127.0.0.1", "without scheme and port")),
    *variable("PORT", ("by name", "http", "from 0 to 65535")),
    *variable("LOG_LEVEL", ("unknown", "LOUD", "must be one of DEBUG, INFO")),
    *variable("LOG_FORMAT", ("unknown", "xml", "must be one of console, json")),
    *variable(
        "BOT_AUDIT_WEBHOOK_URL",
        ("missing, with a secret", None, "needs an address and a secret"),
        ("no address", "siem", "must be a web address such as https://"),
        ("plain http to another machine", "http://siem/events", "must begin with https://"),
        ("with a password", "https://u:p@siem/", "must not have a user"),
        more={"BOT_AUDIT_WEBHOOK_SECRET": "whsec_a2V5"},
    ),
    *variable(
        "BOT_AUDIT_WEBHOOK_SECRET",
        ("missing, with an address", None, "needs an address and a secret"),
        ("without its prefix", "a2V5", "must begin with whsec_"),
        ("not base64", "whsec_a2V5!", "is not base64"),
        ("without a key", "whsec_", "is not base64"),
        more={"BOT_AUDIT_WEBHOOK_URL": "https://siem.example.com/events"},
    ),
    *key("name", ("missing", "", "name is missing"), head=SHOP.replace('name = "shop"\n', "")),
    *key("id", ("malformed", "", "must be 24 hex"), head=SHOP.replace(PROJECT_ID, "shop")),
    *key("public_key_env", ("alone", 'public_key_env = "P"', "private_key_env is missing"), P="p"),
    *key("private_key_env", ("alone", 'private_key_env = "P"', "public_key_env is missing"), P="p"),
    *key("client_id_env", ("of no variable", ACCOUNT_OF_P_AND_Q, "names P, which"), Q="q"),
    *key("client_secret_env", ("alone", 'client_secret_env = "P"', "client_id_env is"), P="p"),
    *key("client_secret_env", ("of no variable", ACCOUNT_OF_P_AND_Q, "names Q, which"), P="p"),
    *key("requesters", ("by name", 'requesters = ["@rina"]', PEOPLE)),
    *key("approvals", ("too many", "approvals = 9", "must be a whole number from 0 to 5")),
    *key("approvers", ("by name", 'approvers = ["@ada"]', PEOPLE)),
    *key("self_approval", ("no flag", 'self_approval = "perhaps"', FLAG)),
    *key("approval_ttl", ("none", "approval_ttl = 0", SECONDS)),
    *key("channels", ("by name", 'channels = ["#ops"]', CHANNELS)),
    *key("audit_channel", ("by name", 'audit_channel = "#ops"', ONE_CHANNEL)),
    *key("require_reason", ("no flag", "require_reason = 3", FLAG)),
    *key("confirm_by_typing", ("no flag", "confirm_by_typing = 3", FLAG)),
    *key("read_only", ("no flag", 'read_only = "shadow"', FLAG)),
    *key("break_glass", ("everyone", 'break_glass = ["*"]', NAMED)),
    *key("notify_approvers", ("no flag", "notify_approvers = 3", FLAG)),
    *key("remind_after", ("negative", "remind_after = [-1]", REMINDERS)),
    *key("escalate_to", ("everyone", 'escalate_to = ["*"]', NAMED)),
    *key("quarantine", ("no mode", 'quarantine = "on"', "must be one of off, observe, enforce")),
    *key("quarantine_grace", ("none", "quarantine_grace = 0", SECONDS)),
    *key("quarantine_expected", ("with blanks", 'quarantine_expected = ["d s"]', "use Atlas user")),
    *key("quarantine_limit", ("negative", "quarantine_limit = -1", "a whole number from 0")),
    *key("ask_starter", ("a text", 'ask_starter = "yes"', "without quotation marks")),
    *key("watch_restores", ("a text", 'watch_restores = "yes"', "without quotation marks")),
    *key("clusters", ("no tables", "clusters = 1", "must be tables: [[projects.clusters]]")),
    *key("watch_channel", ("by name", 'watch_channel = "#ops"', ONE_CHANNEL)),
]


def revoked(env: DoctorEnvironment) -> None:
    fault = SlackFault(kind="error", code="token_revoked")
    env.slack.faults.add("auth.test", fault)


def without_its_scope(env: DoctorEnvironment) -> None:
    env.slack.workspace.app.app_scopes.clear()


#: Settings that are refused at the start with exit code 1, since a needed service refuses them.
#: `{taken}` is a port that another program has, `{free}` a free one.
SERVICES: list[ErrorCase] = [
    *variable(
        "SLACK_BOT_TOKEN", ("of no app", "xoxb-other", "invalid_auth"), check="slack_token"
    ),
    ErrorCase(
        setting="SLACK_BOT_TOKEN", mistake="revoked", before=revoked,
        message="token_revoked", check="slack_token", about="SLACK_BOT_TOKEN",
    ),
    *variable(
        "SLACK_APP_TOKEN", ("of no app", "xapp-other", "invalid_auth"), check="slack_app_token"
    ),
    ErrorCase(
        setting="SLACK_APP_TOKEN", mistake="without its scope", before=without_its_scope,
        message="connections:write", check="slack_app_token", about="SLACK_APP_TOKEN",
    ),
    *variable(
        "DATABASE_URL",
        ("a folder", "sqlite:////tmp", "unable to open database file"),
        ("another kind of file", "sqlite:///{file}", "file is not a database"),
        ("of a PostgreSQL that is down", "postgresql://bot:sesame@127.0.0.1:{free}/bot", ""),
        check="database",
    ),
    *variable(
        "HOST", ("of another machine", "192.0.2.1", "not an address of this machine"),
        check="http", about="HOST, PORT",
    ),
    *variable("PORT", ("in use", "{taken}", ""), check="http", about="HOST, PORT"),
]  # fmt: skip


def other_key(env: DoctorEnvironment) -> None:
    """Atlas has another project, with a key that opens nothing else."""
    env.atlas.world.add_project("Other", project_id=OTHER_PROJECT)
    env.atlas.world.add_key("otherkey", "other-private", {OTHER_PROJECT: []})


def gone_version(env: DoctorEnvironment) -> None:
    fault = Fault(kind=Kind.ERROR, code="VERSION_GONE", times=None, method="GET")
    env.atlas.faults.add(fault)


def web_page(env: DoctorEnvironment) -> None:
    env.atlas.faults.add(Fault(kind=Kind.HTML, times=None, method="GET"))


KEY_REFUSED = "did not accept the bot's key"
NO_PROJECT = "5b6212af90dc76637950a2cf"
NOWHERE = "http://127.0.0.1:{free}"

#: Mistakes that a start cannot know, or may wait for: doctor reports them.
DOCTOR: list[ErrorCase] = [
    *variable(
        "SLACK_API_URL",
        ("where nothing is", f"{NOWHERE}/api/", "Slack did not answer"),
        ("of something else", "{atlas}/api/", "Slack answered 401"),
        more={"SLACK_APP_TOKEN": None, "SLACK_SIGNING_SECRET": "secret"},
        check="slack_token", about="SLACK_BOT_TOKEN",
    ),
    *variable(
        "MONGODB_ATLAS_PUBLIC_API_KEY", ("of no key", "notthis1", KEY_REFUSED),
        check="atlas_credentials",
    ),
    *variable(
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        ("of another project's key", "otherkey", "has access to this project"),
        before=other_key, more={"MONGODB_ATLAS_PRIVATE_API_KEY": "other-private"},
        check="atlas_credentials",
    ),
    *variable(
        "MONGODB_ATLAS_PRIVATE_API_KEY", ("of another key", "not-this-one", KEY_REFUSED),
        check="atlas_credentials",
    ),
    *variable(
        "MONGODB_ATLAS_CLIENT_SECRET", ("of another account", "mdb_sa_sk_0", "invalid_client"),
        more={**NO_KEY, "MONGODB_ATLAS_CLIENT_ID": CLIENT_ID}, check="atlas_credentials",
    ),
    *variable(
        "MONGODB_ATLAS_PROJECT_ID", ("of no project", NO_PROJECT, "knows no such project"),
        check="atlas_project",
    ),
    *variable(
        "MONGODB_ATLAS_BASE_URL",
        ("where nothing is", NOWHERE, "could not be reached"),
        ("of a server that knows no such page", "{slack}", "check that the address is Atlas's"),
        check="atlas",
    ),
    *variable(
        "MONGODB_ATLAS_BASE_URL", ("of a web site", "{atlas}", "could not be read"),
        before=web_page, check="atlas",
    ),
    *variable(
        "MONGODB_ATLAS_API_VERSION", ("that is gone", "v2", "does not serve this version"),
        before=gone_version, check="atlas_version",
    ),
    *variable(
        "BOT_REQUESTERS",
        ("of an unknown user", "U0NOBODY,U0RINA0001", "no person of the workspace has this id"),
        check="user", about="BOT_REQUESTERS: U0NOBODY",
    ),
    *variable(
        "BOT_REQUESTERS", ("of no group", "S0NOPE,U0RINA0001", "the user group does not exist"),
        check="group", about="BOT_REQUESTERS: S0NOPE",
    ),
    *variable(
        "BOT_APPROVALS",
        ("more than a group has members", "3", "3 required, but only 2 can approve"),
        check="approvers",
    ),
    *variable(
        "BOT_APPROVERS",
        (
            "of people who have left, and of apps",
            "U0ADA00001,U0DAN00001,U0CIBOT001",
            "2 required, but only 1 can approve",
        ),
        more={"BOT_APPROVALS": "2"}, check="approvers",
    ),
    *variable(
        "BOT_CHANNELS", ("not there", "C0OPS00001,C0NOPE", "the channel does not exist"),
        check="channel", about="BOT_CHANNELS: C0NOPE",
    ),
    *variable(
        "BOT_CHANNELS",
        ("private, without the bot", "C0QUIET001", "private and the bot is not a member"),
        check="channel", about="BOT_CHANNELS: C0QUIET001",
    ),
    *variable(
        "BOT_CHANNELS", ("archived", "C0ATTIC001", "#attic is archived"),
        check="channel", about="BOT_CHANNELS: C0ATTIC001",
    ),
    ErrorCase(
        setting="projects.channels", mistake="archived", changes=FILE,
        toml=f'{SHOP}channels = ["C0ATTIC001"]\n',
        check="channel", about="shop, channels: C0ATTIC001", message="#attic is archived",
    ),
    ErrorCase(
        setting="projects.id", mistake="of no project", changes=FILE,
        toml=SHOP.replace(PROJECT_ID, NO_PROJECT),
        check="atlas_project", about="shop, id", message="knows no such project",
    ),
    ErrorCase(
        setting="projects.public_key_env", mistake="of a key that Atlas refuses",
        changes={**FILE, "P": "notthis1", "Q": "not-this-one"},
        toml=f'{SHOP}public_key_env = "P"\nprivate_key_env = "Q"\n',
        check="atlas_credentials", about="shop, API key", message=KEY_REFUSED,
    ),
]  # fmt: skip
