"""Parsing of the text of /cancel-restore."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.grammar import (
    Command,
    Decide,
    Help,
    InvalidCommand,
    OpenDialog,
    ShowHistory,
    ShowList,
    closest_keyword,
    parse,
)

REQUEST = "8f14e45fceea167a5a36dedd4bea2543"
JOB = "5b622f9287d9d6039aa3fd87"
PROJECT = "5b6212af90dc76637950a2c6"
EU = OpenDialog(None, "prod-eu", JOB)
PATH = f"groups/{PROJECT}/clusters/prod-eu/backup/restoreJobs/{JOB}"
WHOLE = OpenDialog(PROJECT, "prod-eu", JOB)
OTHER_LINK = InvalidCommand("That link names no project, cluster or job of Atlas.")


@pytest.mark.parametrize(
    ("typed", "meaning"),
    [
        ("", OpenDialog()),
        ("   ", OpenDialog()),
        (f"prod-eu {JOB}", EU),
        (f"  prod-eu   {JOB}  ", EU),
        (f"prod-eu {JOB.upper()}", EU),
        (f"shop prod-eu {JOB}", OpenDialog("shop", "prod-eu", JOB)),
        (f"shop/prod-eu {JOB}", OpenDialog("shop", "prod-eu", JOB)),
        (f"{PROJECT} prod-eu {JOB}", WHOLE),
        (f"{PROJECT}/prod-eu {JOB}", WHOLE),
        (f"Shop Prod prod-eu {JOB}", OpenDialog("Shop Prod", "prod-eu", JOB)),
        (f'"Shop Prod"/prod-eu {JOB}', OpenDialog("Shop Prod", "prod-eu", JOB)),
        (JOB, OpenDialog(job_id=JOB)),
        ("prod-eu", OpenDialog(None, "prod-eu")),
        ("shop/prod-eu", OpenDialog("shop", "prod-eu")),
        ("list", ShowList()),
        ("List prod-eu", ShowList("prod-eu")),
        ("history", ShowHistory(10)),
        ("history 3", ShowHistory(3)),
        (
            "history 100000",
            InvalidCommand("“100000” is not a number of requests from 1 to 50.", "history 10"),
        ),
        ("history 51", ShowHistory(50)),
        (f"approve {REQUEST}", Decide("approve", REQUEST)),
        (f"Deny {REQUEST.upper()} it’s needed", Decide("deny", REQUEST, "it's needed")),
        (f"deny {REQUEST}", Decide("deny", REQUEST)),
        (f"withdraw {REQUEST}", Decide("withdraw", REQUEST)),
        (f"keep {REQUEST} for the audit", Decide("keep", REQUEST, "for the audit")),
        (f"Cancel {REQUEST.upper()}", Decide("cancel", REQUEST)),
        ("help", Help()),
        ("HELP me please", Help()),
        ("?", Help()),
    ],
)
def test_form_is_parsed_into_its_command(typed: str, meaning: Command) -> None:
    assert parse(typed) == meaning


@pytest.mark.parametrize(
    ("address", "meaning"),
    [
        (f"https://cloud.mongodb.com/api/atlas/v2/{PATH}", WHOLE),
        (f"https://cloud.mongodb.com/api/atlas/v1.0/{PATH}?pretty=true", WHOLE),
        (f"http://127.0.0.1:8080/api/atlas/v1.0/{PATH}/", WHOLE),
        (f"<https://cloud.mongodbgov.com/api/atlas/v2/{PATH}|the job>", WHOLE),
        (f"“https://cloud.mongodb.com/api/atlas/v2/{PATH}”", WHOLE),
        (f"<https://cloud.mongodb.com/api/atlas/v1.0/{PATH}?a=b&amp;envelope=true>", WHOLE),
        (f"https://cloud.mongodb.com/v2/{PROJECT}#/clusters/detail/prod-eu {JOB}", WHOLE),
        (f"https://cloud.mongodb.com/v2/{PROJECT}#clusters/backup/prod-eu {JOB}", WHOLE),
        (
            f"https://cloud.mongodb.com/v2/{PROJECT}#/clusters/detail/prod-eu",
            OpenDialog(PROJECT, "prod-eu"),
        ),
        (f"https://cloud.mongodb.com/v2/{PROJECT}#/clusters", OpenDialog(PROJECT)),
        (f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT}/clusters", OpenDialog(PROJECT)),
        ("https://example.com/", OTHER_LINK),
        ("https://[", OTHER_LINK),
    ],
)
def test_url_is_parsed_into_the_command_for_its_parts(address: str, meaning: Command) -> None:
    assert parse(address) == meaning


@pytest.mark.parametrize(
    "typed",
    [
        f"“prod-eu” ‘{JOB}’",
        f"`prod-eu {JOB}`",
        f"prod-eu\u00a0\u00a0{JOB}",
        f"prod\u200b-eu {JOB}\ufeff",
        f"prod–eu {JOB}",
        f"prod-eu\n{JOB}\x00",
        f"prod-eu\t\n{JOB}",
        f"\u202eprod-eu {JOB}",
        f"<#C1|prod-eu> {JOB}",
        f"<@U1|prod-eu> {JOB}",
    ],
)
def test_typographic_characters_and_slack_markup_are_normalised(typed: str) -> None:
    assert parse(typed) == EU


@pytest.mark.parametrize(
    ("typed", "problem", "suggestion"),
    [
        (f"{JOB} prod-eu", "comes last", f"prod-eu {JOB}"),
        (f"shop prod-eu {JOB} by mistake", "Leave out what follows", f"shop prod-eu {JOB}"),
        (f"prod_eu {JOB}", "not a cluster's name", f"prod-eu {JOB}"),
        (f"prod%20eu {JOB}", "not a cluster's name", f"prod-20eu {JOB}"),
        (f"prod?eu {JOB}", "not a cluster's name", f"prod-eu {JOB}"),
        (f"my prod_eu {JOB}", "not a cluster's name", f"prod-eu {JOB}"),
        (f"prod-eu/ {JOB}", "The cluster's name is missing.", None),
        (f".. {JOB}", "not a cluster's name", None),
        (f"a/../b/.. {JOB}", "not a cluster's name", None),
        (f"prod-eu {JOB[:-1]}", "it has 23 characters", None),
        (f"prod-eu {JOB}0", "it has 25 characters", None),
        (f"prod-eu {JOB[:-1]}g", "names no download", None),
        ("\x00\x07\x1b[31m", "not a cluster's name", None),
        ("x " * 1500, "names no download", None),
        ("prod-eu 42", "names no download", None),
        ("lst prod", "names no download", "list"),
        ("list a b", "too much after", "list"),
        ("history many", "not a number", "history 10"),
        ("history -1", "not a number", "history 10"),
        ("history 0", "not a number", "history 10"),
        ("list a_b", "not a cluster's name", None),
        ("héllo", "not a cluster's name", None),
        (f"cancel prod-eu {JOB}", "Leave “cancel” out", f"prod-eu {JOB}"),
        (f"Stop {JOB}", "Leave “Stop” out", JOB),
        ("cancel prod-eu", "Leave “cancel” out", "prod-eu"),
        (f"cancel {JOB}", "Leave “cancel” out", JOB),
        (f"/cancel-restore prod-eu {JOB}", "Leave “/cancel-restore” out", f"prod-eu {JOB}"),
        ("x" * 3001, "3001 characters long", None),
    ],
)
def test_invalid_text_gives_the_problem_and_a_suggestion(
    typed: str, problem: str, suggestion: str | None
) -> None:
    answer = parse(typed)

    assert isinstance(answer, InvalidCommand)
    assert problem in answer.problem
    assert answer.suggestion == suggestion


def test_misspelled_keyword_is_found() -> None:
    assert closest_keyword("hepl") == "help"
    assert closest_keyword("prod-eu") is None


ANYTHING = st.one_of(
    st.text(max_size=3100),
    st.lists(
        st.sampled_from(
            [JOB, PROJECT, "prod-eu", "list", "history", "help", "/", "<", "https://[x", "|", ">",
             "“", "groups", "https://a/clusters/%2e%2e/restoreJobs/", "#", "0" * 23, "\u0000"]
        ),
        max_size=6,
    ).map(" ".join),
)  # fmt: skip


@given(ANYTHING)
def test_parse_never_raises(typed: str) -> None:
    answer = parse(typed)

    if isinstance(answer, InvalidCommand):
        assert answer.problem
        assert len(answer.problem) < 400


@given(ANYTHING)
def test_parsed_job_has_valid_names(typed: str) -> None:
    answer = parse(typed)

    if isinstance(answer, OpenDialog) and answer.cluster and answer.job_id:
        assert len(answer.job_id) == 24
        assert set(answer.job_id) <= set("0123456789abcdef")
        assert "/" not in answer.cluster
        assert "." not in answer.cluster


@pytest.mark.parametrize(
    ("typed", "problem", "example"),
    [
        ("approve", "The id is missing", "approve REQUEST"),
        ("cancel", "The id is missing", "cancel REQUEST"),
        (f"deny {JOB}", f"“{JOB}” is not a request's id", "deny REQUEST REASON"),
        (f"cancel {REQUEST[:-1]}", f"“{REQUEST[:-1]}” is not a request's id", "cancel REQUEST"),
        (f"withdraw {REQUEST} now", "too much after the id", f"withdraw {REQUEST}"),
        (f"cancel {REQUEST} now", "too much after the id", f"cancel {REQUEST}"),
        (f"cancle {REQUEST}", "in quarantine keep or cancel", f"cancel {REQUEST}"),
        (f"aprove {REQUEST}", "put approve, deny or withdraw before it", f"approve {REQUEST}"),
        (f"refuse {REQUEST}", "put approve, deny or withdraw before it", f"approve {REQUEST}"),
        (REQUEST, "put approve, deny or withdraw before it", f"approve {REQUEST}"),
    ],
)
def test_incomplete_decision_is_explained(typed: str, problem: str, example: str) -> None:
    answer = parse(typed)

    assert isinstance(answer, InvalidCommand)
    assert problem in answer.problem
    assert answer.example == example
