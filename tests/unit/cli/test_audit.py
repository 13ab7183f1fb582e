"""The audit log as text and in machine formats."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from bot.cancellation.events import Event, EventName, Recorded, chain
from bot.cli.audit import write
from bot.cli.output import OutputFormat, printable

AT = "2026-11-25T12:00:00.000+00:00"


def a_line(**detail: Any) -> Recorded:
    event = Event(
        name=EventName.CREATED,
        request="r1",
        number=1,
        at=AT,
        actor="U0RINA",
        team="T0HOME",
        detail=detail,
    )
    return chain(event, "")


async def written(format_: OutputFormat, *lines: Recorded) -> str:
    async def each() -> AsyncIterator[Recorded]:
        for line in lines:
            yield line

    out = io.TextIOWrapper(kept := io.BytesIO(), "utf-8", newline="")
    await write(each, format_, out)
    out.flush()
    return kept.getvalue().decode()


async def test_json_line_has_the_event_and_its_details() -> None:
    line = a_line(status=204, reason="wrong cluster")
    (text,) = (await written(OutputFormat.JSON, line)).splitlines()

    assert json.loads(text) == {
        "at": AT,
        "event": "request:created",
        "request": "r1",
        "actor": "U0RINA",
        "team": "T0HOME",
        "number": 1,
        "hash": line.hash,
        "status": 204,
        "reason": "wrong cluster",
    }


async def test_details_never_override_event_fields() -> None:
    (text,) = (await written(OutputFormat.JSON, a_line(actor="U0EVE"))).splitlines()

    assert json.loads(text)["actor"] == "U0RINA"


async def test_table_does_not_interpret_markup() -> None:
    text = await written(OutputFormat.TABLE, a_line(reason="[red]x[/red]"))

    assert "[red]" in text.replace("\n", "")


async def test_empty_audit_log_prints_nothing() -> None:
    assert await written(OutputFormat.JSON) == ""


async def test_csv_has_a_column_for_each_field_of_any_event() -> None:
    text = await written(OutputFormat.CSV, a_line(reason="wrong"), a_line(shown={"a": 1}))
    first, second = csv.DictReader(io.StringIO(text))
    assert (first["reason"], first["shown"]) == ("wrong", "")
    assert (second["reason"], json.loads(second["shown"])) == ("", {"a": 1})


@pytest.mark.parametrize("begin", "=+-@")
async def test_csv_has_no_cell_that_a_spreadsheet_evaluates(begin: str) -> None:
    text = await written(OutputFormat.CSV, a_line(reason=f"{begin}HYPERLINK(1)"))
    (line,) = csv.DictReader(io.StringIO(text))

    assert line["reason"] == f"'{begin}HYPERLINK(1)"


#: An escape sequence, a C1 control, a right-to-left override, and a line separator.
HOSTILE = "a\x1b[2Jb\x9bc\u202ed\u2028e"


@pytest.mark.parametrize("format_", OutputFormat)
async def test_control_and_direction_characters_are_escaped_in_every_format(
    format_: OutputFormat,
) -> None:
    text = await written(format_, a_line(reason=HOSTILE))

    assert [each for each in text if not each.isprintable() and each not in "\r\n"] == []


async def test_escaped_json_line_keeps_its_meaning() -> None:
    (text,) = (await written(OutputFormat.JSON, a_line(reason=HOSTILE))).splitlines()

    assert json.loads(text)["reason"] == HOSTILE


def test_printable_text_is_unchanged() -> None:
    assert printable("Größe: 3 µm, ok 👍") == "Größe: 3 µm, ok 👍"


@pytest.mark.parametrize(
    "detail",
    ["not json", "[1]", b"\x00\xff", "[" * 100_000],
    ids=["text", "list", "bytes", "nested too deeply"],
)
@pytest.mark.parametrize("format_", OutputFormat)
async def test_damaged_event_is_counted_and_shows_its_own_fields(
    format_: OutputFormat, detail: Any
) -> None:
    stored: dict[str, Any] = {"detail": detail, "actor": b"\xff"}
    damaged = replace(a_line(), **stored)

    async def each() -> AsyncIterator[Recorded]:
        yield damaged
        yield a_line(reason="fine")

    count = await write(each, format_, out := io.StringIO())

    assert count == 1
    assert "request:created" in out.getvalue()
    assert "fine" in out.getvalue()


def test_hash_of_a_value_of_another_type_differs() -> None:
    line = a_line()

    stored: dict[str, Any] = {"detail": line.detail.encode()}

    assert replace(line, **stored).expected_hash != line.hash
