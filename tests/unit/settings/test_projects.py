"""The projects file: its projects, their policies and credentials, and its mistakes."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.atlas import DigestKey, ServiceAccount
from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.settings import ProjectSettings, Settings
from tests.support.settings import PROJECT, load, problems

OTHER = "5b6212af90dc76637950a2c7"
SHOP = f'[[projects]]\nname = "shop"\nid = "{PROJECT}"\n'
TEST = f'[[projects]]\nname = "test"\nid = "{OTHER}"\n'
CLUSTERS = '[[projects.clusters]]\nnames = ["prod-*"]\n'
SHARED_KEY = ("MONGODB_ATLAS_PUBLIC_API_KEY", "MONGODB_ATLAS_PRIVATE_API_KEY")

Loader = Callable[..., Settings]
Problems = Callable[..., tuple[str, ...]]


def written(folder: Path, toml: str) -> str:
    file = folder / "projects.toml"
    file.write_text(toml, encoding="utf-8")
    return str(file)


@pytest.fixture
def load_file(tmp_path: Path) -> Loader:
    def load_toml(toml: str, **more: str) -> Settings:
        file = written(tmp_path, toml)
        return load("MONGODB_ATLAS_PROJECT_ID", BOT_PROJECTS_FILE=file, **more)

    return load_toml


@pytest.fixture
def file_problems(tmp_path: Path) -> Problems:
    def problems_of(toml: str, **more: str) -> tuple[str, ...]:
        file = written(tmp_path, toml)
        return problems("MONGODB_ATLAS_PROJECT_ID", BOT_PROJECTS_FILE=file, **more)

    return problems_of


def test_projects_have_the_policy_and_credentials_of_the_environment(load_file: Loader) -> None:
    settings = load_file(SHOP + TEST, BOT_APPROVALS="1", BOT_CHANNEL="C1")
    single = load(BOT_APPROVALS="1", BOT_CHANNEL="C1").projects[0]

    assert settings.projects == tuple(
        ProjectSettings(id=id_, name=name, credentials=single.credentials, policies=single.policies)
        for id_, name in ((PROJECT, "shop"), (OTHER, "test"))
    )


def test_keys_replace_the_policy_of_the_environment(load_file: Loader) -> None:
    toml = f"""{SHOP}
        channel = "C2"
        requesters = ["U1"]
        approvals = 2
        approvers = ["S1", "U2"]
        approval_ttl = 60
        require_reason = false
        break_glass = ["U3"]
        read_only = false
        auto_cancel_after = 45
        {TEST}"""
    shop, test = load_file(toml, BOT_CHANNEL="C1", BOT_READ_ONLY="true").projects

    assert shop.policies.default == Policy(
        channel="C2",
        requesters=People(users=frozenset({"U1"})),
        approvals=2,
        approvers=People(users=frozenset({"U2"}), groups=frozenset({"S1"})),
        approval_ttl=timedelta(seconds=60),
        require_reason=False,
        break_glass=People(users=frozenset({"U3"})),
        auto_cancel_after=timedelta(seconds=45),
    )
    assert test.policies.default == Policy(channel="C1", read_only=True)


def test_empty_values_switch_off_what_the_environment_sets(load_file: Loader) -> None:
    off = 'channel = ""\nauto_cancel_after = ""\nbreak_glass = []\n'
    settings = load_file(
        SHOP + off,
        BOT_CHANNEL="C1",
        BOT_APPROVERS="U1",
        BOT_BREAK_GLASS="U1",
        BOT_AUTO_CANCEL_AFTER="60",
    )

    assert settings.projects[0].policies.default == Policy(
        approvers=People(users=frozenset({"U1"}))
    )


def test_clusters_have_their_own_approvals_and_note(load_file: Loader) -> None:
    toml = f'{SHOP}{CLUSTERS}approvals = 2\nnote = "Call 7700."\n'
    policies = load_file(toml).projects[0].policies

    assert (policies.of("PROD-1").approvals, policies.of("PROD-1").note) == (2, "Call 7700.")
    assert (policies.of("dev").approvals, policies.of("dev").note) == (0, "")


def test_cluster_with_a_note_alone_has_the_approvals_of_its_project(load_file: Loader) -> None:
    toml = f'{SHOP}requesters = ["U1"]\n{CLUSTERS}note = "Call 7700."\n'
    policies = load_file(toml).projects[0].policies

    assert (policies.of("prod-1").approvals, policies.of("prod-1").note) == (0, "Call 7700.")


@pytest.mark.parametrize(("approvals", "is_required"), [(0, False), (1, True)])
def test_reason_is_required_by_default_where_a_cluster_wants_approvals(
    load_file: Loader, approvals: int, *, is_required: bool
) -> None:
    settings = load_file(f"{SHOP}{CLUSTERS}approvals = {approvals}\n")

    assert settings.projects[0].policies.default.require_reason is is_required


@pytest.mark.parametrize("unset", [(), SHARED_KEY], ids=["besides shared ones", "alone"])
def test_projects_may_name_the_variables_of_their_own_credentials(
    tmp_path: Path, unset: tuple[str, ...]
) -> None:
    toml = (
        f'{SHOP}public_key_env = "BOT_SHOP_PUBLIC"\nprivate_key_env = "SHOP_PRIVATE"\n'
        f'{TEST}client_id_env = "TEST_ID"\nclient_secret_env = "TEST_SECRET"\n'
    )
    own = {
        "BOT_SHOP_PUBLIC": "shopkey1",
        "SHOP_PRIVATE": "shop-private",
        "TEST_ID": "mdb_sa_id_2",
        "TEST_SECRET": "mdb_sa_sk_2",
    }
    file = written(tmp_path, toml)
    settings = load("MONGODB_ATLAS_PROJECT_ID", *unset, BOT_PROJECTS_FILE=file, **own)

    assert [project.credentials for project in settings.projects] == [
        DigestKey("shopkey1", SecretStr("shop-private")),
        ServiceAccount("mdb_sa_id_2", SecretStr("mdb_sa_sk_2")),
    ]
    assert settings.warnings == ()


def test_file_wins_over_the_project_of_the_environment_with_a_warning(tmp_path: Path) -> None:
    file = written(tmp_path, TEST)
    settings = load(BOT_PROJECTS_FILE=file)
    (warning,) = settings.warnings

    assert [project.id for project in settings.projects] == [OTHER]
    assert "MONGODB_ATLAS_PROJECT_ID has no effect" in warning
    assert load(BOT_PROJECTS_FILE=written(tmp_path, SHOP)).warnings == ()


@pytest.mark.parametrize(
    ("toml", "parts"),
    [
        ("[[projects]", ["is not valid TOML"]),
        ("", ["must have one [[projects]] or more"]),
        ("projects = 3", ["must have one [[projects]] or more"]),
        (f"owner = 'me'\n{SHOP}", ["owner is not a key"]),
        (f'[[projects]]\nid = "{PROJECT}"', ["project number 1: name is not set"]),
        ('[[projects]]\nname = "shop"', ['project "shop": id is not set', "24 hexadecimal"]),
        (f'[[projects]]\nname = "two words"\nid = "{PROJECT}"', ["name must be one word"]),
        (f'[[projects]]\nname = "List"\nid = "{PROJECT}"', ["not list or help"]),
        (f'[[projects]]\nname = "{OTHER}"\nid = "{PROJECT}"', ["name must be", "not an id"]),
        (SHOP + SHOP.replace(PROJECT, OTHER), ['the name "shop" 2 times']),
        (SHOP + TEST.replace(OTHER, PROJECT.upper()), [f'the id "{PROJECT}" 2 times']),
        (f"{SHOP}aproval = 1", ["aproval is not a key", "did you mean approvals?"]),
        (f"{SHOP}approvals = 6", ["approvals must be", "from 0 to 5"]),
        (f"{SHOP}approvals = true", ["approvals must be", "from 0 to 5"]),
        (f"{SHOP}approvals = 1.5", ["approvals must be", "from 0 to 5"]),
        (f"{SHOP}auto_cancel_after = true", ["auto_cancel_after must be", "1 or more"]),
        (f"{SHOP}approvers = []", ["approvers must be", "ids of users"]),
        (f"{SHOP}approvers = [1]", ["approvers must be", "ids of users"]),
        (f"{SHOP}channel = 3", ["channel must be", "id of a channel"]),
        (f"{SHOP}read_only = 2024-01-01", ["read_only must be true or false"]),
        (f"{SHOP}clusters = 3", ["clusters must be tables"]),
        (f"{SHOP}[[projects.clusters]]", ["clusters number 1: names is not set"]),
        (f"{SHOP}[[projects.clusters]]\nnames = []", ["clusters number 1: names must be"]),
        (f"{SHOP}[[projects.clusters]]\nnames = ['a_b']", ["clusters number 1: names must be"]),
        (f"{SHOP}{CLUSTERS}approvals = 9", ["clusters number 1: approvals", "from 0 to 5"]),
        (
            f"{SHOP}approvers = ['U1']\n{CLUSTERS}approvals = 2",
            ["clusters number 1: approvals is 2, but approvers lists only 1"],
        ),
        (f"{SHOP}{CLUSTERS}note = '{'x' * 201}'", ["clusters number 1: note", "200 characters"]),
        (f"{SHOP}{CLUSTERS}channel = 'C1'", ["clusters number 1: channel is not a key"]),
        (f"{SHOP}public_key_env = 'PUB'", ["public_key_env names PUB, which is not set"]),
        (
            f"{SHOP}public_key_env = 'HOME'\nclient_id_env = 'HOME'",
            ['project "shop": public_key_env and client_id_env are set', "keep the API key or the"],
        ),
        (f"{SHOP}private_key = 'x'", ["private_key is not a key", "private_key_env"]),
        (f"{SHOP}private_key_env = 'a-secret'", ["private_key_env must be the name of a variable"]),
        (f"{SHOP}read_only = true\nauto_cancel_after = 60", ["auto_cancel_after and read_only"]),
    ],
)
def test_mistake_in_the_file_is_a_sentence_with_its_table_and_key(
    file_problems: Problems, toml: str, parts: list[str]
) -> None:
    sentences = file_problems(toml)

    assert any(all(part in sentence for part in parts) for sentence in sentences), sentences
    assert all(sentence.startswith("BOT_PROJECTS_FILE") for sentence in sentences)


def test_half_of_a_key_names_the_missing_key(file_problems: Problems) -> None:
    (sentence,) = file_problems(f"{SHOP}public_key_env = 'PUB'\n", PUB="shopkey1")

    assert sentence.endswith(
        'project "shop": private_key_env is not set: public_key_env needs it too'
    )


def test_wrong_value_hides_no_problem_of_the_right_ones_and_makes_no_further_one(
    file_problems: Problems,
) -> None:
    toml = (
        f"{SHOP}channel = '#ops'\nauto_cancel_after = 60\nread_only = true\napprovers = ['U1']\n"
        f"{CLUSTERS}approvals = 9\n{CLUSTERS}approvals = 2\n"
    )

    assert [sentence.split(": ", 1)[1] for sentence in file_problems(toml)] == [
        "channel must be the id of a channel (C…), found at the end of the channel's details",
        "clusters number 1: approvals must be a whole number from 0 to 5",
        "auto_cancel_after and read_only are set together: keep one of them",
        (
            "clusters number 2: approvals is 2, but approvers lists only 1 who could approve the "
            "request of another: name more people, or a user group, or require fewer approvals"
        ),
    ]


def test_wrong_people_make_no_further_problem(file_problems: Problems) -> None:
    toml = f"{SHOP}requesters = ['U1']\napprovers = ['U1', 'U2']\napprovals = 2\n"

    (sentence,) = file_problems(f"{toml}break_glass = ['ops']\n")

    assert "break_glass must be" in sentence


def test_file_with_a_byte_order_mark_is_read(load_file: Loader) -> None:
    assert load_file(f"\ufeff{SHOP}").projects[0].name == "shop"


def test_file_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "projects.toml"
    file.write_bytes(b"\xff\xfe")

    (sentence,) = problems(BOT_PROJECTS_FILE=str(file))

    assert "not text in UTF-8" in sentence


@pytest.mark.parametrize(
    ("toml", "variable", "named"),
    [
        (SHOP + TEST, "9", "BOT_APPROVALS"),
        (f"{SHOP}approvals = 1\n", "9", "BOT_APPROVALS"),
        (f"{SHOP}approvals = 9\n", "1", 'BOT_PROJECTS_FILE, project "shop": approvals'),
    ],
)
def test_wrong_value_is_reported_once_by_the_variable_or_the_key_that_has_it(
    file_problems: Problems, toml: str, variable: str, named: str
) -> None:
    assert file_problems(toml, BOT_APPROVALS=variable) == (
        f"{named} must be a whole number from 0 to 5",
    )


def test_project_without_credentials_names_both_ways_to_set_them(tmp_path: Path) -> None:
    (sentence,) = problems(*SHARED_KEY, BOT_PROJECTS_FILE=written(tmp_path, SHOP))

    assert "MONGODB_ATLAS_PUBLIC_API_KEY" in sentence
    assert "MONGODB_ATLAS_CLIENT_ID" in sentence
