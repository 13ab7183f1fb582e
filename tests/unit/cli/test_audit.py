"""The record, written for eyes and for programs."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from bot.cancellation.events import Event, EventName, Recorded, chain
from bot.cli.audit import Format, write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AT = "2026-11-25T12:00:00.000+00:00"


def a_line(**detail: Any) -> Recorded:
    event = Event(
        name=EventName.CREATED, request="r1", at=AT, actor="U0RINA", team="T0HOME", detail=detail
    )
    return chain(event, 1, "")


async def written(how: Format, *lines: Recorded) -> str:
    async def each() -> AsyncIterator[Recorded]:
        for line in lines:
            yield line

    out = io.TextIOWrapper(kept := io.BytesIO(), "utf-8", newline="")
    await write(each(), how, out)
    out.flush()
    return kept.getvalue().decode()


async def test_a_json_line_has_the_event_and_what_it_adds() -> None:
    line = a_line(status=204, reason="wrong cluster")

    (text,) = (await written(Format.JSONL, line)).splitlines()

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


async def test_what_an_event_adds_never_hides_its_own_names() -> None:
    (text,) = (await written(Format.JSONL, a_line(actor="U0EVE"))).splitlines()

    assert json.loads(text)["actor"] == "U0RINA"


async def test_csv_has_the_same_names_as_columns() -> None:
    text = await written(Format.CSV, a_line(status=204))

    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["at"], row["event"], row["request"]) == (AT, "request:created", "r1")
    assert (row["actor"], row["team"]) == ("U0RINA", "T0HOME")
    assert json.loads(row["detail"]) == {"status": 204}


async def test_the_table_shows_typed_text_as_it_is() -> None:
    text = await written(Format.TABLE, a_line(reason="[red]x[/red]"))

    assert "[red]" in text.replace("\n", "")


async def test_an_empty_record_is_an_empty_answer() -> None:
    assert await written(Format.JSONL) == ""
