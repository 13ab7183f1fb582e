"""Every parser accepts its examples and random bytes without an exception."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools.campaign.fuzzing.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_parser_raises_nothing_on_random_bytes(name: str) -> None:
    target, wholes = TARGETS[name]
    for whole in wholes:
        target(whole)

    @settings(max_examples=60, derandomize=True, database=None, deadline=None)
    @given(
        st.one_of(
            st.binary(max_size=300),
            st.text(max_size=200).map(str.encode),
            st.tuples(st.sampled_from(wholes), st.integers(0, 99), st.binary(max_size=9)).map(
                lambda drawn: drawn[0][: drawn[1]] + drawn[2] + drawn[0][drawn[1] :]
            ),
        )
    )
    def parse(data: bytes) -> None:
        target(data)

    parse()
