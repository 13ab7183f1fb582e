"""A short fuzzing run; `python -m tests.tools.campaign fuzz` is the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tools.campaign.fuzz_play import Part, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as opened:
        yield opened


@pytest.fixture(scope="module")
def over_http(stage: Stage) -> list[Part]:
    return stage.bot(http=True)


@pytest.fixture(scope="module")
def by_socket(stage: Stage) -> list[Part]:
    return stage.bot(http=False)


@pytest.mark.parametrize(("part", "examples"), [(0, 60), (1, 150), (2, 80)])
def test_whatever_slack_posts_is_answered_in_time_without_a_traceback(
    stage: Stage, over_http: list[Part], part: int, examples: int
) -> None:
    stage.play(over_http[part], examples)


@pytest.mark.parametrize(("part", "examples"), [(0, 40), (1, 150), (2, 60)])
def test_whatever_comes_over_socket_mode_is_answered_in_time_without_a_traceback(
    stage: Stage, by_socket: list[Part], part: int, examples: int
) -> None:
    stage.play(by_socket[part], examples)


def test_whatever_atlas_answers_is_a_model_or_an_error_with_a_sentence(stage: Stage) -> None:
    stage.play(stage.atlas()[0], 120)
