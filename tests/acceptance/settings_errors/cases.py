"""Settings that only a service can refuse, and the check of doctor that must report each.

A setting is a variable (`BOT_CHANNELS`) or a key of the projects file (`projects.id`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from bot.sandbox.atlas import PROJECT_ID, Fault, Kind
from bot.sandbox.atlas.example import CLIENT_ID
from tests.acceptance.doctor_environment import DoctorEnvironment
from tests.support.environ import NOWHERE

Changes = Mapping[str, str | None]

#: A project that Atlas has, to which the other key belongs.
OTHER_PROJECT = "5b6212af90dc76637950a2c8"

NO_KEY: Changes = {"MONGODB_ATLAS_PUBLIC_API_KEY": None, "MONGODB_ATLAS_PRIVATE_API_KEY": None}
FILE: Changes = {"MONGODB_ATLAS_PROJECT_ID": None, "BOT_PROJECTS_FILE": "projects.toml"}
SHOP = f'[[projects]]\nname = "shop"\nid = "{PROJECT_ID}"\n'


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


def without_its_scope(env: DoctorEnvironment) -> None:
    env.slack.workspace.app.app_scopes.clear()


#: Settings that are refused at the start with exit code 1, since a needed service refuses them.
#: `{taken}` is a port that another program has.
SERVICES: list[ErrorCase] = [
    *variable(
        "SLACK_BOT_TOKEN", ("of no app", "xoxb-other", "invalid_auth"), check="slack_token"
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
        ("of a PostgreSQL that is down", "postgresql://bot:sesame@127.0.0.1:1/bot", ""),
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


KEY_REFUSED = "did not accept the bot's key"
NO_PROJECT = "5b6212af90dc76637950a2cf"

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
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        ("of another project's key", "otherkey", "has access to this project"),
        before=other_key, more={"MONGODB_ATLAS_PRIVATE_API_KEY": "other-private"},
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
        "BOT_CHANNELS", ("archived", "C0ATTIC001", "#attic is archived"),
        check="channel", about="BOT_CHANNELS: C0ATTIC001",
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
