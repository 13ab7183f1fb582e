"""`cancel-restore audit` as people run it: formats, filters, a changed audit log."""

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.cancellation.lifecycle import Outcome, State
from bot.storage.database import Database
from bot.storage.lease_store import LeaseStore
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from tests.support.domain import ABE, ADA, RINA, a_waiting_request, keep_all
from tests.support.process import CommandResult, invoke
from tests.support.timings import DATABASE_TIMEOUT


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def record(tmp_path: Path) -> Path:
    """A database with one request that was approved and cancelled, and one that was denied."""
    path = tmp_path / "bot.db"
    await ensure_current(f"sqlite:///{path}")
    database = Database(f"sqlite:///{path}", timeout=DATABASE_TIMEOUT)
    later = now() + timedelta(hours=1)
    store = RequestStore(database, now)
    leases = LeaseStore(database, now, "runner-1")
    cancelled = a_waiting_request(id="first", reason="=HYPERLINK(1)", expires_at=later)
    await store.create(cancelled, RINA)
    await store.approve("first", ADA, lambda _request: None, keep_all)
    claimed = await leases.claim("first")
    assert claimed
    await leases.record_delete_sent(claimed)
    await leases.settle(claimed, State.CANCELLED, Outcome(sentence="done", status=204))
    await store.create(a_waiting_request(id="second", reason="Größe", expires_at=later), RINA)
    await store.decide("second", State.DENIED, ABE, lambda _request: None, reason="not now")
    await database.close()
    return path


async def audit(path: Path, *arguments: str) -> CommandResult:
    return await invoke("audit", *arguments, DATABASE_URL=f"sqlite:///{path}", COLUMNS="200")


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines(ran: CommandResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ran.out.splitlines()]


@pytest.mark.parametrize(
    ("arguments", "events"),
    [
        (("--request", "second"), ["request:created", "request:denied"]),
        (("--actor", ADA.id), ["request:approved"]),
        (("--event", "request:created"), ["request:created", "request:created"]),
        (("--since", "2100-01-01"), []),
        (("--since", "2000-01-01", "--actor", ABE.id), ["request:denied"]),
    ],
)
async def test_filter_selects_the_matching_events(
    record: Path, arguments: tuple[str, ...], events: list[str]
) -> None:
    ran = await audit(record, *arguments, "--format", "jsonl")

    assert [line["event"] for line in lines(ran)] == events


async def test_unknown_request_fails(record: Path) -> None:
    ran = await audit(record, "--request", "third")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "The audit log has no request 'third': check its id.\n"


async def test_unreadable_database_names_the_setting(tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Sir or Madam, " * 99)
    for command in ((), ("verify",)):
        ran = await audit(letter, *command)

        assert ran.code == 1
        assert ran.err.endswith("(file is not a database): check DATABASE_URL.\n")


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--request", "\udcff", "is not the id of a request"),
        ("--event", "request:aproved", "request:approved"),
        ("--actor", "@ada", "'@ada' is not a Slack user id"),
        ("--since", "yesterday", "is not a time"),
        ("--since", "0001-01-01T00:00+14:00", "is not a time"),
        ("--since", "9999-12-31T23:59-14:00", "is not a time"),
    ],
)
async def test_invalid_filter_is_wrong_usage(
    record: Path, option: str, value: str, why: str
) -> None:
    ran = await audit(record, option, value)

    assert (ran.code, ran.out) == (2, "")
    assert why in ran.err


async def test_changed_event_is_reported(record: Path) -> None:
    with closing(sqlite3.connect(record)) as connection:
        connection.execute("UPDATE audit_events SET actor = 'U0RINb' WHERE number = 1")
        connection.commit()

    ran = await audit(record, "verify")

    assert ran.code == 1
    assert ran.err.startswith("The audit log is broken: event 1 of request first was changed.")
    assert "Traceback" not in ran.err


async def test_empty_database_is_reported_in_one_message(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()

    shown = await audit(tmp_path / "empty.db")
    verified = await audit(tmp_path / "empty.db", "verify")

    expected = (1, "There is no audit log yet: the database is empty. Check DATABASE_URL.\n")
    assert (shown.code, shown.err) == expected
    assert (verified.code, verified.err) == expected


@pytest.mark.parametrize("arguments", [(), ("verify",), ("summary", "--format", "table")])
async def test_copy_that_may_not_be_written_is_read_and_stays_as_it_is(
    record: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    copy = tmp_path / "evidence" / "copy.db"
    copy.parent.mkdir()
    shutil.copy(record, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("PRAGMA journal_mode = delete")  # as exported copies have it
    before = fingerprint(copy)
    copy.chmod(0o444)
    copy.parent.chmod(0o555)
    ran = await audit(copy, *arguments)
    beside = [path.name for path in copy.parent.iterdir()]
    copy.parent.chmod(0o755)  # so that the folder can be removed

    assert (ran.code, ran.err) == (0, "")
    assert (fingerprint(copy), beside) == (before, ["copy.db"])


async def test_empty_table_has_a_message(record: Path) -> None:
    ran = await audit(record, "--request", "second", "--event", "request:approved")

    assert (ran.code, ran.out, ran.err) == (0, "No event of the audit log matches.\n", "")
