"""How many people must be able to approve."""

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from bot.atlas import DigestKey
from bot.cancellation.policy import ClusterRule, Policies, Policy
from bot.doctor.people import approvals_of, check_count
from bot.doctor.results import Level, Result
from bot.settings import ProjectSettings

PROJECT = ProjectSettings(
    id="5b6212af90dc76637950a2c6",
    name="shop-prod",
    credentials=DigestKey("k", SecretStr("s")),
    policies=Policies(),
)
AUTO_CANCEL = Policy(auto_cancel_after=timedelta(seconds=60))


@pytest.mark.parametrize(
    ("policies", "needed"),
    [
        (Policies(), 0),
        (Policies(default=Policy(approvals=2)), 2),
        (Policies(clusters=(ClusterRule(names=("prod-*",), approvals=3),)), 3),
        (Policies(default=AUTO_CANCEL), 1),
    ],
)
def test_highest_number_of_approvals_counts_and_auto_cancel_needs_one_who_lets_run(
    policies: Policies, needed: int
) -> None:
    assert approvals_of(replace(PROJECT, policies=policies)) == needed


@pytest.mark.parametrize(
    ("needed", "able", "level"),
    [
        (1, 0, Level.PROBLEM),
        (2, 1, Level.PROBLEM),
        (2, 2, Level.WARNING),
        (2, 3, Level.OK),
    ],
)
def test_too_few_approvers_are_a_problem_and_just_enough_a_warning(
    needed: int, able: int, level: Level
) -> None:
    assert check_count(Result("it", "it"), needed, able).level is level
