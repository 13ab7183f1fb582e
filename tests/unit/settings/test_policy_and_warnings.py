"""Policies that make approvals impossible, and risky settings."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.atlas import ApiVersion
from bot.cancellation.people import EVERYONE, People
from bot.cancellation.policy import ClusterPolicy, Policies, Policy
from bot.settings import Settings, load_settings, warnings
from bot.settings.load import SettingsError, env_file_refusal, read_env_file
from bot.settings.policy import approval_problems
from tests.support.settings import ENOUGH


def people(*ids: str) -> People:
    return People(
        users=frozenset(i for i in ids if i[0] == "U"),
        groups=frozenset(i for i in ids if i[0] == "S"),
        everyone="*" in ids,
    )


def sentences(policy: Policy) -> list[str]:
    return list(approval_problems(policy, str.upper))


@pytest.mark.parametrize(
    ("requesters", "approvals", "approvers"),
    [("*", 1, "U1"), ("U1", 5, "S1"), ("S1", 1, "U1"), ("U1", 5, "*")],
)
def test_policy_that_allows_an_approval_is_valid(
    requesters: str, approvals: int, approvers: str
) -> None:
    policy = Policy(requesters=people(requesters), approvals=approvals, approvers=people(approvers))

    assert sentences(policy) == []


@pytest.mark.parametrize(
    ("requesters", "approvals", "self_approval", "problem"),
    [
        ("U9", 3, True, "APPROVALS is 3, but APPROVERS names too few people: "),
        ("U1,U2", 2, False, "APPROVALS is 2, but APPROVERS names too few people beside the req"),
    ],
)
def test_policy_that_allows_no_approval_is_a_problem(
    requesters: str, approvals: int, self_approval: bool, problem: str
) -> None:
    policy = Policy(
        requesters=people(*requesters.split(",")),
        approvals=approvals,
        approvers=people("U1", "U2"),
        self_approval=self_approval,
    )

    (sentence,) = sentences(policy)
    assert sentence.startswith(problem)
    assert ("SELF_APPROVAL" in sentence) is not self_approval


CAREFUL = ENOUGH | {"BOT_REQUESTERS": "S1", "BOT_APPROVALS": "1"}


@pytest.fixture
def careful(tmp_path: Path) -> Settings:
    return load_settings(CAREFUL, tmp_path)


def with_policy(settings: Settings, policy: Policy, watch_channel: str | None = None) -> Settings:
    policies = Policies(replace(policy, watch_channel=watch_channel))
    project = settings.projects[0].model_copy(update={"policies": policies})
    return settings.model_copy(update={"projects": (project,)})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("BOT_APPROVAL", "BOT_APPROVALS"),
        ("SLACK_APP_TOKN", "SLACK_APP_TOKEN"),
        ("SLACK_API_URI", "SLACK_API_URL"),
        ("SLACK_SINGING_SECRET", "SLACK_SIGNING_SECRET"),
        ("MONGODB_ATLAS_CLIENTID", "MONGODB_ATLAS_CLIENT_ID"),
        ("MONGODB_ATLAS_ENVELOPES", "MONGODB_ATLAS_ENVELOPE"),
        ("MONGODB_ALTAS_PROJECT_ID", "MONGODB_ATLAS_PROJECT_ID"),
    ],
)
def test_mistyped_variable_is_reported_with_the_nearest_name(
    tmp_path: Path, typed: str, meant: str
) -> None:
    settings = load_settings(CAREFUL | {typed: "x"}, tmp_path)

    assert warnings(settings) == [
        f"{typed} (did you mean {meant}?) is not a setting of the bot and has no effect."
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("MONGODB_URI", "MONGODB_DATABASE", "MONGODB_ATLAS_ORG_ID"),
        *("MONGODB_ATLAS_PUBLIC_KEY", "MONGODB_ATLAS_PRIVATE_KEY"),  # of Atlas's older tools
        *("SLACK_WORKSPACE", "SLACK_CHANNEL", "SLACK_TOKEN", "SLACK_USER_TOKEN", "SLACK_API_TOKEN"),
        *("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_WEBHOOK_URL"),
    ],
)
def test_variable_of_another_program_has_no_warning(tmp_path: Path, name: str) -> None:
    assert warnings(load_settings(CAREFUL | {name: "x"}, tmp_path)) == []


def test_mistyped_variable_is_named_beside_what_it_leaves_unset(tmp_path: Path) -> None:
    typed = CAREFUL | {"MONGODB_ATLAS_PROJECT_ID": "", "BOT_PROJECT_FILE": "projects.toml"}
    with pytest.raises(SettingsError) as raised:
        load_settings(typed, tmp_path)

    assert "BOT_PROJECT_FILE (did you mean BOT_PROJECTS_FILE?)" in str(raised.value)


NONE_NEEDED = "no approvals are needed: each requester cancels alone (BOT_APPROVALS)."
SAFE = Policy(requesters=people("S1"), approvals=1, approvers=people("S2"))
ALL_APPROVE = "every full member of the workspace may approve (BOT_APPROVERS)."


@pytest.mark.parametrize(
    ("policy", "sentences"),
    [
        (Policy(requesters=people("S1"), approvers=people("S1")), [NONE_NEEDED]),
        (
            Policy(approvals=1),
            ["every full member of the workspace may ask (BOT_REQUESTERS).", ALL_APPROVE],
        ),
        (
            Policy(requesters=people("S1"), approvals=1, approvers=EVERYONE, self_approval=True),
            [ALL_APPROVE, "the requester's own approval is enough (BOT_SELF_APPROVAL)."],
        ),
        (
            Policy(requesters=people("S1"), approvers=people("S2")),
            [NONE_NEEDED, "approvers are named, but no approvals are needed (BOT_APPROVALS)."],
        ),
        (
            replace(SAFE, remind_after=(timedelta(minutes=1), timedelta(minutes=30))),
            ["a request expires before its last reminder (BOT_APPROVAL_TTL, BOT_REMIND_AFTER)."],
        ),
        (
            replace(SAFE, watch_restores=True),
            ["restores into other projects are not announced: set a channel (BOT_WATCH_CHANNEL)."],
        ),
        (replace(SAFE, remind_after=(timedelta(minutes=29),)), []),
        (replace(SAFE, approval_ttl=timedelta(seconds=60)), []),  # with the default reminders
    ],
)
def test_risky_policy_is_warned_about_with_its_project(
    careful: Settings, policy: Policy, sentences: list[str]
) -> None:
    assert warnings(with_policy(careful, policy)) == [
        f"Project 5b6212af90dc76637950a2c6: {sentence}" for sentence in sentences
    ]


@pytest.mark.parametrize(
    ("channels", "warned"), [(set(), False), ({"C1", "C9"}, False), ({"C1"}, True)]
)
def test_watch_channel_without_working_buttons_is_warned_about(
    careful: Settings, channels: set[str], warned: bool
) -> None:
    default = careful.projects[0].policies.default
    policy = replace(default, channels=frozenset(channels), watch_restores=True)
    sentences = warnings(with_policy(careful, policy, "C9"))

    assert any("(BOT_WATCH_CHANNEL)" in sentence for sentence in sentences) is warned


@pytest.mark.parametrize(
    ("given", "warned"),
    [({"BOT_ASK_STARTER": "true"}, True), ({}, False), ({"BOT_ASK_STARTER": "false"}, False)],
)
def test_question_to_starters_that_is_switched_on_without_announcements_is_warned_about(
    tmp_path: Path, given: dict[str, str], *, warned: bool
) -> None:
    settings = load_settings(CAREFUL | {"BOT_WATCH_CHANNEL": "none"} | given, tmp_path)

    assert any("no starter is asked" in sentence for sentence in warnings(settings)) is warned


@pytest.mark.parametrize(("channel", "warned"), [("C9", False), (None, True)])
def test_read_only_project_is_warned_about_without_a_watch_channel_only(
    careful: Settings, channel: str | None, *, warned: bool
) -> None:
    policy = Policy(requesters=EVERYONE, read_only=True)
    sentences = warnings(with_policy(careful, policy, channel))

    assert [sentence.endswith("(BOT_WATCH_CHANNEL).") for sentence in sentences] == [True] * warned


def test_watch_of_one_cluster_is_enough_for_its_project(careful: Settings) -> None:
    for policy in (replace(SAFE, watch_restores=True), Policy(read_only=True)):
        cluster = ClusterPolicy(names=("prod-eu",), policy=replace(policy, watch_channel="C9"))
        policies = Policies(policy, (cluster,))
        project = careful.projects[0].model_copy(update={"policies": policies})

        assert warnings(careful.model_copy(update={"projects": (project,)})) == []


SERVERS = pytest.mark.parametrize("name", ["SLACK_API_URL", "MONGODB_ATLAS_BASE_URL"])


@SERVERS
@pytest.mark.parametrize("host", ["atlas.example", "10.0.0.1:8080", "127.0.0.1.example"])
def test_plain_http_to_another_machine_is_refused(tmp_path: Path, name: str, host: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(CAREFUL | {name: f"http://{host}"}, tmp_path)

    assert caught.value.problems == (
        f"{name} must begin with https://: plain http is allowed to this machine only",
    )


@SERVERS
@pytest.mark.parametrize(
    "url", ["https://atlas.example", "http://127.0.0.1:9", "http://[::1]:9", "http://localhost:9"]
)
def test_https_and_plain_http_to_this_machine_are_accepted(
    tmp_path: Path, name: str, url: str
) -> None:
    assert warnings(load_settings(CAREFUL | {name: url}, tmp_path)) == []


@pytest.mark.parametrize(("version", "warned"), [("v1.0", True), ("v2", False)])
def test_api_version_whose_list_of_clusters_may_end_is_warned_about(
    careful: Settings, version: str, *, warned: bool
) -> None:
    atlas = careful.atlas.model_copy(update={"api_version": ApiVersion(version)})
    found = warnings(careful.model_copy(update={"atlas": atlas}))

    assert ["2027-07-01" in sentence for sentence in found] == [True] * warned


@pytest.mark.parametrize(
    ("secret", "transport", "odd"),
    [
        ("8f742231b10e8888abcd99e0f3aa85a5", {"SLACK_APP_TOKEN": ""}, False),
        ("8f742231b10e8888", {"SLACK_APP_TOKEN": ""}, True),
        ("8f742231b10e8888", {}, False),  # unused in Socket Mode
    ],
)
def test_unusual_signing_secret_is_warned_about_in_http_mode(
    tmp_path: Path, secret: str, transport: dict[str, str], *, odd: bool
) -> None:
    settings = load_settings(CAREFUL | {"SLACK_SIGNING_SECRET": secret} | transport, tmp_path)

    assert [sentences.partition(":")[0] for sentences in warnings(settings)] == [
        "SLACK_SIGNING_SECRET does not have the 32 hexadecimal digits of Slack's signing secrets"
    ] * odd
    assert not any(secret in sentences for sentences in warnings(settings))


@pytest.mark.parametrize(
    ("mode", "open_to_others"), [(0o600, False), (0o400, False), (0o640, True), (0o620, True)]
)
def test_env_file_that_others_may_read_or_its_group_may_write_is_a_risk(
    tmp_path: Path, mode: int, *, open_to_others: bool
) -> None:
    file = tmp_path / ".env"
    file.touch()
    file.chmod(mode)
    found = warnings(load_settings(CAREFUL, tmp_path))

    assert found == (
        [f"{file} is open to other accounts of this machine: run chmod 600 {file}."]
        if open_to_others
        else []
    )


def test_env_file_that_every_account_may_write_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("SLACK_API_URL=https://thief.example/\nPORT=of-no-number\n")
    file.chmod(0o602)

    with pytest.raises(SettingsError) as caught:
        load_settings(CAREFUL, tmp_path)
    assert str(caught.value) == (
        f"{file} can be written by every account and is not read: check what is in it, and run "
        f"chmod 600 {file}"
    )


def test_env_file_of_another_account_is_not_read_and_one_of_this_or_root_is(
    tmp_path: Path,
) -> None:
    file = tmp_path / "the .env"
    file.write_text("PORT=1")
    if os.geteuid() == 0:
        os.chown(file, 12345, -1)
    owner = file.stat().st_uid

    with pytest.raises(SettingsError) as caught:
        read_env_file(file, owner + 1, [])
    assert str(caught.value) == (
        f"{file} belongs to another account and is not read: check what is in it, and run "
        f"chown {owner + 1} '{file}'"
    )
    assert read_env_file(file, owner, []) == {"PORT": "1"}
    if os.geteuid() == 0:
        os.chown(file, 0, -1)
        assert read_env_file(file, 12345, []) == {"PORT": "1"}


def test_link_in_the_place_of_the_env_file_and_its_target_belong_to_this_account_or_root(
    tmp_path: Path,
) -> None:
    target, link = tmp_path / "target", tmp_path / ".env"
    target.write_text("PORT=1")
    link.symlink_to(target)
    of_link, of_target = link.lstat(), target.stat()
    mine = of_target.st_uid

    def of_another(status: os.stat_result) -> os.stat_result:
        return os.stat_result((*status[:4], mine + 1, *status[5:]))

    assert read_env_file(link, mine, []) == {"PORT": "1"}
    assert env_file_refusal(link, of_another(of_link), of_target, mine) == (
        f"{link} is a link that belongs to another account and is not read: check what is in it, "
        f"and run chown -h {mine} {link}"
    )
    assert env_file_refusal(link, of_link, of_another(of_target), mine) == (
        f"{link} links to {target}, which belongs to another account and is not read: check what "
        f"is in it, and run chown {mine} {link}"
    )
