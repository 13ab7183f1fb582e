"""`serve` on PostgreSQL behind TLS, behind a pooler, and cut off from it."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.doctor.database import check_database
from bot.doctor.results import Level
from bot.sandbox.atlas import Fault, Kind
from tests.support.certificate import certify
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import PostgresServer
from tests.support.process import BotProcess
from tests.support.proxy import Proxy
from tests.support.serving import serving
from tests.support.settings import ENOUGH

#: Seconds in which a standby takes over from a process that is cut off, and of a busy machine.
TAKEN_OVER_WITHIN, TOLERANCE = 15.0, 5.0
#: Has a row for each connection of a bot.
CONNECTIONS = """
SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
WHERE application_name = 'cancel-restore'
"""


@pytest.fixture(scope="session")
def with_tls() -> Iterator[PostgresServer]:
    with PostgresServer(tls=True) as server:
        yield server


def verifying(url: str, root: Path) -> str:
    return f"{url}?sslmode=verify-full&sslrootcert={root}"


async def test_download_is_cancelled_with_a_database_whose_certificate_is_verified(
    with_tls: PostgresServer,
) -> None:
    url = verifying(with_tls.new_database(), with_tls.certificate)
    async with serving(url, {}) as bot:
        await bot.start()
        job = bot.download()
        await bot.asks("rina", job)
        await bot.message(job, "cancelled")

        assert with_tls.execute(f"{CONNECTIONS} AND ssl") > 0
        assert with_tls.execute(f"{CONNECTIONS} AND NOT ssl") == 0


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("with_tls", "SSL error: certificate verify failed"),
        ("postgres", "server does not support SSL, but SSL was required"),
    ],
    ids=["certificate of another authority", "server without TLS"],
)
async def test_database_that_cannot_be_verified_ends_the_start_with_one_sentence(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, words: str
) -> None:
    database: PostgresServer = request.getfixturevalue(server)
    url = verifying(database.new_database(), certify(tmp_path))
    with BotProcess({**ENOUGH, "DATABASE_URL": url}) as bot:
        code, log = await bot.ended(), bot.log
    checked = await check_database(url)

    assert code == 1
    assert "The database of DATABASE_URL cannot be opened" in log.splitlines()[-1]
    assert words in log.splitlines()[-1]
    assert "Traceback" not in log
    assert (checked.level, words in checked.sentence) == (Level.PROBLEM, True)


@pytest.mark.parametrize("mode", ["session", "transaction"])
async def test_standby_takes_over_behind_pgbouncer(
    postgres: PostgresServer, on_postgres: str, mode: str
) -> None:
    with pgbouncer(postgres.port, mode) as port:
        url = on_postgres.replace(f":{postgres.port}/", f":{port}/")
        async with serving(url, {}) as bot:
            first = await bot.start()
            second = bot.begin()
            await bot.role(second, "standby")
            job = bot.download()
            await bot.asks("rina", job)
            await bot.message(job, "cancelled")

            assert await first.stop(6) == 0
            await bot.role(second, "active")
            assert bot.deletes(job) == 1


async def test_standby_takes_over_from_a_process_whose_database_has_fallen_silent(
    postgres: PostgresServer, on_postgres: str
) -> None:
    """The connection stays open, and its last transaction has the row of the lease locked."""
    async with Proxy(postgres.port) as proxy, serving(on_postgres, {}) as bot:
        url = on_postgres.replace(f":{postgres.port}/", f":{proxy.port}/")
        first = await bot.start(DATABASE_URL=url)
        second = bot.begin()
        await bot.role(second, "standby")
        job = bot.download()
        dialog = await bot.opens("rina", await bot.message(job))
        bot.atlas.faults.add(Fault(kind=Kind.DELAY, method="GET", path=job.id, seconds=3.0))
        assert (await bot.submits("rina", dialog, reason="by mistake")).ok
        proxy.fall_silent(before=b"COMMIT")
        await bot.until(lambda: proxy.is_silent)
        began = time.monotonic()

        await bot.role(second, "active")
        took = time.monotonic() - began
        await bot.message(job, "cancelled")

        assert took < TAKEN_OVER_WITHIN + TOLERANCE
        assert bot.deletes(job) == 1
        assert "atlas:cancel_sent" not in first.log
        assert await first.status("/readyz") == 503
        assert await first.stop(6) == 0
        assert "Traceback" not in first.log
