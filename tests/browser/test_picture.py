"""The picture in README is of this version: its page has the words that the demo shows now."""

import runpy

from tests.browser.conftest import SHELL
from tests.support.required_programs import find, needs


async def test_picture_has_the_words_that_the_demo_shows() -> None:
    program = runpy.run_path("docs/make_demo_picture.py")
    picture, _ = await program["take_picture"](find(SHELL) or needs(SHELL), "2:")
    shown, stored = (
        program["words_of"](each) for each in (picture, program["PICTURE"].read_bytes())
    )

    assert "Cancelled: Atlas confirms it" in shown
    assert stored == shown
