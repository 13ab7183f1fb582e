"""The projects file: several projects, each with its own key and rules."""

import tomllib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from pydantic import SecretStr

from bot.atlas import DigestKey, ServiceAccount
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import ClusterPolicy, Policies, Policy
from bot.settings import ProjectSettings, Settings, SettingsError, load_settings, warnings
from bot.settings.schema import json_schema
from bot.slack.grammar import KEYWORDS, QUARANTINE_DECISIONS, VERBS

SHOP, LAB = "5b6212af90dc76637950a2c6", "5b6212af90dc76637950a2c7"
ENVIRON = {
    "SLACK_BOT_TOKEN": "xoxb-1-2-abc",
    "SLACK_APP_TOKEN": "xapp-1-A-2-abc",
    "BOT_PROJECTS_FILE": "projects.toml",
    "SHOP_PUBLIC_KEY": "shoppub1",
    "SHOP_PRIVATE_KEY": "shop-private",
}
KEYS = 'public_key_env = "SHOP_PUBLIC_KEY"\nprivate_key_env = "SHOP_PRIVATE_KEY"\n'
SHOP_TABLE = f'[[projects]]\nname = "shop"\nid = "{SHOP}"\n{KEYS}'


def load(folder: Path, toml: str, **more: str) -> Settings:
    (folder / "projects.toml").write_text(toml, encoding="utf-8")
    return load_settings(ENVIRON | more, folder)


def problems(folder: Path, toml: str, **more: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load(folder, toml, **more)
    return caught.value.problems


def test_each_project_has_its_key_and_rules(tmp_path: Path) -> None:
    toml = f"""
        {SHOP_TABLE}
        approvals = 1
        approvers = ["S0123456"]
        channels = ["C0123456"]
        watch_channel = "C9"
        [[projects]]
        name = "lab"
        id = "{LAB.upper()}"
        client_id_env = "LAB_ID"
        client_secret_env = "LAB_SECRET"
    """
    lab = {"LAB_ID": "mdb_sa_id_1", "LAB_SECRET": "mdb_sa_sk_1"}

    assert load(tmp_path, toml, **lab).projects == (
        ProjectSettings(
            name="shop",
            id=SHOP,
            credentials=DigestKey("shoppub1", SecretStr("shop-private")),
            policies=Policies(
                Policy(
                    approvals=1,
                    approvers=People(groups=frozenset({"S0123456"})),
                    approvers_named=True,
                    channels=frozenset({"C0123456"}),
                    require_reason=True,
                    watch_channel="C9",
                )
            ),
        ),
        ProjectSettings(
            name="lab",
            id=LAB,
            credentials=ServiceAccount("mdb_sa_id_1", SecretStr("mdb_sa_sk_1")),
            policies=Policies(),
        ),
    )


def test_organization_has_patterns_credentials_and_a_policy(tmp_path: Path) -> None:
    toml = f"""
        [[organizations]]
        {KEYS}
        include = ["shop *", "{SHOP}"]
        exclude = ["*-sandbox"]
        approvals = 1
        watch_channel = "C9"
    """
    settings = load(tmp_path, toml)
    (found,) = settings.organizations

    assert settings.projects == ()
    assert (found.include, found.exclude) == (("shop *", SHOP), ("*-sandbox",))
    policy = found.policies.default
    assert (policy.approvals, policy.watch_channel) == (1, "C9")
    assert "shop-private" in {secret.get_secret_value() for secret in settings.secrets}


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('include = "shop"', "organization number 1: include must be a list of names"),
        ("exclude = [1]", "organization number 1: exclude must be a list of names"),
        ('name = "shop"', "name is not a known key"),
        ("approvals = 9", "organization number 1: approvals"),
    ],
)
def test_mistake_in_an_organization_names_the_key(tmp_path: Path, line: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, f"[[organizations]]\n{KEYS}{line}\n")

    assert sentence in str(caught.value)


def test_requesters_of_a_project_are_its_approvers_too(tmp_path: Path) -> None:
    (project,) = load(tmp_path, f'{SHOP_TABLE}requesters = ["*"]', BOT_REQUESTERS="U1").projects

    assert project.policies.default.approvers == EVERYONE


def test_lists_may_be_written_as_in_variables(tmp_path: Path) -> None:
    (project,) = load(tmp_path, f'{SHOP_TABLE}requesters = "U1, S2"').projects

    assert project.policies.default.requesters == People(
        users=frozenset({"U1"}), groups=frozenset({"S2"})
    )


WHERE = 'BOT_PROJECTS_FILE, project "shop": '


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("aprovals = 1", "aprovals is not a known key; the known keys are: requesters, "),
        ("approvals = 1.5", "approvals must be a whole number from 0 to 5"),
        ("approvals = true", "approvals must be a whole number from 0 to 5"),
        ('approvals = "1"', "approvals must be a whole number, without quotation marks"),
        ('approval_ttl = "60"', "approval_ttl must be a whole number, without quotation marks"),
        ('quarantine_limit = "3"', "quarantine_limit must be a whole number, without quotation"),
        ('remind_after = ["60"]', "remind_after must be a list of whole numbers, without"),
        ('read_only = "true"', "read_only must be true or false, without quotation marks"),
        ('require_reason = "no"', "require_reason must be true or false, without quotation marks"),
        ("requesters = []", "requesters is empty"),
        ("requesters = [1]", "requesters must be a list of texts"),
        ("self_approval = 1", "self_approval must be true or false"),
        ("audit_channel = 7", "audit_channel must be the id of a channel"),
        ('client_id_env = "X"', f"public_key_env and {WHERE}private_key_env and "),
        (
            'approvals = 2\napprovers = ["U1"]',
            f"approvals is 2, but {WHERE}approvers names too few people beside",
        ),
    ],
)
def test_error_names_file_project_and_key(tmp_path: Path, line: str, problem: str) -> None:
    (reported,) = problems(tmp_path, SHOP_TABLE + line)

    assert reported.startswith(WHERE + problem)


@pytest.mark.parametrize(
    ("toml", "beginning"),
    [
        (
            f"{SHOP_TABLE}private_key_env = 'TWICE'\n",
            "Cannot overwrite a value (at line 6, column ",
        ),
        (f"{SHOP_TABLE}approvals = one", "Invalid value (at line 6, column 13)"),
    ],
)
def test_syntax_error_names_its_line(tmp_path: Path, toml: str, beginning: str) -> None:
    assert beginning in problems(tmp_path, toml)[0]


CLUSTERS = "[[projects.clusters]]\n"


def test_policy_of_clusters_is_over_that_of_their_project(tmp_path: Path) -> None:
    toml = f"""{SHOP_TABLE}
        approvals = 1
        approvers = ["U1", "U2", "U3"]
        watch_channel = "C9"

        [[projects.clusters]]
        names = ["prod-*", " eu "]
        note = " Call 7700. "
        approvals = 2

        [[projects.clusters]]
        names = ["*"]
        approvals = 0
        watch_channel = ""
    """
    (project,) = load(tmp_path, toml).projects
    default = project.policies.default
    prod = replace(default, approvals=2, note="Call 7700.")
    rest = replace(default, approvals=0, require_reason=False, watch_channel=None)

    assert project.policies.clusters == (
        ClusterPolicy(("prod-*", "eu"), prod),
        ClusterPolicy(("*",), rest),
    )


#: A mistake in an entry of clusters, and its problem.
IN_CLUSTERS = {
    "": "names is missing",
    "names = []": "names must have one name or more",
    'names = [""]': "names must be a list of names or ids",
    'names = "prod-*"': "names must be a list of names or ids",
    f'names = ["a"]\nnote = "{"x" * 201}"': "note must be a text of up to 200 characters",
    'names = ["a"]\nnote = 7700': "note must be a text of up to 200 characters",
    f'names = ["a"]\nid = "{SHOP}"': "id is not a known key",
    'names = ["a"]\npublic_key_env = "KEY"': "public_key_env is not a known key",
    'names = ["a"]\nask_starter = true': "ask_starter is not a known key",
    'names = ["a"]\nwatch_restores = true': "watch_restores is not a known key",
    'names = ["a"]\nclusters = []': "clusters is not a known key",
    'names = ["a"]\napprovals = 6': "approvals must be a whole number from 0 to 5",
    'names = ["a"]\napprovals = "1"': "approvals must be a whole number, without",
    'names = ["a"]\nwatch_channel = "none"\nquarantine = "enforce"': "quarantine is enforce, but",
}


@pytest.mark.parametrize("kind", ["projects", "organizations"])
@pytest.mark.parametrize("lines", IN_CLUSTERS)
def test_mistake_in_clusters_is_refused_by_settings_and_schema(
    tmp_path: Path, lines: str, kind: str
) -> None:
    table = SHOP_TABLE if kind == "projects" else f"[[organizations]]\n{KEYS}"
    toml = f"{table}[[{kind}.clusters]]\n{lines}\n"
    name = 'project "shop"' if kind == "projects" else "organization number 1"
    (reported,) = problems(tmp_path, toml)

    start = f"BOT_PROJECTS_FILE, {name}: clusters number 1: "
    assert reported.startswith(start + IN_CLUSTERS[lines])
    assert not Draft7Validator(json_schema()).is_valid(tomllib.loads(toml))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (
            f'approvers = ["U1"]\n{CLUSTERS}names = ["a"]\napprovals = 2',
            "{}clusters number 1: approvals is 2, but {}approvers names too few people beside",
        ),
        (
            (
                'quarantine = "observe"\nwatch_channel = "C1"\n'
                f'{CLUSTERS}names = ["a"]\nwatch_channel = "none"'
            ),
            (
                "{}quarantine is observe, but no channel is watched: "
                "set {}clusters number 1: watch_channel,"
            ),
        ),
        ("clusters = 1", "{}clusters must be tables: [[projects.clusters]]"),
    ],
)
def test_policy_of_clusters_that_cannot_work_names_where_each_rule_is(
    tmp_path: Path, lines: str, problem: str
) -> None:
    (reported,) = problems(tmp_path, f"{SHOP_TABLE}{lines}\n")

    assert reported.startswith(problem.format(WHERE, WHERE))


def test_risk_and_hidden_entry_of_clusters_are_warned_about(tmp_path: Path) -> None:
    toml = (
        f'{SHOP_TABLE}approvals = 1\napprovers = ["S1"]\nrequesters = ["S1"]\n'
        f'{CLUSTERS}names = ["test-*"]\napprovals = 0\n{CLUSTERS}names = ["test-eu"]\n'
        'approvals = 3\napprovers = ["U1"]\n'  # judged, it could not work
    )

    assert warnings(load(tmp_path, toml)) == [
        (
            "Project shop (clusters test-*): no approvals are needed: each requester cancels alone "
            "(BOT_APPROVALS)."
        ),
        (
            "Project shop: the entry of clusters test-eu never applies, because an earlier one has "
            "the same names: move it up, or remove it."
        ),
    ]


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("", "must have one [[projects]] or more"),
        ("projects = 1", "must have one [[projects]] or more"),
        ("projects = [1]", "must have one [[projects]] or more"),
        ("[[projects", "is not valid TOML: "),
    ],
)
def test_file_without_projects_is_a_problem(tmp_path: Path, toml: str, problem: str) -> None:
    (reported,) = problems(tmp_path, toml)

    assert reported.startswith(
        f"BOT_PROJECTS_FILE names {tmp_path / 'projects.toml'}, which {problem}"
    )


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other.toml", "cannot be read: No such file or directory"),
        ("binary.toml", "is not valid TOML: it is not UTF-8 text"),
    ],
)
def test_file_that_cannot_be_read_is_a_problem(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "binary.toml").write_bytes(b"\xff")

    assert problems(tmp_path, "", BOT_PROJECTS_FILE=name) == (
        f"BOT_PROJECTS_FILE names {tmp_path / name}, which {why}",
    )


@pytest.mark.parametrize(
    "name",
    ["two words", "a/b", LAB, "x" * 65, "List", *KEYWORDS, *QUARANTINE_DECISIONS, *sorted(VERBS)],
)
def test_project_name_that_could_be_another_word_is_rejected(tmp_path: Path, name: str) -> None:
    (reported,) = problems(tmp_path, SHOP_TABLE.replace('"shop"', f'"{name}"'))

    assert reported.startswith(f'BOT_PROJECTS_FILE, project "{name}": name must be one word')


def test_byte_order_mark_at_the_beginning_of_a_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\ufeffBOT_COMMAND=/cancel-eu\n", encoding="utf-8")
    settings = load(tmp_path, f"\ufeff{SHOP_TABLE}")

    assert (settings.projects[0].name, settings.command) == ("shop", "/cancel-eu")


LAB_TABLE = SHOP_TABLE.replace("shop", "lab").replace(SHOP, LAB)


@pytest.mark.parametrize(
    ("toml", "environ", "reported"),
    [
        (f"colour = 1\n{SHOP_TABLE}", {}, ["BOT_PROJECTS_FILE: colour is not a known key"]),
        (
            f"[[projects]]\n{KEYS}",
            {},
            [f"BOT_PROJECTS_FILE, project number 1: {each} is missing" for each in ("name", "id")],
        ),
        (
            SHOP_TABLE + SHOP_TABLE.replace('"shop"', '"SHOP"'),
            {},
            [
                'BOT_PROJECTS_FILE has the name "shop" 2 times: it must be unique',
                f'BOT_PROJECTS_FILE has the id "{SHOP}" 2 times: it must be unique',
            ],
        ),
        (
            SHOP_TABLE,
            {"SHOP_PRIVATE_KEY": ""},
            [f"{WHERE}private_key_env names SHOP_PRIVATE_KEY, which is not set: set it"],
        ),
        (
            SHOP_TABLE.replace('private_key_env = "SHOP_PRIVATE_KEY"\n', ""),
            {},
            [f"{WHERE}private_key_env is missing: it belongs to {WHERE}public_key_env"],
        ),
        (
            SHOP_TABLE + LAB_TABLE,
            {"BOT_APPROVALS": "2", "BOT_APPROVERS": "U1"},
            [
                (
                    "BOT_APPROVALS is 2, but BOT_APPROVERS names too few people beside the "
                    "requester: name more, or a user group, or require fewer, or set "
                    "BOT_SELF_APPROVAL"
                )
            ],
        ),
    ],
    ids=[
        "key outside of the projects",
        "name and id are missing",
        "names and ids are the same but for the case",
        "named variable is not set",
        "half a key",
        "a variable's error is reported once for all projects",
    ],
)
def test_mistake_is_reported(
    tmp_path: Path, toml: str, environ: dict[str, str], reported: list[str]
) -> None:
    assert list(problems(tmp_path, toml, **environ)) == reported


def test_project_without_any_credentials_is_a_problem(tmp_path: Path) -> None:
    (reported,) = problems(tmp_path, SHOP_TABLE.replace(KEYS, ""))

    assert reported.startswith(f"{WHERE}has no credentials: set MONGODB_ATLAS_PUBLIC_API_KEY and ")


def test_secret_in_place_of_a_variable_name_is_not_shown(tmp_path: Path) -> None:
    (reported,) = problems(tmp_path, SHOP_TABLE.replace("SHOP_PRIVATE_KEY", "0a1b2c3d-4e5f-6071"))

    assert "0a1b2c3d" not in reported
    assert reported.startswith(f"{WHERE}private_key_env must be the name of a variable")


def test_project_id_next_to_a_projects_file_is_ignored_with_a_warning(tmp_path: Path) -> None:
    settings = load(tmp_path, SHOP_TABLE, MONGODB_ATLAS_PROJECT_ID=LAB)

    assert [project.id for project in settings.projects] == [SHOP]
    assert warnings(settings)[0] == (
        "MONGODB_ATLAS_PROJECT_ID has no effect here: another setting replaces it."
    )


DEFAULT_KEY = {
    "MONGODB_ATLAS_PUBLIC_API_KEY": "pubkey01",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "0a1b-private",
}


def test_missing_key_of_a_project_defaults_to_the_variable(tmp_path: Path) -> None:
    (project,) = load(
        tmp_path,
        f'[[projects]]\nname = "shop"\nid = "{SHOP}"\napprovals = 0\naudit_channel = ""\n',
        **DEFAULT_KEY,
        BOT_APPROVALS="2",
        BOT_APPROVAL_TTL="60",
        BOT_AUDIT_CHANNEL="C1",
        BOT_WATCH_CHANNEL="C2",
    ).projects

    assert project.credentials == DigestKey("pubkey01", SecretStr("0a1b-private"))
    expected = Policy(approval_ttl=timedelta(seconds=60), watch_channel="C2")
    assert project.policies.default == expected


def test_keys_may_be_in_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OTHER=from-the-file\n")
    toml = SHOP_TABLE.replace("SHOP_PRIVATE_KEY", "OTHER")
    (project,) = load(tmp_path, toml).projects

    assert project.credentials == DigestKey("shoppub1", SecretStr("from-the-file"))
