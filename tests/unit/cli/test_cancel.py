"""What `cancel` wants before it asks Atlas: a reason, and the cluster's name."""

import io
import sys
from dataclasses import replace

import pytest
import typer

from bot.cancellation.policy import Policies, Policy
from bot.cli.cancel import CancelCommand, Target
from bot.cli.output import WRONG_USAGE, OutputFormat
from bot.cli.steps import Steps
from bot.services.lookup import JobDetails
from bot.services.projects import Project
from tests.support.clock import FakeClock
from tests.support.domain import POLICY, PROJECT, REF, START, download, restore_job
from tests.support.fake_atlas import FakeAtlas
from tests.support.settings import load


def details(policy: Policy = POLICY) -> JobDetails:
    gateway = FakeAtlas(FakeClock(START))
    shop = Project(id=PROJECT, name="shop", policies=Policies(default=policy), gateway=gateway)
    return JobDetails(project=shop, ref=REF, job=restore_job(), read_at=START, download=download())


def command(reason: str = "a test", *, is_confirmed: bool = False) -> CancelCommand:
    """Return the command with `--without-approval`."""
    target, steps = Target("", REF.cluster_name, REF.job_id), Steps(OutputFormat.TABLE)
    return CancelCommand(load(), target, reason, is_confirmed, alone=True, steps=steps)


def confirm(typed: str, monkeypatch: pytest.MonkeyPatch, *, is_confirmed: bool = False) -> None:
    """Let a person type this where the command asks."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
    command(is_confirmed=is_confirmed)._confirm(details())


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


@pytest.mark.parametrize(
    ("policy", "reason", "is_refused"),
    [
        (POLICY, " ", True),  # acting alone
        (replace(POLICY, approvals=0, require_reason=True), "", True),
        (replace(POLICY, approvals=0), "", False),
        (POLICY, "wrong cluster", False),
    ],
)
def test_reason_is_wanted_by_the_policy_and_where_approvals_are_skipped(
    policy: Policy, reason: str, *, is_refused: bool
) -> None:
    if not is_refused:
        command(reason)._check(details(policy))
        return
    with pytest.raises(typer.Exit) as ended:
        command(reason)._check(details(policy))
    assert ended.value.exit_code == WRONG_USAGE
