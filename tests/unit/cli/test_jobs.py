"""`list`, `show` and `cancel`: arguments, fields, steps and exit codes; no service is called."""

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import typer

from bot.atlas import RestoreJob, reader
from bot.cancellation.events import Event, EventName, chain
from bot.cancellation.job import USUAL_WAIT, Job
from bot.cancellation.lifecycle import DeleteAttempts, Request, State
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from bot.cli.cancel import exit_code
from bot.cli.jobs import Target
from bot.cli.output import OutputFormat, Progress, fields_of, lines_of, sentence_of
from bot.services.jobs import JobDetails
from bot.slack.job_lines import LINK_UNKNOWN
from tests.support.clock import NOON
from tests.support.domain import JOB_ID, PROJECT_ID, a_job, a_request, a_waiting_request, job_ref
from tests.support.environ import NOWHERE
from tests.support.process import invoke

SENT = DeleteAttempts(count=1, accepted=True)


def test_target_has_a_project_where_three_words_are_given() -> None:
    assert Target.parse([" prod-eu", f"{JOB_ID.upper()} "]) == Target(
        project=None, cluster="prod-eu", job_id=JOB_ID
    )
    for words in (["a/shop", "prod-eu", JOB_ID], ["a/shop/prod-eu", JOB_ID]):
        assert Target.parse(words) == Target(project="a/shop", cluster="prod-eu", job_id=JOB_ID)


API = f"https://cloud.mongodb.com/api/atlas/v2/groups/{PROJECT_ID}/clusters/prod-eu/backup"
LINK = f"https://cloud.mongodb.com/v2/{PROJECT_ID}#/clusters/detail/prod-eu"


@pytest.mark.parametrize(
    ("words", "project", "cluster"),
    [
        ([JOB_ID.upper()], None, None),
        ([f"{API}/restoreJobs/{JOB_ID}"], PROJECT_ID, "prod-eu"),
        ([LINK, JOB_ID], PROJECT_ID, "prod-eu"),
    ],
)
def test_target_is_a_job_id_alone_or_a_link(
    words: list[str], project: str | None, cluster: str | None
) -> None:
    assert Target.parse(words) == Target(project=project, cluster=cluster, job_id=JOB_ID)


@pytest.mark.parametrize(
    "words", [[], ["prod-eu"], ["prod-eu", "12"], ["prod-eu", f"{JOB_ID}/"], ["list"], [LINK]]
)
def test_malformed_target_ends_the_command_with_2(words: list[str]) -> None:
    with pytest.raises(typer.Exit) as error:
        Target.parse(words)

    assert error.value.exit_code == 2


def shown(starter: StartedBy, at: datetime = NOON) -> JobDetails:
    known = Job.new(job_ref(), USUAL_WAIT, at).observe(at, None, starter)
    return JobDetails(
        project_name="shop-prod",
        ref=job_ref(),
        job=a_job(),
        known=known,
        open_request=a_request(id="r1"),
        note="Call 7700.",
    )


DANA = StartedBy(StarterStatus.KNOWN, Starter(kind=StarterKind.USER, name="dana@shop.example"))
PROBABLE = replace(
    DANA,
    starter=Starter(
        kind=StarterKind.USER, name="dana@shop.example", certain=False, others=("eve",)
    ),
)
OWN = replace(DANA, starter=Starter(kind=StarterKind.API_KEY, name="abcd", own_key=True))


def test_lines_of_show_and_of_the_prompt_of_cancel_have_the_note() -> None:
    assert lines_of(shown(DANA))[-1] == ("Note", "Call 7700.")


def test_fields_have_the_names_of_the_contract_and_iso_times() -> None:
    assert fields_of(shown(DANA)) == {
        "project": "shop-prod",
        "cluster": "prod-eu",
        "job": JOB_ID,
        "type": "download",
        "snapshot": "2026-11-25T09:00:00+00:00",
        "snapshot_id": a_job().snapshot_id,
        "started": "2026-11-25T12:00:00+00:00",
        "by": "dana@shop.example",
        "by_candidates": ["dana@shop.example"],
        "link_expected": "2026-11-25T12:03:00+00:00",
        "live_since": None,
        "link_unknown": False,
        "state": "in_progress",
        "request": "r1",
        "note": "Call 7700.",
    }


OWN_KEY = "the bot's own key abcd (the key is used outside the bot: tell an admin of the bot)"


@pytest.mark.parametrize(
    ("starter", "by", "words"),
    [
        (DANA, "dana@shop.example", "dana@shop.example"),
        (OWN, "abcd", OWN_KEY),
        (PROBABLE, None, "probably dana@shop.example, or else eve"),
        (StartedBy(StarterStatus.NOT_IN_FEED), None, "not in the activity feed"),
    ],
)
def test_starter_is_named_with_its_certainty_or_it_is_said_why_not(
    starter: StartedBy, by: str | None, words: str
) -> None:
    job = shown(starter)

    assert fields_of(job)["by"] == by
    assert ("By", words) in lines_of(job)


@pytest.mark.parametrize("links", [["https://example.test/x"], []], ids=["live", "used"])
def test_live_or_used_link_has_the_time_since_which_it_was_live(links: list[str]) -> None:
    job = a_job(deliveryUrl=links, expiresAt="2026-11-25T13:00:00Z")
    fields = fields_of(replace(shown(DANA), job=job, known=shown(DANA).known.observe(NOON, job)))

    assert (fields["link_expected"], fields["live_since"]) == (None, "2026-11-25T12:00:00+00:00")
    assert fields["state"] == ("link_live" if links else "link_used")


@pytest.mark.parametrize("kind", ["automated", "pointInTime", "another"])
def test_restore_that_is_no_download_has_no_time_of_a_link(kind: str) -> None:
    restore = replace(shown(DANA), job=a_job(deliveryType=kind))

    assert fields_of(restore)["link_expected"] is None
    assert ("Download link", "") in lines_of(restore)
    assert ("State", "The restore is running.") in lines_of(restore)


SINCE, UNTIL = "2026-11-25 12:03:00 UTC", "2026-11-25T13:03:00Z"


@pytest.mark.parametrize(
    ("job", "text"),
    [
        ({}, f"overdue since {SINCE}: it may come at any moment"),
        (
            {"deliveryUrl": ["https://example.test/x"], "expiresAt": UNTIL},
            f"live since {SINCE}, until 2026-11-25 13:03 UTC: it may have been used",
        ),
        (
            {"expiresAt": UNTIL},
            f"used or withdrawn; it was live since {SINCE}: a copy may have been taken",
        ),
    ],
)
def test_list_and_show_have_the_clock_of_the_link_in_words(job: dict[str, Any], text: str) -> None:
    late, read = shown(DANA, NOON + USUAL_WAIT), a_job(**job)
    details = replace(late, job=read, known=late.known.observe(NOON + USUAL_WAIT, read))

    assert dict(lines_of(details))["Download link"] == text


@pytest.mark.parametrize(
    ("request_", "job", "code"),
    [
        (a_request(state=State.CANCELLED, sent=SENT), a_job(), 0),
        (a_request(state=State.OVER), a_job(cancelled=True), 0),
        (None, a_job(cancelled=True), 0),
        (None, a_job(cancelled=True, failed=True), 1),
        (a_request(state=State.OVER, sent=SENT), a_job(cancelled=True, failed=True), 0),
        (a_request(state=State.OVER), a_job(cancelled=True, failed=True), 1),
        (a_request(state=State.OVER), a_job(expired=True), 1),
        (a_request(state=State.REFUSED), a_job(), 1),
        (None, a_job(deliveryType="automated"), 1),
    ],
)
def test_exit_code_is_0_only_when_atlas_reads_cancelled(
    request_: Request | None, job: RestoreJob, code: int
) -> None:
    assert exit_code(request_, job) == code


def test_steps_are_written_once_with_the_state_after_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import sys  # noqa: PLC0415 - the stream that is captured

    request = replace(a_waiting_request(), state=State.CANCELLED)
    progress = Progress(OutputFormat.JSON, sys.stdout)
    progress.fields = {"job": JOB_ID, "state": "in_progress", "request": None}
    names = (EventName.CREATED, EventName.APPROVED, EventName.CANCEL_SENT, EventName.CANCELLED)
    for number, name in enumerate((*names, *names), 1):
        event = Event(
            name=name,
            request=request.id,
            number=min(number, len(names)),
            at="2026-11-25T12:00:00",
            detail={"try": 1, "link_unknown": name is EventName.CANCELLED},
        )
        progress.step(chain(event, ""), request)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [line["event"] for line in lines] == list(names)
    assert [line["state"] for line in lines] == ["awaiting", "approved", "approved", "cancelled"]
    assert lines[2]["sentence"] == "DELETE sent, try 1."
    assert [line.get("link_unknown") for line in lines] == [None, None, None, True]
    assert LINK_UNKNOWN in lines[3]["sentence"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"status": 204, "code": None}, "Atlas accepted it (204). Waiting until"),
        (
            {"status": 403, "code": "USER_UNAUTHORIZED", "error": "RoleMissing"},
            "Atlas refused it (403 USER_UNAUTHORIZED). Reading the job once more",
        ),
        (
            {"status": 503, "code": None, "error": "Unavailable"},
            "No usable answer (503). Reading the job, which gets another DELETE",
        ),
        (
            {"status": None, "code": None, "error": "TimedOut"},
            "No usable answer (Atlas did not answer in time). Reading the job, which",
        ),
    ],
)
def test_step_says_what_follows_each_kind_of_answer(
    answer: dict[str, object], sentence: str
) -> None:
    fields = {"event": EventName.CANCEL_ANSWERED, **answer}

    assert sentence_of(fields).startswith(sentence)


ORGANIZATION = """[[organizations]]
public_key_env = "MONGODB_ATLAS_PUBLIC_API_KEY"
private_key_env = "MONGODB_ATLAS_PRIVATE_API_KEY"
"""


UNREACHABLE = {
    "MONGODB_ATLAS_PUBLIC_API_KEY": "abcdefgh",
    "MONGODB_ATLAS_PRIVATE_API_KEY": "0" * 8 + "-0000-0000-0000-" + "0" * 12,
    "MONGODB_ATLAS_BASE_URL": NOWHERE,
}


@pytest.mark.parametrize(
    "call", [("list",), ("show", "prod-eu", JOB_ID), ("cancel", "prod-eu", JOB_ID, "--yes")]
)
@pytest.mark.parametrize("by", ["BOT_PROJECTS_FILE", "MONGODB_ATLAS_PROJECT_ID"])
async def test_sentence_about_an_unreachable_atlas_names_its_address(
    call: tuple[str, ...], by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file := tmp_path / "projects.toml").write_text(ORGANIZATION)
    named = {"BOT_PROJECTS_FILE": str(file), "MONGODB_ATLAS_PROJECT_ID": job_ref().project_id}
    for backoff in ("FIRST_BACKOFF", "LONGEST_BACKOFF"):  # so long that reads are tried once
        monkeypatch.setattr(reader, backoff, 1000.0)
    ran = await invoke(
        *call, **UNREACHABLE, **{by: named[by]}, DATABASE_URL=f"sqlite:///{tmp_path / 'bot.db'}"
    )

    assert (ran.code, ran.out) == (1, "")
    assert "Atlas could not be reached: check the address" in ran.err
    assert ran.err.endswith(f"Atlas's address is {NOWHERE} (MONGODB_ATLAS_BASE_URL).\n")


async def test_project_is_not_called_absent_while_names_in_atlas_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "FIRST_BACKOFF", 1000.0)
    ran = await invoke(
        "show", "lab", "prod-eu", JOB_ID, MONGODB_ATLAS_PROJECT_ID=PROJECT_ID, **UNREACHABLE
    )

    assert (ran.code, ran.out) == (1, "")
    assert "Project 'lab' is not among those that could be read" in ran.err


@pytest.mark.parametrize("command", ["list", "show", "cancel", "doctor"])
async def test_help_has_a_line_for_each_example(command: str) -> None:
    ran = await invoke(command, "--help", COLUMNS="60")

    _, _, after = ran.out.partition("Examples:\n")
    examples = [line.strip() for line in after.partition("\n\n")[0].splitlines()]
    assert len(examples) > 1
    assert all(each.startswith(f"cancel-restore {command}") for each in examples)
    assert "\\b" not in ran.out
    assert "\b" not in ran.out
