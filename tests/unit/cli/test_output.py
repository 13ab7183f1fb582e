"""Tables and JSON lines: on terminals of any width, in pipes, and with hostile characters."""

import io
import json

import pytest

from bot.cli.output import OutputFormat, format_of, write_json, write_table
from tests.support.terminal import Terminal

HEADERS = ("Cluster", "Restore job")
ROWS = [("prod-eu", "65f0a1c2d3e4f5a6b7c80101"), ("[red]x[/red]", "a\x1b[2Jb")]
#: An escape sequence, a C1 control, a right-to-left override, and a line separator.
HOSTILE = "a\x1b[2Jb\x9bc\u202ed\u2028e"


def written(columns: str, monkeypatch: pytest.MonkeyPatch, out: io.StringIO) -> str:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm-256color")
    write_table(HEADERS, ROWS, out)
    return out.getvalue()


def test_table_that_fits_has_a_line_for_each_row_and_no_markup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = written("80", monkeypatch, Terminal())

    assert len(text.splitlines()) == len(ROWS) + 4
    assert "[red]x[/red]" in text
    assert "\x1b[2J" not in text


def test_narrow_terminal_gets_fields_that_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written("40", monkeypatch, Terminal())

    assert text.splitlines()[:2] == ["Cluster: prod-eu", "Restore job: 65f0a1c2d3e4f5a6b7c80101"]


def test_table_in_a_pipe_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "65f0a1c2d3e4f5a6b7c80101" in written("20", monkeypatch, io.StringIO())


def test_format_is_json_unless_a_terminal_reads() -> None:
    assert format_of("", io.StringIO()) is OutputFormat.JSON
    assert format_of("", Terminal()) is OutputFormat.TABLE
    assert format_of("table", io.StringIO()) is OutputFormat.TABLE


def test_json_line_has_no_control_character_and_keeps_its_meaning() -> None:
    out = io.StringIO()
    write_json({"reason": HOSTILE}, out)

    assert [char for char in out.getvalue() if not char.isprintable()] == ["\n"]
    assert json.loads(out.getvalue()) == {"reason": HOSTILE}
