"""The reports of the benchmarks: medians, ratios, goals, tables, and their page."""

import argparse
import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from tests.tools.bench.__main__ import BENCHMARKS, main
from tests.tools.bench.proxy import ROOT, serve_with_delay
from tests.tools.reporting import pages
from tests.tools.reporting.report import (
    Goal,
    Report,
    Row,
    Table,
    in_turn,
    median,
    percentile,
    ratio,
    shown,
)

TABLE = Table(
    title="Reads",
    columns=("ms", "ratio"),
    first="client",
    rows=[Row("bot", [1.2345, 0.5]), Row("peer", missing="curl | wget is missing")],
    goals=[Goal.at_most("≤ 0.3 × curl", 0.24, 0.3)],
    notes=["On loopback."],
)

MARKDOWN = """\
### Reads

| client | ms | ratio |
|---|---:|---:|
| bot | 1.23 | 0.5 |
| peer | curl \\| wget is missing |  |

- Goal: ≤ 0.3 × curl: 0.24 (held)
- On loopback."""


def test_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    """A slow round slows both, so the ratio of medians (10 / 2) would differ."""
    values, base = [10.0, 10.0, 1.0], [10.0, 2.0, 1.0]

    assert median(values) / median(base) == 5.0
    assert ratio(values, base) == 1.0


def test_ratio_of_unequal_rounds_is_rejected() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 51), (0.99, 100), (1.0, 100)])
def test_percentile_is_a_measured_value(share: float, expected: float) -> None:
    assert percentile(range(1, 101), share) == expected


async def test_variants_take_turns_in_changing_order_and_warm_rounds_do_not_count() -> None:
    ran: list[str] = []

    async def variant(name: str) -> int:
        ran.append(name)
        return len(ran)

    given = await in_turn({n: partial(variant, n) for n in "ab"}, 2, warm=1)

    assert "".join(ran) == "baabba"
    assert given == {"a": [3, 6], "b": [4, 5]}


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (None, "–"),
        ("none", "none"),
        (3, "3"),
        (1_000_000, "1,000,000"),
        (0.12345, "0.123"),
        (12.345, "12.3"),
        (12345.6, "12,346"),
    ],
)
def test_cell_has_three_significant_digits(cell: float | str | None, expected: str) -> None:
    assert shown(cell) == expected


def test_goal_holds_up_to_its_limit() -> None:
    goals = [Goal.at_most("≤ 2", seen, 2.0) for seen in (2.0, 2.1, None)]

    assert [goal.held for goal in goals] == [True, False, None]
    assert [goal.line for goal in goals] == [
        "≤ 2: 2 (held)",
        "≤ 2: 2.1 (NOT held)",
        "≤ 2: – (not measured)",
    ]


@pytest.mark.parametrize(("seen", "held"), [(2.0, True), (2.1, False), (None, True)])
def test_report_fails_on_a_missed_goal_only(seen: float | None, held: bool) -> None:
    table = Table(title="T", columns=(), rows=(), goals=[Goal.at_most("≤ 2", seen, 2.0)])

    assert Report("t", [table]).held is held


def test_report_of_a_failed_benchmark_fails() -> None:
    assert not Report("t", error="it broke off").held


def test_markdown_table_has_its_goals_and_notes() -> None:
    assert TABLE.markdown() == MARKDOWN


def test_table_on_the_terminal_names_what_is_missing() -> None:
    table = TABLE.rich()

    assert [list(column.cells) for column in table.columns] == [
        ["bot", "peer"],
        ["1.23", "curl | wget is missing"],
        ["0.5", ""],
    ]


def test_new_figures_replace_those_between_the_markers_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n<!-- bench:a -->\nold\n<!-- /bench:a -->\n\nThe end.\n")
    pages.write(page, Report("a", [TABLE]), ["Date: today", "Load: 0"])
    pages.write(page, Report("b", [TABLE]), ["Date: today"])

    assert page.read_text() == (
        f"# Title\n\n<!-- bench:a -->\n\n{MARKDOWN}\n\n_Date: today. Load: 0._\n\n"
        "<!-- /bench:a -->\n\nThe end.\n\n"
        f"<!-- bench:b -->\n\n{MARKDOWN}\n\n_Date: today._\n\n<!-- /bench:b -->\n"
    )


def test_failed_benchmark_keeps_its_last_figures(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- bench:a -->\nold\n<!-- /bench:a -->\n")
    pages.write(page, Report("a", error="it broke off"), [])

    assert "old" in page.read_text()


def test_unusable_page_is_refused_before_the_measurement(tmp_path: Path) -> None:
    other, old = tmp_path / "other.md", tmp_path / "old.md"
    other.write_text("# Something else\n")
    old.write_text("<!-- bench:a -->\n<!-- /bench:a -->\n")

    for given in (other, tmp_path, tmp_path / "nowhere" / "new.md"):
        with pytest.raises(argparse.ArgumentTypeError):
            pages.page_at(str(given))
    assert pages.page_at(str(old)) == old
    assert pages.page_at(str(tmp_path / "new.md")) == tmp_path / "new.md"


def test_description_of_every_benchmark_is_a_sentence() -> None:
    found = BENCHMARKS.descriptions()

    assert {"atlas", "cancellation", "footprint", "growth", "search"} <= set(found)
    assert [sentence for sentence in found.values() if not sentence.endswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nonsense"], "no such benchmark: nonsense"),
        (["atlas", "--quick", "--markdown", "page.md"], "only tests that all benchmarks run"),
    ],
)
def test_unknown_name_and_quick_figures_for_a_page_are_wrong_usage(
    capsys: pytest.CaptureFixture[str], arguments: list[str], why: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert why in capsys.readouterr().err


async def test_proxy_adds_a_round_trip_to_the_connection_and_to_each_exchange() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    async with (
        await asyncio.start_server(echo, "127.0.0.1", 0) as server,
        serve_with_delay(server.sockets[0].getsockname()[1], 0.04) as port,
    ):
        begun = time.perf_counter()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        times = []
        for word in (b"first", b"later"):
            writer.write(word)
            assert await reader.readexactly(5) == word
            times.append(time.perf_counter() - begun)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()

    assert times[0] >= 0.08
    assert times[1] - times[0] >= 0.04


def test_every_benchmark_has_markers_on_the_page() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()

    assert [n for n in BENCHMARKS.descriptions() if f"<!-- bench:{n} -->" not in page] == []
