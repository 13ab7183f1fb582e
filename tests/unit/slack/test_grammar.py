"""What may be typed after the command: each form of the contract, and an answer to all else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.atlas import is_cluster_name, is_object_id
from bot.slack.grammar import (
    JOB_FORM,
    MAX_LENGTH,
    Command,
    Help,
    Invalid,
    ShowJob,
    ShowList,
    parse,
)

JOB = "5b622f7087d9d6039fafe03f"
PROJECT = "5b6212af90dc76637950a2c6"
API = f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT}/clusters/prod-eu"
PAGE = f"https://cloud.mongodb.com/v2/{PROJECT}#/clusters"


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("", ShowList()),
        ("   ", ShowList()),
        ("list", ShowList()),
        ("LIST", ShowList()),
        ("prod-eu", ShowList("prod-eu")),
        ("list prod-eu", ShowList("prod-eu")),
        ("list list", ShowList("list")),  # a cluster of this name
        (JOB, ShowJob(JOB)),
        (f"prod-eu {JOB}", ShowJob(JOB, "prod-eu")),
        (f"shop prod-eu {JOB}", ShowJob(JOB, "prod-eu", "shop")),
        (f"{PROJECT} prod-eu {JOB}", ShowJob(JOB, "prod-eu", PROJECT)),
        (f"My Shop prod-eu {JOB}", ShowJob(JOB, "prod-eu", "My Shop")),
        ("list help", ShowList("help")),
        ("list cancel", ShowList("cancel")),
        (f"list {JOB}", ShowJob(JOB)),
        ("help", Help()),
        ("HELP", Help()),
        ("?", Help()),
    ],
)
def test_form_of_the_contract_is_what_it_asks_for(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    "text",
    [
        f"prod-eu   {JOB.upper()}",
        f"prod–eu {JOB}",
        f"‘prod-eu’ “{JOB}”",
        f"`prod-eu` `{JOB}`",
        f"prod-eu\u00a0{JOB}\u200b",
        f"prod-eu\n{JOB}",
        f"<@U0RINA|prod-eu> {JOB}",
    ],
)
def test_what_phones_and_slack_make_of_the_text_changes_nothing(text: str) -> None:
    assert parse(text) == ShowJob(JOB, "prod-eu")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        (f"{API}/backup/restoreJobs/{JOB}", ShowJob(JOB, "prod-eu", PROJECT)),
        (f"<{API}/backup/restoreJobs/{JOB}?pretty=true>", ShowJob(JOB, "prod-eu", PROJECT)),
        (f"{PAGE}/detail/prod-eu {JOB}", ShowJob(JOB, "prod-eu", PROJECT)),
        (f"{JOB} <{PAGE}/detail/prod-eu|Atlas>", ShowJob(JOB, "prod-eu", PROJECT)),
        (f"{PAGE}/detail/prod-eu", ShowList("prod-eu")),
        (API, ShowList("prod-eu")),
        *(  # clusters that are named like a page of Atlas
            (f"{PAGE}/detail/{name} {JOB}", ShowJob(JOB, name, PROJECT))
            for name in ("backup", "edit", "connect")
        ),
        (f"{API[:-7]}backup/backup/restoreJobs/{JOB}", ShowJob(JOB, "backup", PROJECT)),
        (f"{PAGE}/connect?clusterId=prod-eu {JOB}", ShowJob(JOB)),
        (f"cancel {PAGE}/detail/prod-eu", ShowList("prod-eu")),
    ],
)
def test_link_is_the_job_or_the_cluster_that_it_names(text: str, command: Command) -> None:
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "problem", "example"),
    [
        ("prod_eu", "is not a cluster's name", "prod-eu"),
        (f"prod_eu {JOB}", "is not a cluster's name", f"prod-eu {JOB}"),
        (f"{JOB} prod-eu", "The job's id comes last", f"prod-eu {JOB}"),
        (f"prod-eu {JOB[:-1]}", "it has 23 characters, not 24", None),
        (f"prod-eu {JOB}0", "it has 25 characters, not 24", None),
        ("prod-eu now", "after a cluster comes a job's id", None),
        ("cancel prod-eu now", "after a cluster comes a job's id", None),
        ("https://example.com/", "names no download", None),
        ("https://[/", "cannot be read", None),
        ("a" * (MAX_LENGTH + 1), "3001 characters long", None),
    ],
)
def test_any_other_text_is_answered_with_the_problem_and_an_example(
    text: str, problem: str, example: str | None
) -> None:
    answer = parse(text)

    assert isinstance(answer, Invalid)
    assert problem in answer.problem
    assert example is None or answer.example == example
    assert not isinstance(parse(answer.example), Invalid)


@pytest.mark.parametrize(
    ("text", "cluster", "hint", "form"),
    [
        ("cancel", None, "Leave “cancel” out", JOB_FORM),
        ("stop prod-eu", "prod-eu", "Leave “stop” out", JOB_FORM),
        ("lsit", "lsit", "Did you mean “list”?", "list"),  # or a cluster of this name
        ("hlep", "hlep", "Did you mean “help”?", "help"),
    ],
)
def test_verb_or_slip_lists_downloads_with_a_hint(
    text: str, cluster: str | None, hint: str, form: str
) -> None:
    command = parse(text)

    assert isinstance(command, ShowList)
    assert command.cluster == cluster
    assert command.hint
    assert command.hint.problem.startswith(hint)
    assert command.hint.form == form


@pytest.mark.parametrize("words", ["", "prod-eu ", "shop prod-eu "])
def test_verb_before_a_job_changes_nothing(words: str) -> None:
    assert parse(f"cancel {words}{JOB}") == parse(f"{words}{JOB}")


@given(
    st.text(max_size=80)
    | st.lists(st.sampled_from(["<", ">", "|", "&lt;", "list", "prod-eu", JOB, API, " "])).map(
        "".join
    )
)
def test_any_text_is_a_valid_command_or_a_short_answer(text: str) -> None:
    match parse(text):
        case ShowJob(job_id=job_id, cluster=cluster):
            assert is_object_id(job_id)
            assert cluster is None or is_cluster_name(cluster)
        case ShowList(cluster=cluster):
            assert cluster is None or is_cluster_name(cluster)
        case Invalid(problem=problem, example=example):
            assert 0 < len(problem) < 300
            assert 0 < len(example) < 100
