"""Commands over a database that is missing, locked away, read-only or full."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from bot.sandbox.atlas import FakeAtlasServer
from bot.storage.migrate import ensure_current
from tests.acceptance.command_line.commands import RUNNING, YES, Environ, lines, run
from tests.support.postgres import PostgresServer

CANCEL = ("cancel", *RUNNING, *YES)
CLOSED = "postgresql://bot:sesame@127.0.0.1:1/bot"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("sqlite:///{folder}/no/bot.db", "unable to open database file"),
        ("sqlite:////dev/full", "database or disk is full"),
        (CLOSED, "Connection refused"),
        ("postgresql://nobody:sesame@{server}", 'role "nobody" does not exist'),
        ("{postgres}?sslmode=require", "server does not support SSL"),
    ],
)
async def test_cancel_names_what_is_wrong_with_the_database_and_sends_nothing(
    environ: Environ,
    atlas: FakeAtlasServer,
    on_postgres: str,
    tmp_path: Path,
    *,
    url: str,
    why: str,
) -> None:
    server = on_postgres.partition("@")[2]
    database = url.format(folder=tmp_path, postgres=on_postgres, server=server)
    ran = await run(environ | {"DATABASE_URL": database}, *CANCEL)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("The database of DATABASE_URL cannot be used (")
    assert why in ran.err
    assert "sesame" not in ran.err
    assert len(ran.err.splitlines()) == 1
    assert atlas.deletes() == []


@pytest.mark.parametrize("arguments", [("list", "prod-eu"), ("audit",), ("audit", "verify")])
async def test_path_that_the_system_refuses_gets_the_sentence_about_the_database(
    environ: Environ, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    url = f"sqlite:///{tmp_path}/{'x' * 300}.db"
    ran = await run(environ | {"DATABASE_URL": url}, *arguments)

    assert ran.code == 1
    assert "The database of DATABASE_URL cannot be used (" in ran.err
    assert "File name too long" in ran.err


@pytest.mark.parametrize("arguments", [("audit",), ("audit", "verify"), ("serve",)])
async def test_command_ends_with_1_where_the_database_does_not_answer(
    with_slack: Environ, arguments: tuple[str, ...]
) -> None:
    closed = {"DATABASE_URL": CLOSED, "PORT": "0", "LOG_LEVEL": "ERROR"}
    ran = await run(with_slack | closed, *arguments)

    assert (ran.code, ran.out) == (1, "")
    assert "The database of DATABASE_URL cannot be" in ran.err
    assert "Connection refused" in ran.err
    assert len(ran.err.splitlines()) == 1


async def test_database_in_another_encoding_is_used(
    environ: Environ, postgres: PostgresServer
) -> None:
    options = "TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    postgres.execute(f"CREATE DATABASE in_ascii {options}")
    in_ascii = environ | {"DATABASE_URL": f"postgresql://bot@127.0.0.1:{postgres.port}/in_ascii"}
    ran = await run(in_ascii, "cancel", *RUNNING, "--reason", "Größe", "--yes")
    record = await run(in_ascii, "audit")
    postgres.execute("DROP DATABASE in_ascii")

    assert (ran.code, ran.err) == (0, "")
    assert lines(record.out)[0]["reason"] == "Größe"


async def test_list_needs_no_database_and_says_that_it_could_not_be_read(environ: Environ) -> None:
    ran = await run(environ | {"DATABASE_URL": CLOSED}, "list", "prod-eu")

    assert (ran.code, len(lines(ran.out))) == (1, 3)
    assert ran.err.startswith("What the bot has stored is missing from the list: ")


async def test_list_says_that_what_is_stored_cannot_be_read_where_a_table_is_missing(
    environ: Environ,
) -> None:
    assert (await run(environ, "cancel", *RUNNING, "--yes")).code == 0
    with closing(sqlite3.connect(environ["DATABASE_URL"].removeprefix("sqlite:///"))) as database:
        database.execute("DROP TABLE requests")
    ran = await run(environ, "list", "prod-eu")

    assert ran.code == 1
    assert "missing from the list" in ran.err
    assert "no such table: requests" in ran.err


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (CANCEL, 1, "in a read-only transaction"),
        (("list", "prod-eu"), 0, ""),
        (("audit", "verify"), 0, ""),
    ],
    ids=["cancel", "list", "verify"],
)
async def test_database_that_cannot_be_written_is_read(
    environ: Environ,
    atlas: FakeAtlasServer,
    on_postgres: str,
    *,
    arguments: tuple[str, ...],
    code: int,
    why: str,
) -> None:
    await ensure_current(on_postgres)
    read_only = f"{on_postgres}?options=-c%20default_transaction_read_only%3Don"
    ran = await run(environ | {"DATABASE_URL": read_only}, *arguments)

    assert ran.code == code
    assert why in ran.err
    assert bool(ran.err) is bool(why)
    assert atlas.deletes() == []
