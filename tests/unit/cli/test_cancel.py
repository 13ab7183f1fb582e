"""The question of `cancel`: only the cluster's name goes on."""

import io
import sys

import pytest
import typer

from bot.cancellation.policy import Policies
from bot.cli.cancel import CancelCommand, Target
from bot.cli.output import WRONG_USAGE, OutputFormat
from bot.cli.steps import Steps
from bot.services.lookup import JobDetails
from bot.services.projects import Project
from tests.support.clock import FakeClock
from tests.support.domain import POLICY, PROJECT, REF, START, download, restore_job
from tests.support.fake_atlas import FakeAtlas
from tests.support.settings import load


def confirm(typed: str, monkeypatch: pytest.MonkeyPatch, *, is_confirmed: bool = False) -> None:
    """Let a person type this where the command asks."""
    gateway = FakeAtlas(FakeClock(START))
    shop = Project(id=PROJECT, name="shop", policies=Policies(default=POLICY), gateway=gateway)
    job = JobDetails(project=shop, ref=REF, job=restore_job(), read_at=START, download=download())
    target = Target("", REF.cluster_name, REF.job_id)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
    steps = Steps(OutputFormat.TABLE)
    command = CancelCommand(load(), target, "a test", is_confirmed, alone=False, steps=steps)
    command._confirm(job)


@pytest.mark.parametrize("typed", ["prod-eu", " PROD-EU "])
def test_name_of_the_cluster_confirms(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    confirm(typed, monkeypatch)


@pytest.mark.parametrize("typed", ["", "y", "yes", "prod", "prod-us"])
def test_any_other_text_ends_the_command_with_2(
    typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(typer.Exit) as ended:
        confirm(typed, monkeypatch)
    assert ended.value.exit_code == WRONG_USAGE


def test_nothing_is_asked_with_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    confirm("no", monkeypatch, is_confirmed=True)
