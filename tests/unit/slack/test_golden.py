"""All texts of the bot in Slack stand in one file; `UPDATE_GOLDEN=1` writes it again."""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.unit.slack import samples
from tests.unit.slack.block_text import as_text, shorten

GOLDEN = Path(__file__).parent / "golden" / "texts.txt"


def all_texts() -> Iterator[str]:
    for name, shown in {**samples.messages(), **named_views()}.items():
        yield f"=== {name}\n{as_text(shown)}\n"
    lines = (f"{name}: {shorten(text)}" for name, text in samples.sentences().items())
    yield "=== private sentences\n" + "\n".join(lines) + "\n"


def named_views() -> dict[str, samples.Json]:
    return {f"dialog: {name}": view for name, view in samples.views().items()}


def test_texts_are_those_of_the_golden_file() -> None:
    texts = "\n".join(all_texts())
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(texts)

    assert texts == GOLDEN.read_text()
