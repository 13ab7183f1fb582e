"""Tables, fields and JSON lines: on terminals of any width, in pipes, and without colour."""

import io
import re
from datetime import datetime

import pytest
import typer

from bot.cancellation.lifecycle import State
from bot.cancellation.policy import Mode, Policy
from bot.cli.cancel import describe_progress
from bot.cli.output import OutputFormat, format_of, write_table
from bot.slack import mrkdwn
from tests.support.clock import NOON
from tests.support.domain import a_request
from tests.support.terminal import Terminal

HEADERS = ("Cluster", "Restore job")
ROWS = [("prod-eu", "65f0a1c2d3e4f5a6b7c80101"), ("[red]x[/red]", "a\x1b[2Jb")]


STYLE = re.compile(r"\x1b\[[0-9;]*m")


def written(columns: str, monkeypatch: pytest.MonkeyPatch, out: io.StringIO) -> str:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("TERM", "xterm-256color")
    write_table(HEADERS, ROWS, out)
    return STYLE.sub("", out.getvalue()) if out.isatty() else out.getvalue()


def test_table_that_fits_has_a_line_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written("80", monkeypatch, Terminal())

    assert len(text.splitlines()) == len(ROWS) + 4
    assert all(len(line) <= 80 for line in text.splitlines())


def test_narrow_terminal_gets_fields_that_are_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written("40", monkeypatch, Terminal())

    assert text.splitlines()[0].split() == ["Cluster", "prod-eu"]
    assert text.splitlines()[1].split() == ["Restore", "job", "65f0a1c2d3e4f5a6b7c80101"]
    assert "…" not in text


def test_format_is_json_unless_a_terminal_reads() -> None:
    assert format_of("", io.StringIO()) is OutputFormat.JSON
    assert format_of("", Terminal()) is OutputFormat.TABLE
    assert format_of("table", io.StringIO()) is OutputFormat.TABLE
    assert {format_of(name) for name in ("json", "jsonl")} == {OutputFormat.JSON}


def test_unknown_format_ends_the_command_with_2_and_names_each_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(typer.Exit) as error:
        format_of("yaml")

    assert error.value.exit_code == 2
    assert "there are: table, json (jsonl)." in capsys.readouterr().err


@pytest.mark.parametrize("state", sorted(state for state in State if state.ended))
def test_end_of_a_request_is_said_in_words_and_not_by_the_name_of_its_state(state: State) -> None:
    ended = a_request(state=state)

    assert mrkdwn.predicate_of(ended) in describe_progress(ended, Policy())


@pytest.mark.parametrize(
    ("mode", "ends_at", "follows"),
    [
        (Mode.ENFORCE, NOON, "the bot cancels it at 2026-11-25 12:00:00 UTC, unless an approver"),
        (
            Mode.ENFORCE,
            None,
            "cancels it 30 min after its card is seen, unless an approver",
        ),
        (Mode.OBSERVE, NOON, "the bot only observes, and does not cancel it"),
    ],
)
def test_quarantine_in_the_way_says_what_the_bot_does_soon(
    mode: Mode, ends_at: datetime | None, follows: str
) -> None:
    held = a_request(requester="", state=State.QUARANTINED, grace_ends_at=ends_at, channel="C0OPS")
    policy = Policy(approvals=1, quarantine=mode)
    sentence = describe_progress(held, policy)

    assert follows in sentence
    assert "a running bot posts its card in channel C0OPS" in sentence
