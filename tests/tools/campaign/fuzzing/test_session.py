"""A short fuzzing run; `python -m tests.tools.campaign fuzz` is the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.tools.campaign.fuzzing.session import FuzzSession, Part

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def session() -> Iterator[FuzzSession]:
    with FuzzSession() as opened:
        yield opened


@pytest.fixture(scope="module")
def over_http(session: FuzzSession) -> list[Part]:
    return session.bot(http=True)


@pytest.fixture(scope="module")
def by_socket(session: FuzzSession) -> list[Part]:
    return session.bot(http=False)


@pytest.mark.parametrize(("part", "examples"), [(0, 30), (1, 60), (2, 40)])
def test_fuzzed_http_request_is_answered_in_time_without_a_traceback(
    session: FuzzSession, over_http: list[Part], part: int, examples: int
) -> None:
    session.run_part(over_http[part], examples)


@pytest.mark.parametrize(("part", "examples"), [(0, 20), (1, 60), (2, 30)])
def test_fuzzed_socket_mode_frame_is_answered_in_time_without_a_traceback(
    session: FuzzSession, by_socket: list[Part], part: int, examples: int
) -> None:
    session.run_part(by_socket[part], examples)


def test_fuzzed_answer_of_atlas_gives_a_model_or_an_error(
    session: FuzzSession,
) -> None:
    session.run_part(session.atlas()[0], 30)
