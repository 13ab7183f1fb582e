"""`cancel-restore audit` as people run it: its lines, times, and a record that was changed."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bot.cancellation.policy import Policy
from bot.cli.main import app
from bot.storage.database import Database, wall_clock
from bot.storage.migrate import ensure_current
from bot.storage.request_store import RequestStore
from tests.support.domain import ADA, POLICY, RINA, submission
from tests.support.settings import ENOUGH

Audit = Callable[..., Result]


async def fill(url: str, policy: Policy = POLICY) -> None:
    """Record a request, its approval, and thus that it may run."""
    await ensure_current(url)
    database = Database(url)
    store = RequestStore(database, wall_clock, None)
    submitted = await store.submit(RINA, policy, submission(reason="Größe"))
    await store.approve(submitted.request.id, ADA, policy)
    await database.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


@pytest.fixture
def audit(path: Path, monkeypatch: pytest.MonkeyPatch) -> Audit:
    monkeypatch.chdir(path.parent)
    environ = {**ENOUGH, "DATABASE_URL": f"sqlite:///{path}"}

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["audit", *arguments], env=environ)

    return run


@pytest.fixture
def record(path: Path) -> Path:
    asyncio.run(fill(f"sqlite:///{path}"))
    return path


@pytest.mark.parametrize(
    ("arguments", "events"),
    [
        ((), ["request:created", "request:approved"]),
        (("--since", "2000-01-01"), ["request:created", "request:approved"]),
        (("--until", "2000-01-01T00:00Z"), []),
        (("--since", "2100-01-01"), []),
    ],
)
@pytest.mark.usefixtures("record")
def test_each_event_in_the_time_is_a_json_line(
    audit: Audit, arguments: tuple[str, ...], events: list[str]
) -> None:
    ran = audit(*arguments)
    lines = [json.loads(line) for line in ran.stdout.splitlines()]

    assert (ran.exit_code, [line["event"] for line in lines]) == (0, events)
    assert all({"at", "request", "actor", "team", "hash"} <= line.keys() for line in lines)
    assert "Größe" in {line.get("reason") for line in lines} or not lines


@pytest.mark.usefixtures("record")
def test_intact_record_has_the_number_of_events_and_the_last_hash(audit: Audit) -> None:
    last = json.loads(audit().stdout.splitlines()[-1])["hash"]
    ran = audit("verify")

    assert (ran.exit_code, json.loads(ran.stdout)) == (0, {"events": 2, "last_hash": last})


@pytest.mark.parametrize(
    ("statement", "event"),
    [
        ("UPDATE audit_events SET actor = 'U0EVE' WHERE id = 1", "event 1 (request:created"),
        ("UPDATE audit_events SET body = '{}' WHERE id = 2", "event 2 (request:approved"),
        ("DELETE FROM audit_events WHERE id = 1", "event 1 (request:approved"),
        ("UPDATE audit_events SET id = 3 - id + 10", "event 1 (request:approved"),
    ],
    ids=["changed column", "changed body", "removed", "reordered"],
)
def test_first_event_that_was_tampered_with_is_named(
    audit: Audit, record: Path, statement: str, event: str
) -> None:
    with closing(sqlite3.connect(record)) as connection:
        connection.execute(statement)
        connection.commit()
    ran = audit("verify")

    assert (ran.exit_code, ran.stdout) == (1, "")
    assert event in ran.stderr


@pytest.mark.parametrize("body", ["{", "[]", b"\xff"])
def test_event_that_cannot_be_read_gets_a_sentence(
    audit: Audit, record: Path, body: str | bytes
) -> None:
    with closing(sqlite3.connect(record)) as connection:
        connection.execute("UPDATE audit_events SET body = ? WHERE id = 2", (body,))
        connection.commit()
    ran = audit()

    assert ran.exit_code == 1
    assert "`audit verify` names it" in ran.stderr
    assert "event 2 (request:approved" in audit("verify").stderr


@pytest.mark.usefixtures("record")
def test_verify_takes_no_times(audit: Audit) -> None:
    ran = audit("--since", "2026-12-02", "verify")

    assert (ran.exit_code, ran.stdout) == (2, "")
    assert "leave out --since and --until" in ran.stderr


@pytest.mark.parametrize("arguments", [(), ("verify",)])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "does not exist"),
        (b"", "or is empty"),
        (b"Dear Sir or Madam, " * 99, "file is not a database"),
    ],
    ids=["missing", "empty", "a letter"],
)
def test_database_without_a_record_gets_a_sentence_and_nothing_is_created(
    audit: Audit, path: Path, content: bytes | None, why: str, arguments: tuple[str, ...]
) -> None:
    if content is not None:
        path.write_bytes(content)
    ran = audit(*arguments)

    assert (ran.exit_code, ran.stdout) == (1, "")
    assert why in ran.stderr
    assert "DATABASE_URL" in ran.stderr
    assert (path.read_bytes() if path.exists() else None) == content


def test_database_of_another_program_gets_a_sentence(audit: Audit, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE requests (id INTEGER)")
        connection.commit()
    ran = audit("verify")

    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "tables of another program (requests)" in ran.stderr
