"""Settings: each variable, its default, and the sentence for each mistake."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.atlas import ApiVersion, DigestKey, ServiceAccount
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import Policy
from bot.sandbox.atlas import PRIVATE_KEY
from bot.settings import SettingsError, load_database_url, load_settings
from bot.settings.load import KNOWN_VARIABLES
from tests.support.settings import ENOUGH, PROJECT, load, problems

EXAMPLE = Path(".env.example")


def policy(folder: Path, **more: str) -> Policy:
    return load(folder, **more).projects[0].policies.default


def test_minimal_settings_have_the_documented_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    (project,) = settings.projects

    assert settings.socket_mode
    assert settings.slack.api_url == "https://slack.com/api/"
    assert settings.atlas.base_url == "https://cloud.mongodb.com"
    assert settings.atlas.api_version is ApiVersion.V2
    assert settings.atlas.envelope is False
    assert settings.database_url == SecretStr("sqlite:///cancel-restore.db")
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert (settings.log_level, settings.log_format) == ("INFO", None)
    assert settings.watch_interval == timedelta(seconds=60)
    assert (project.name, project.id) == (None, PROJECT)
    assert project.credentials == DigestKey("pubkey01", SecretStr("0a1b-private"))
    assert project.policies.default == Policy()


def test_every_setting_can_be_set(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "SLACK_APP_TOKEN",
        SLACK_SIGNING_SECRET="8f742231b10e",
        SLACK_API_URL="http://127.0.0.1:9/api",
        MONGODB_ATLAS_BASE_URL="https://cloud.mongodbgov.com/",
        MONGODB_ATLAS_API_VERSION="v1.0",
        MONGODB_ATLAS_ENVELOPE="true",
        BOT_WATCH_CHANNEL="C0WATCH",
        BOT_WATCH_INTERVAL="1",
        DATABASE_URL="postgresql://bot:pw@db/x",
        HOST="0.0.0.0",  # noqa: S104 - as in the container
        PORT="0",
        LOG_LEVEL="debug",
        LOG_FORMAT="json",
    )

    assert not settings.socket_mode
    assert settings.slack.signing_secret == SecretStr("8f742231b10e")
    assert settings.slack.api_url == "http://127.0.0.1:9/api/"
    assert settings.atlas.base_url == "https://cloud.mongodbgov.com"
    assert settings.atlas.api_version is ApiVersion.V1
    assert settings.atlas.envelope is True
    assert settings.projects[0].policies.default.watch_channel == "C0WATCH"
    assert settings.watch_interval == timedelta(seconds=1)
    assert settings.database_url == SecretStr("postgresql://bot:pw@db/x")
    assert (settings.host, settings.port) == ("0.0.0.0", 0)  # noqa: S104 - as in the container
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_every_policy_setting_is_read(tmp_path: Path) -> None:
    assert policy(
        tmp_path,
        BOT_REQUESTERS="U1, W2,S3 ,*",
        BOT_APPROVALS="2",
        BOT_APPROVERS="S4,U5",
        BOT_SELF_APPROVAL="yes",
        BOT_APPROVAL_TTL="60",
        BOT_CHANNELS="C1,G2",
        BOT_AUDIT_CHANNEL="C9",
        BOT_REQUIRE_REASON="false",
        BOT_CONFIRM_BY_TYPING="1",
    ) == Policy(
        requesters=People(users=frozenset({"U1", "W2"}), groups=frozenset({"S3"}), everyone=True),
        approvals=2,
        approvers=People(users=frozenset({"U5"}), groups=frozenset({"S4"})),
        approvers_named=True,
        self_approval=True,
        approval_ttl=timedelta(seconds=60),
        channels=frozenset({"C1", "G2"}),
        audit_channel="C9",
        require_reason=False,
        confirm_by_typing=True,
    )


def test_people_of_the_escalation_are_approvers_who_are_notified_last(tmp_path: Path) -> None:
    found = policy(
        tmp_path, BOT_APPROVERS="S4,U5", BOT_ESCALATE_TO="U5,U6", BOT_REMIND_AFTER="180, 60"
    )

    assert found.approvers == People(users=frozenset({"U5", "U6"}), groups=frozenset({"S4"}))
    assert found.escalate_to == People(users=frozenset({"U6"}))
    assert found.first_approvers == People(users=frozenset({"U5"}), groups=frozenset({"S4"}))
    assert found.remind_after == (timedelta(seconds=60), timedelta(seconds=180))
    assert policy(tmp_path, BOT_REMIND_AFTER="0").remind_after == ()
    assert not policy(tmp_path, BOT_NOTIFY_APPROVERS="no").notify_approvers


def test_approvers_default_to_the_requesters(tmp_path: Path) -> None:
    assert policy(tmp_path, BOT_REQUESTERS="S1").approvers == People(groups=frozenset({"S1"}))
    assert policy(tmp_path).approvers == EVERYONE


@pytest.mark.parametrize(("approvals", "wanted"), [("0", False), ("1", True)])
def test_reason_is_required_by_default_with_approvals(
    tmp_path: Path, approvals: str, *, wanted: bool
) -> None:
    assert policy(tmp_path, BOT_APPROVALS=approvals).require_reason is wanted


def test_service_account_is_accepted_instead_of_a_key(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        "MONGODB_ATLAS_PRIVATE_API_KEY",
        MONGODB_ATLAS_CLIENT_ID="mdb_sa_id_1",
        MONGODB_ATLAS_CLIENT_SECRET="mdb_sa_sk_1",
    )

    assert settings.projects[0].credentials == ServiceAccount(
        "mdb_sa_id_1", SecretStr("mdb_sa_sk_1")
    )


def test_empty_variable_counts_as_missing_and_space_around_a_value_is_removed(
    tmp_path: Path,
) -> None:
    assert load(tmp_path, PORT="", BOT_CHANNELS=" ", BOT_WATCH_CHANNEL="") == load(tmp_path)
    assert load(tmp_path, SLACK_BOT_TOKEN=" xoxb-1-2-abc\n") == load(tmp_path)


def test_environment_overrides_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=1\nHOST=file.example\nUNKNOWN=x\nLOG_FORMAT=json\n")
    settings = load(tmp_path, PORT="2", LOG_FORMAT="")

    assert (settings.port, settings.host, settings.log_format) == (2, "file.example", None)


def test_by_default_process_and_working_directory_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PORT=4000\n")
    monkeypatch.chdir(tmp_path)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)

    assert load_settings().port == 4000


def test_lines_of_the_env_file_that_set_nothing_are_problems_beside_the_others(
    tmp_path: Path,
) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# comment\n\nexport HOST=file.example\nOTHER='two\nlines' # comment\n"
        'BOT_READ_ONLY true\n\nBOT_APPROVALS\nsecret words\nBOT_REQUESTERS="*\nPORT=x\n'
    )

    assert problems(tmp_path) == (
        f"{file}, line 6: “BOT_READ_ONLY …” has no “=”: write NAME=VALUE",
        f"{file}, line 8: “BOT_APPROVALS …” has no “=”: write NAME=VALUE",
        f"{file}, line 9: it has no “=”: write NAME=VALUE",
        f"{file}, line 10: “BOT_REQUESTERS …” cannot be read: write NAME=VALUE",
        "PORT must be a whole number from 0 to 65535",
    )


def test_file_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    assert problems(tmp_path) == (
        f"{tmp_path / '.env'} cannot be read: it must be a text file in UTF-8",
    )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (os.mkfifo, ": it must be a regular file"),
        (
            lambda file: file.symlink_to(file),
            " (Too many levels of symbolic links): it must be a file that this account may read",
        ),
    ],
)
def test_file_that_cannot_be_read_is_the_only_problem(
    tmp_path: Path, make: Callable[[Path], None], why: str
) -> None:
    file = tmp_path / ".env"
    make(file)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, tmp_path)
    url = load_database_url({"DATABASE_URL": "sqlite:///copy.db"}, tmp_path)

    assert caught.value.problems == (f"{file} cannot be read{why}",)
    assert url == "sqlite:///copy.db"
    with pytest.raises(SettingsError, match="cannot be read"):
        load_database_url({}, tmp_path)


def test_all_missing_settings_are_reported_together(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({}, tmp_path)

    assert str(caught.value).splitlines() == [
        (
            "SLACK_BOT_TOKEN is not set: give the Bot User OAuth Token (xoxb-…), in Slack under "
            "OAuth & Permissions"
        ),
        (
            "Neither SLACK_APP_TOKEN nor SLACK_SIGNING_SECRET is set: give the app token (xapp-…) "
            "for Socket Mode, or the signing secret for HTTP"
        ),
        (
            "MONGODB_ATLAS_PROJECT_ID is not set: give the project's id, or several projects in a "
            "file by BOT_PROJECTS_FILE"
        ),
        (
            "The Atlas project has no credentials: set MONGODB_ATLAS_PUBLIC_API_KEY and "
            "MONGODB_ATLAS_PRIVATE_API_KEY (an API key), or MONGODB_ATLAS_CLIENT_ID and "
            "MONGODB_ATLAS_CLIENT_SECRET (a service account)"
        ),
    ]


FLAG = "must be true or false"
SECONDS = "must be a whole number of seconds, 1 or more"
OTHER = "this is the other token, swapped with"
NAMED = "use ids of users (U…) or ids of user groups (S…)"
MALFORMED: list[tuple[str, str, list[str]]] = [
    ("BOT_COMMAND", "must be a slash and up to 31 of a-z", ["/Cancel-EU", "/cancel eu"]),
    ("BOT_LABEL", "must be one line of up to 40 characters", ["x" * 41]),
    ("SLACK_BOT_TOKEN", "must begin with xoxb-", ["xoxp-1"]),
    ("SLACK_BOT_TOKEN", "has spaces or other characters", ["xoxb-1 2"]),
    ("SLACK_APP_TOKEN", "has spaces or other characters", ['xapp-1"']),
    ("SLACK_SIGNING_SECRET", "has spaces or other characters", ["schlüssel"]),
    ("SLACK_SIGNING_SECRET", "is a token", ["xapp-1-A-2-abc"]),
    ("SLACK_API_URL", "must not have a user", ["https://u:p@slack.com/api"]),
    ("MONGODB_ATLAS_PUBLIC_API_KEY", "has spaces or other characters", ["pub key"]),
    ("MONGODB_ATLAS_PUBLIC_API_KEY", "is of a service account: set MONGODB_", ["mdb_sa_id_1"]),
    ("MONGODB_ATLAS_PRIVATE_API_KEY", "has spaces or other characters", ['a"b']),
    ("MONGODB_ATLAS_PRIVATE_API_KEY", "is of a service account", ["mdb_sa_sk_1"]),
    ("MONGODB_ATLAS_PROJECT_ID", "must be 24 hexadecimal digits", [PROJECT + "0"]),
    ("MONGODB_ATLAS_BASE_URL", "must be a web address", ["ftp://x", "https://h:99999"]),
    ("MONGODB_ATLAS_BASE_URL", "must end before /api", ["https://h/api/atlas/v2"]),
    ("MONGODB_ATLAS_BASE_URL", "must not have a user, a ? or a #", ["https://h/?x=1"]),
    ("BOT_REQUESTERS", 'has "@alice": use ids of users (U…)', ["@alice,U1"]),
    ("BOT_REQUESTERS", "is empty: use ids", [","]),
    ("BOT_REQUESTERS", 'has "U1;U2": use ids of users (U…)', ["U1;U2"]),
    ("BOT_CHANNELS", 'has "C1 C2": use ids of channels (C…), at the end', ["C1 C2"]),
    ("BOT_APPROVERS", 'has "C123": use ids of users (U…)', ["C123"]),
    ("BOT_APPROVALS", "must be a whole number from 0 to 5", ["-1", "1.0"]),
    (
        "BOT_REMIND_AFTER",
        "must be up to 10 whole numbers of seconds",
        ["0,60", "1,2,3,4,5,6,7,8,9,10,11"],
    ),
    ("BOT_APPROVAL_TTL", "must be a whole number of seconds, 1 or more", ["30m", "9" * 18]),
    ("BOT_WATCH_CHANNEL", "is a direct message", ["D0RINA0001"]),
    ("BOT_QUARANTINE", "is observe, but no channel is watched: set BOT_WATCH_", ["observe"]),
    (
        "DATABASE_URL",
        "has an @ in its user or password: write it",
        ["postgresql://bot:s@some@h/db"],
    ),
    (
        "DATABASE_URL",
        "must begin with sqlite:/// or postgresql://",
        ["mysql://db/x", "postgres://db/x"],
    ),
    (
        "DATABASE_URL",
        "must name a file (sqlite:///path) or a database",
        ["sqlite://", "postgresql://u:pw@db", "postgresql://u:pw@db:70000/y"],
    ),
    (
        "DATABASE_URL",
        "must be sqlite:///path or postgresql://user:",
        ["cancel.db", "postgresql://u:pw@db:x/y"],
    ),
    ("DATABASE_URL", "must not have a ? in it", ["sqlite:///x.db?mode=ro"]),
    ("HOST", "must be an address or a name", ["0.0.0.0:3000", "127.0.0.300", "my host"]),
    ("PORT", "must be a whole number from 0 to 65535", ["65536", "http"]),
    ("SLACK_BOT_TOKEN", f"must begin with xoxb-: {OTHER} SLACK_APP_TOKEN", ["xapp-1-A-2"]),
    ("SLACK_APP_TOKEN", f"must begin with xapp-: {OTHER} SLACK_BOT_TOKEN", ["xoxb-1-2"]),
    ("SLACK_API_URL", "must be a web address such as https://slack.com", ["slack.com/api/"]),
    ("MONGODB_ATLAS_PUBLIC_API_KEY", "is an API key's private part: give its", [PRIVATE_KEY]),
    ("MONGODB_ATLAS_API_VERSION", "must be one of v2, v1.0", ["v3"]),
    ("MONGODB_ATLAS_ENVELOPE", FLAG, ["content"]),
    ("BOT_SELF_APPROVAL", FLAG, ["2"]),
    ("BOT_AUDIT_CHANNEL", "must be the id of a channel (C…)", ["#ops"]),
    ("BOT_REQUIRE_REASON", FLAG, ["always"]),
    ("BOT_CONFIRM_BY_TYPING", FLAG, ["cluster"]),
    ("BOT_READ_ONLY", FLAG, ["shadow"]),
    ("BOT_BREAK_GLASS", f'has "*": {NAMED}', ["*"]),
    ("BOT_BREAK_GLASS", f'has "@rina": {NAMED}', ["@rina"]),
    ("BOT_NOTIFY_APPROVERS", FLAG, ["never"]),
    ("BOT_ESCALATE_TO", f'has "*": {NAMED}', ["*"]),
    ("BOT_ESCALATE_TO", f'has "@rina": {NAMED}', ["@rina"]),
    ("BOT_WATCH_INTERVAL", SECONDS, ["0"]),
    ("BOT_EVENTS_INTERVAL", SECONDS, ["0"]),
    ("BOT_QUARANTINE", "must be one of off, observe, enforce", ["on"]),
    ("BOT_QUARANTINE_GRACE", SECONDS, ["0"]),
    ("BOT_QUARANTINE_EXPECTED", 'has "dana shop": use Atlas user names', ["dana shop"]),
    ("BOT_QUARANTINE_LIMIT", "must be a whole number from 0 to 1000", ["-1"]),
    ("BOT_ASK_STARTER", FLAG, ["perhaps"]),
    ("BOT_WATCH_RESTORES", FLAG, ["perhaps"]),
    ("LOG_LEVEL", "must be one of DEBUG, INFO", ["LOUD"]),
    ("LOG_FORMAT", "must be one of console, json", ["xml"]),
]
#: Those that have a mistake only together with another one.
TOGETHER = {"MONGODB_ATLAS_CLIENT_ID", "MONGODB_ATLAS_CLIENT_SECRET", "BOT_PROJECTS_FILE"}
TOGETHER |= {"BOT_AUDIT_WEBHOOK_URL", "BOT_AUDIT_WEBHOOK_SECRET"}


@pytest.mark.parametrize(
    ("name", "sentence", "value"),
    [(name, sentence, value) for name, sentence, values in MALFORMED for value in values],
)
def test_malformed_value_is_reported_with_its_variable(
    tmp_path: Path, name: str, sentence: str, value: str
) -> None:
    (problem,) = problems(tmp_path, **{name: value})

    assert problem.startswith(f"{name} {sentence}")


def test_each_setting_has_a_mistake_and_all_are_reported_together(tmp_path: Path) -> None:
    wrong = {name: values[0] for name, _, values in MALFORMED}
    found = problems(tmp_path, **wrong)

    assert wrong.keys() | TOGETHER == KNOWN_VARIABLES
    assert {each.partition(" ")[0] for each in found} == wrong.keys()


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("URL", "", "needs an address and a secret"),
        ("URL", "siem", "must be a web address such as https://"),
        ("URL", "http://siem/events", "must begin with https://"),
        ("URL", "https://u:p@siem/", "must not have a user"),
        ("SECRET", "", "needs an address and a secret"),
        ("SECRET", "a2V5", "must begin with whsec_"),
        ("SECRET", "whsec_a2V5!", "is not base64"),
        ("SECRET", "whsec_", "is not base64"),
    ],
)
def test_mistake_in_the_audit_webhook_is_reported(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    well = {"URL": "https://siem.example.com/events", "SECRET": "whsec_a2V5"}
    given = {f"BOT_AUDIT_WEBHOOK_{part}": each for part, each in (well | {name: value}).items()}
    (problem,) = problems(tmp_path, **given)

    assert f"BOT_AUDIT_WEBHOOK_{name}" in problem
    assert sentence in problem


@pytest.mark.parametrize(
    ("client_id", "secret", "sentence"),
    [
        ("mdb_sa_sk_1", "mdb_sa_sk_1", "give its id, mdb_sa_id_…"),
        ("mdb_sa_id_1", "mdb_sa_id_1", "give its secret, mdb_sa_sk_…"),
    ],
)
def test_parts_of_a_service_account_that_are_confused_are_reported(
    tmp_path: Path, client_id: str, secret: str, sentence: str
) -> None:
    key = ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")
    account = {"MONGODB_ATLAS_CLIENT_ID": client_id, "MONGODB_ATLAS_CLIENT_SECRET": secret}
    (problem,) = problems(tmp_path, *key, **account)

    assert sentence in problem


def test_postgresql_without_its_driver_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    assert importlib.util.find_spec("psycopg") is None
    assert problems(tmp_path, DATABASE_URL="postgresql://db/x") == (
        (
            "DATABASE_URL needs the PostgreSQL driver, which is not installed: "
            "install the bot with its extra postgres, as in pip install '.[postgres]'"
        ),
    )


def test_key_and_service_account_together_are_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, MONGODB_ATLAS_CLIENT_ID="mdb_sa_id_1") == (
        (
            "MONGODB_ATLAS_PUBLIC_API_KEY and MONGODB_ATLAS_PRIVATE_API_KEY and "
            "MONGODB_ATLAS_CLIENT_ID are given together: keep the API key or the service account"
        ),
    )


def test_quotation_marks_are_reported_once_and_the_quoted_value_is_checked(tmp_path: Path) -> None:
    """`docker run --env-file` hands them over."""
    given = {"PORT": '"3000"', "BOT_APPROVALS": "'nine'", "LOG_LEVEL": '""', "PS1": '"$"'}

    assert set(problems(tmp_path, **given)) == {
        "BOT_APPROVALS has quotation marks around its value: remove them",
        "LOG_LEVEL has quotation marks around its value: remove them",
        "PORT has quotation marks around its value: remove them",
        "BOT_APPROVALS must be a whole number from 0 to 5",
    }


@pytest.mark.parametrize(
    ("name", "others"), [("BOT_LABEL", 0), ("BOT_QUARANTINE_EXPECTED", 0), ("BOT_APPROVERS", 1)]
)
def test_value_in_another_encoding_is_reported(tmp_path: Path, name: str, others: int) -> None:
    found = problems(tmp_path, **{name: os.fsdecode("Köln".encode("latin-1"))})

    assert f"{name} is not in UTF-8: set it again in that encoding" in found
    assert len(found) == 1 + others


def test_audit_commands_report_database_settings_only(tmp_path: Path) -> None:
    given = {"DATABASE_URL": '"sqlite:///x.db"', "SLACK_BOT_TOKEN": '"xoxb-1"'}
    with pytest.raises(SettingsError) as caught:
        load_database_url(given, tmp_path)

    assert caught.value.problems == (
        "DATABASE_URL has quotation marks around its value: remove them",
    )


PLANTED = "hunter2-0a1b2c3d4e5f60718293"


@pytest.mark.parametrize(
    "name",
    [
        *ENOUGH,
        "SLACK_SIGNING_SECRET",
        "MONGODB_ATLAS_CLIENT_SECRET",
        "BOT_CHANNELS",
        "BOT_REQUESTERS",
        "BOT_AUDIT_CHANNEL",
        "PORT",
        "LOG_LEVEL",
    ],
)
def test_error_never_contains_a_secret_even_a_misplaced_one(tmp_path: Path, name: str) -> None:
    reported = problems(tmp_path, **{name: f"{PLANTED} {PLANTED}", "SLACK_API_URL": f"x:{PLANTED}"})

    assert len(reported) >= 2
    assert PLANTED not in "\n".join(reported)


@pytest.mark.parametrize("url", ["mysql://u:{}@h/d", "postgresql://u:{}@h:x/d", "postgresql:{}"])
def test_error_never_contains_a_database_password(tmp_path: Path, url: str) -> None:
    assert PLANTED not in "\n".join(problems(tmp_path, DATABASE_URL=url.format(PLANTED)))


def test_secrets_are_known_to_the_log_filter_and_do_not_print(tmp_path: Path) -> None:
    url = "postgresql://bot:hun%20ter2@db/x"
    settings = load(tmp_path, SLACK_SIGNING_SECRET="8f742231b10e", DATABASE_URL=url)
    secrets = {secret.get_secret_value() for secret in settings.secrets}
    shown = repr(settings) + str(settings)

    tokens = {"xoxb-1-2-abc", "xapp-1-A-2-abc", "8f742231b10e"}
    assert secrets == {*tokens, "0a1b-private", "hun ter2"}
    assert not [secret for secret in [*secrets, "hun%20ter2"] if secret in shown]


def test_example_file_has_exactly_the_known_variables() -> None:
    named = re.findall(r"^#?([A-Z_]+)=", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(named) == sorted(KNOWN_VARIABLES)


def test_unchanged_example_file_sets_nothing(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE, tmp_path / ".env")
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / "bare").mkdir()

    assert load(tmp_path) == load(tmp_path / "bare")


def test_example_values_are_the_defaults(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8").replace("#BOT_PROJECTS_FILE=projects.toml", "")
    (tmp_path / ".env").write_text(re.sub(r"^#([A-Z_]+=)", r"\1", text, flags=re.MULTILINE))
    (tmp_path / ".env").chmod(0o600)
    (tmp_path / "bare").mkdir()

    assert load(tmp_path) == load(tmp_path / "bare")


@pytest.mark.parametrize(("given", "reported"), [("U1;U2", True), ("U1 U2", True), ("@u1", False)])
def test_list_with_another_separator_is_reported(
    tmp_path: Path, given: str, *, reported: bool
) -> None:
    (problem,) = problems(tmp_path, BOT_REQUESTERS=given)

    assert problem.endswith(", with commas between them") is reported


@pytest.mark.parametrize(
    ("half", "value", "other"),
    [
        ("PUBLIC_API_KEY", "pubkey01", "PRIVATE_API_KEY"),
        ("PRIVATE_API_KEY", "0a1b-private", "PUBLIC_API_KEY"),
        ("CLIENT_ID", "mdb_sa_id_1", "CLIENT_SECRET"),
        ("CLIENT_SECRET", "mdb_sa_sk_1", "CLIENT_ID"),
    ],
)
def test_half_of_the_credentials_names_the_other_half(
    tmp_path: Path, half: str, value: str, other: str
) -> None:
    key = ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")

    assert problems(tmp_path, *key, **{f"MONGODB_ATLAS_{half}": value}) == (
        f"MONGODB_ATLAS_{other} is missing: it belongs to MONGODB_ATLAS_{half}",
    )
