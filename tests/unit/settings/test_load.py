"""Variables become values, and each mistake a sentence with the variable and the fix."""

import math
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.atlas import ApiVersion, DigestKey, ServiceAccount
from bot.cancellation.people import EVERYONE, NO_ONE, People
from bot.cancellation.policy import Policy
from bot.settings import Settings, SettingsError, load_settings
from tests.support.settings import ENOUGH, PROJECT, load, problems, variables


def people(*ids: str) -> People:
    groups = frozenset(id_ for id_ in ids if id_.startswith("S"))
    return People(users=frozenset(ids) - groups, groups=groups)


def policy(**more: str) -> Policy:
    return load(**more).projects[0].policies.default


def test_minimal_variables_have_the_documented_defaults() -> None:
    settings = load()
    (project,) = settings.projects

    assert settings.slack is not None
    assert settings.slack.api_url == "https://slack.com/api/"
    assert settings.atlas.base_url == "https://cloud.mongodb.com"
    assert settings.atlas.api_version is ApiVersion.V2
    assert settings.atlas.envelope is False
    assert settings.database_url == SecretStr("sqlite:///cancel-restore.db")
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert (settings.log_level, settings.log_format) == ("INFO", None)
    assert settings.watch_interval == 60
    assert (settings.warnings, settings.risks) == ((), ())
    assert (project.id, project.name) == (PROJECT, None)
    assert project.credentials == DigestKey("pubkey01", SecretStr("0a1b-private"))
    assert project.policies.default == Policy()
    assert project.policies.clusters == ()


@pytest.mark.parametrize(
    ("name", "value", "read", "expected"),
    [
        ("SLACK_API_URL", "http://127.0.0.1:9/api", lambda s: s.slack.api_url, "http://127.0.0.1:9/api/"),
        ("MONGODB_ATLAS_BASE_URL", "https://cloud.mongodbgov.com/", lambda s: s.atlas.base_url, "https://cloud.mongodbgov.com"),
        ("MONGODB_ATLAS_API_VERSION", "v1.0", lambda s: s.atlas.api_version, ApiVersion.V1),
        ("MONGODB_ATLAS_ENVELOPE", "true", lambda s: s.atlas.envelope, True),
        ("MONGODB_ATLAS_PROJECT_ID", PROJECT.upper(), lambda s: s.projects[0].id, PROJECT),
        ("BOT_WATCH_INTERVAL", "1", lambda s: s.watch_interval, 1),
        ("BOT_WATCH_INTERVAL", "3600", lambda s: s.watch_interval, 3600),
        ("BOT_WATCH_INTERVAL", "2.5", lambda s: s.watch_interval, 2.5),
        ("DATABASE_URL", "sqlite:////data/x.db", lambda s: s.database_url, SecretStr("sqlite:////data/x.db")),
        ("DATABASE_URL", "postgresql://bot:pw@db/x", lambda s: s.database_url, SecretStr("postgresql://bot:pw@db/x")),
        ("HOST", "0.0.0.0", lambda s: s.host, "0.0.0.0"),  # noqa: S104 - as in the container
        ("HOST", "::1", lambda s: s.host, "::1"),
        ("PORT", "0", lambda s: s.port, 0),
        ("PORT", " 8080 ", lambda s: s.port, 8080),
        ("LOG_LEVEL", "debug", lambda s: s.log_level, "DEBUG"),
        ("LOG_FORMAT", "JSON", lambda s: s.log_format, "json"),
    ],
)  # fmt: skip
def test_value_of_a_variable_is_read(
    name: str, value: str, read: Callable[[Settings], object], expected: object
) -> None:
    assert read(load(**{name: value})) == expected


@pytest.mark.parametrize(
    ("name", "value", "key", "expected"),
    [
        ("BOT_CHANNEL", "C0123", "channel", "C0123"),
        ("BOT_REQUESTERS", "U1, W2,S3 ,*", "requesters", people("U1", "W2", "S3") | EVERYONE),
        ("BOT_REQUESTERS", "S1", "approvers", people("S1")),
        ("BOT_APPROVALS", "5", "approvals", 5),
        ("BOT_APPROVALS", "1", "require_reason", True),
        ("BOT_APPROVALS", "0", "require_reason", False),
        ("BOT_REQUIRE_REASON", "yes", "require_reason", True),
        ("BOT_APPROVERS", "S4,U5", "approvers", people("S4", "U5")),
        ("BOT_APPROVAL_TTL", "1", "approval_ttl", timedelta(seconds=1)),
        ("BOT_BREAK_GLASS", "U1", "break_glass", people("U1")),
        ("BOT_READ_ONLY", "1", "read_only", True),
        ("BOT_BREAK_GLASS", "", "break_glass", NO_ONE),
    ],
)  # fmt: skip
def test_value_of_a_policy_variable_is_read(
    name: str, value: str, key: str, expected: object
) -> None:
    assert getattr(policy(**{name: value}), key) == expected


def test_auto_cancel_is_read_with_what_it_needs() -> None:
    rules = policy(BOT_CHANNEL="C1", BOT_APPROVERS="U1", BOT_AUTO_CANCEL_AFTER="30")

    assert rules.auto_cancel_after == timedelta(seconds=30)


def test_time_longer_than_a_century_counts_as_a_century() -> None:
    assert policy(BOT_APPROVAL_TTL=str(10**30)).approval_ttl == timedelta(days=36600)


def test_service_account_is_accepted_in_place_of_a_key() -> None:
    settings = load(
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        "MONGODB_ATLAS_PRIVATE_API_KEY",
        MONGODB_ATLAS_CLIENT_ID="mdb_sa_id_1",
        MONGODB_ATLAS_CLIENT_SECRET="mdb_sa_sk_1",
    )

    assert settings.projects[0].credentials == ServiceAccount(
        "mdb_sa_id_1", SecretStr("mdb_sa_sk_1")
    )


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("SLACK_BOT_TOKEN", "xapp-1", "xoxb-"),
        ("SLACK_BOT_TOKEN", "", "OAuth & Permissions"),
        ("SLACK_APP_TOKEN", "xoxb-1", "xapp-"),
        ("SLACK_APP_TOKEN", "", "Basic Information"),
        ("SLACK_APP_TOKEN", "xapp-1 2", "xapp-"),
        ("SLACK_API_URL", "slack.com", "https://slack.com/api/"),
        ("SLACK_API_URL", "http://slack.com/api/", "https://"),
        ("MONGODB_ATLAS_PUBLIC_API_KEY", "", "MONGODB_ATLAS_PRIVATE_API_KEY needs it"),
        ("MONGODB_ATLAS_PRIVATE_API_KEY", "", "MONGODB_ATLAS_PUBLIC_API_KEY needs it"),
        ("MONGODB_ATLAS_PRIVATE_API_KEY", "two words", "copy it again"),
        ("MONGODB_ATLAS_CLIENT_ID", "mdb_sa_id_1", "keep the API key or the service account"),
        ("MONGODB_ATLAS_PROJECT_ID", "", "24 hexadecimal digits"),
        ("MONGODB_ATLAS_PROJECT_ID", "shop", "24 hexadecimal digits"),
        ("MONGODB_ATLAS_BASE_URL", "https://user@host", "https://cloud.mongodb.com"),
        ("MONGODB_ATLAS_BASE_URL", "https://[", "https://cloud.mongodb.com"),
        ("MONGODB_ATLAS_BASE_URL", "https://cloud.mongodb.com/api/atlas/v2", "before /api"),
        ("MONGODB_ATLAS_API_VERSION", "v2.0", "v2 or v1.0"),
        ("MONGODB_ATLAS_ENVELOPE", "perhaps", "true or false"),
        ("BOT_PROJECTS_FILE", "/no/such/file.toml", "No such file"),
        ("BOT_CHANNEL", "#ops", "id of a channel"),
        ("BOT_CHANNEL", "D0123", "id of a channel"),
        ("BOT_WATCH_INTERVAL", "0", "from 1 to 3600"),
        ("BOT_WATCH_INTERVAL", "3601", "from 1 to 3600"),
        ("BOT_WATCH_INTERVAL", "3155760000", "from 1 to 3600"),
        ("BOT_WATCH_INTERVAL", str(math.nan), "from 1 to 3600"),
        ("BOT_REQUESTERS", "rina", "ids of users"),
        ("BOT_REQUESTERS", "U1;U2", "comma-separated"),
        ("BOT_REQUESTERS", ",", "ids of users"),
        ("BOT_APPROVALS", "6", "from 0 to 5"),
        ("BOT_APPROVALS", "-1", "from 0 to 5"),
        ("BOT_APPROVALS", "two", "from 0 to 5"),
        ("BOT_APPROVERS", "C0123", "ids of users"),
        ("BOT_APPROVAL_TTL", "0", "1 or more"),
        ("BOT_APPROVAL_TTL", "1.5", "whole number"),
        ("BOT_REQUIRE_REASON", "maybe", "true or false"),
        ("BOT_BREAK_GLASS", "*", "* is not possible"),
        ("BOT_READ_ONLY", "2", "true or false"),
        ("BOT_AUTO_CANCEL_AFTER", "0", "1 or more"),
        ("BOT_AUTO_CANCEL_AFTER", "-5", "1 or more"),
        ("DATABASE_URL", "mysql://db/x", "sqlite:///path"),
        ("DATABASE_URL", "sqlite://", "sqlite:///path"),
        ("DATABASE_URL", "sqlite:///:memory:", "sqlite:///path"),
        ("DATABASE_URL", "postgresql://db", "postgresql://user:password@host"),
        ("DATABASE_URL", "postgresql://bot:p@w@db/x", "%40"),
        ("DATABASE_URL", "postgresql://db:port/x", "postgresql://user:password@host"),
        ("HOST", "127.0.0.1:3000", "without scheme and port"),
        ("HOST", "http://localhost", "without scheme and port"),
        ("PORT", "65536", "from 0 to 65535"),
        ("LOG_LEVEL", "loud", "DEBUG"),
        ("LOG_FORMAT", "xml", "console or json"),
    ],
)
def test_wrong_value_is_a_sentence_with_the_variable_and_the_fix(
    name: str, value: str, fix: str
) -> None:
    (sentence,) = problems(**{name: value})

    assert name in sentence
    assert fix in sentence


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(
            {"PORT": "x", "BOT_AUTO_CANCEL_AFTER": "60", "BOT_APPROVERS": "U1"}, needs_slack=True
        )
    first_words = [sentence.split(" ")[0] for sentence in caught.value.problems]

    assert sorted(first_words) == [
        "BOT_AUTO_CANCEL_AFTER",
        "MONGODB_ATLAS_PROJECT_ID",
        "MONGODB_ATLAS_PUBLIC_API_KEY",
        "PORT",
        "SLACK_APP_TOKEN",
        "SLACK_BOT_TOKEN",
    ]
    assert str(caught.value) == "\n".join(caught.value.problems)


def test_missing_driver_of_postgresql_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.settings.values.find_spec", lambda _name: None)

    (sentence,) = problems(DATABASE_URL="postgresql://bot:sesame@db/x")

    assert "DATABASE_URL" in sentence
    assert "extra postgres" in sentence
    assert "sesame" not in sentence


def test_empty_variable_counts_as_not_set_and_space_around_a_value_is_removed() -> None:
    assert load(PORT="", BOT_CHANNEL=" ") == load()
    assert load(SLACK_BOT_TOKEN=" xoxb-1-2-abc\n") == load()


def test_slack_is_none_where_it_is_not_needed_and_not_set() -> None:
    environ = variables("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN")
    settings = load_settings(environ, needs_slack=False)

    assert settings.slack is None
    assert settings.warnings == ()


def test_slack_is_read_where_it_is_not_needed_and_set() -> None:
    assert load_settings(ENOUGH, needs_slack=False) == load()


def test_one_token_alone_is_a_warning_where_slack_is_not_needed() -> None:
    (warning,) = load_settings(variables("SLACK_APP_TOKEN"), needs_slack=False).warnings

    assert warning.startswith("SLACK_APP_TOKEN is not set")


def test_command_without_slack_does_not_read_its_variables() -> None:
    environ = ENOUGH | {"SLACK_BOT_TOKEN": "xoxp-sesame", "SLACK_API_URL": "slack.com"}
    alone = variables("SLACK_APP_TOKEN")
    settings = load_settings(environ, needs_slack=False, reads_slack=False)

    assert settings.slack is None
    assert load_settings(alone, needs_slack=False, reads_slack=False).warnings == ()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("BOT_APPROVER", "BOT_APPROVERS"),
        ("MONGODB_ATLAS_PROJECTID", "MONGODB_ATLAS_PROJECT_ID"),
        ("SLACK_BOT_TOKN", "SLACK_BOT_TOKEN"),
    ],
)
def test_misspelt_variable_is_a_warning_with_the_nearest_one(name: str, nearest: str) -> None:
    (warning,) = load(**{name: "1"}).warnings

    assert warning.startswith(f"{name} is not a setting")
    assert f"Did you mean {nearest}?" in warning


def test_misspelt_variable_is_reported_beside_what_it_leaves_missing() -> None:
    missing, misspelt = problems("MONGODB_ATLAS_PROJECT_ID", MONGODB_ATLAS_PROJECTID=PROJECT)

    assert missing.startswith("MONGODB_ATLAS_PROJECT_ID is not set")
    assert misspelt.startswith("MONGODB_ATLAS_PROJECTID is not a setting")


# The process's environment and `.env`


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)
    return tmp_path / ".env"


def test_env_file_of_the_working_directory_is_read_and_the_environment_wins(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text("PORT=4000\nexport HOST='file.example' # comment\nLOG_FORMAT=json\n")
    monkeypatch.setenv("PORT", "5000")
    monkeypatch.setenv("LOG_FORMAT", "")
    settings = load_settings(needs_slack=True)

    assert (settings.host, settings.port, settings.log_format) == ("file.example", 5000, None)


def test_env_file_is_not_read_where_the_variables_are_given(env_file: Path) -> None:
    env_file.write_text("PORT=4000\n")

    assert load_settings(ENOUGH, needs_slack=True).port == 3000


@pytest.mark.parametrize("exists", [False, True])
def test_missing_variable_without_an_env_file_names_where_one_would_be(
    env_file: Path, monkeypatch: pytest.MonkeyPatch, *, exists: bool
) -> None:
    monkeypatch.delenv("SLACK_APP_TOKEN")
    if exists:
        env_file.touch()

    with pytest.raises(SettingsError) as error:
        load_settings(needs_slack=True)
    assert (f".env is not in {env_file.parent}: only" in str(error.value)) is not exists


def test_lines_of_the_env_file_that_set_nothing_are_problems(env_file: Path) -> None:
    env_file.write_text('# comment\n\nBOT_READ_ONLY true\nPORT=x\n\nBOT_APPROVERS="U1\n')
    with pytest.raises(SettingsError) as caught:
        load_settings(needs_slack=True)

    assert caught.value.problems == (
        ".env, line 3 sets no variable: write NAME=VALUE",
        ".env, line 6 sets no variable: write NAME=VALUE",
        "PORT must be a whole number from 0 to 65535",
    )


@pytest.mark.parametrize("is_folder", [True, False])
def test_env_file_that_cannot_be_read_is_a_problem(env_file: Path, *, is_folder: bool) -> None:
    if is_folder:
        env_file.mkdir()
    else:
        env_file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env cannot be read"):
        load_settings(needs_slack=True)
