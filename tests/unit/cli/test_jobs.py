"""`list`, `show` and `cancel`: arguments, fields, steps and exit codes; no service is called."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import typer

from bot.cancellation.events import Event, EventName, chain
from bot.cancellation.job_facts import JobFacts
from bot.cancellation.lifecycle import DeleteAttempts, State
from bot.cancellation.policy import Policy
from bot.cancellation.starter import Knowledge, StartedBy, Starter, StarterKind
from bot.cli.cancel import exit_code
from bot.cli.jobs import Target, job_fields
from bot.cli.output import Format
from bot.cli.progress import Progress
from bot.services.projects import Project
from tests.support.domain import JOB_ID, PROJECT_ID, a_job, a_request, a_waiting_request, job_ref
from tests.support.fake_atlas import FakeAtlas
from tests.support.process import invoke

if TYPE_CHECKING:
    from bot.atlas import RestoreJob
    from bot.cancellation.lifecycle import Request

SHOP = Project(id=PROJECT_ID, name="shop-prod", policy=Policy(), atlas=FakeAtlas({}))
SENT = DeleteAttempts(count=1, accepted=True)


def test_target_has_a_project_where_three_words_are_given() -> None:
    assert Target.parse(["prod-eu", JOB_ID.upper()]) == Target(
        project=None, cluster="prod-eu", job_id=JOB_ID
    )
    assert Target.parse(["shop-prod", "prod-eu", JOB_ID]).project == "shop-prod"


@pytest.mark.parametrize("words", [[], ["prod-eu"], ["prod-eu", "12"], ["no/slash", JOB_ID]])
def test_malformed_target_ends_the_command_with_2(words: list[str]) -> None:
    with pytest.raises(typer.Exit) as error:
        Target.parse(words)

    assert error.value.exit_code == 2


def test_fields_have_the_names_of_the_contract_and_iso_times() -> None:
    request = a_request()
    starter = Starter(kind=StarterKind.USER, name="dana@shop.example")
    facts = replace(
        JobFacts.new(job_ref(), timedelta(minutes=3), job_ref().started_at),
        started_by=StartedBy(Knowledge.KNOWN, starter),
    )

    assert job_fields(SHOP, job_ref(), a_job(), request, facts) == {
        "project": "shop-prod",
        "cluster": "prod-eu",
        "job": JOB_ID,
        "type": "download",
        "snapshot": "2026-11-25T09:00:00+00:00",
        "started": "2018-08-01T22:08:48+00:00",
        "by": "dana@shop.example",
        "link_expected": "2018-08-01T22:11:48+00:00",
        "state": "in_progress",
        "request": request.id,
    }


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
    progress = Progress(Format.JSON, sys.stdout)
    progress.fields = {"job": JOB_ID, "state": "in_progress", "request": None}
    names = (EventName.CREATED, EventName.APPROVED, EventName.CANCEL_SENT, EventName.CANCELLED)
    for number, name in enumerate((*names, *names), 1):
        event = Event(name=name, request=request.id, at="2026-11-25T12:00:00", detail={"try": 1})
        progress.step(chain(event, min(number, len(names)), ""), request)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [line["event"] for line in lines] == list(names)
    assert [line["state"] for line in lines] == ["awaiting", "approved", "approved", "cancelled"]
    assert lines[2]["sentence"] == "DELETE sent, try 1."


async def test_cancel_without_terminal_and_yes_ends_with_2() -> None:
    ran = await invoke("cancel", "prod-eu", JOB_ID)

    assert (ran.code, ran.out) == (2, "")
    assert "--yes" in ran.err


@pytest.mark.parametrize("command", ["list", "show", "cancel"])
async def test_help_has_examples(command: str) -> None:
    ran = await invoke(command, "--help")

    assert f"cancel-restore {command} " in ran.out
