"""The digest login against Apache httpd's mod_auth_digest, an independent server."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol

import pytest
from pydantic import SecretStr

from bot.atlas import DigestKey, KeyRefused
from tests.support.apache import REF, Apache, running_apache
from tests.support.required_programs import needs


class Starter(Protocol):
    """Starts httpd with a nonce's life in seconds, and with or without AuthDigestNcCheck."""

    def __call__(self, *, lifetime: int = 300, counts: str = "Off") -> Apache: ...


@pytest.fixture
def apache() -> Iterator[Starter]:
    program = str(needs("apache2"))
    with ExitStack() as stack:

        def start(*, lifetime: int = 300, counts: str = "Off") -> Apache:
            server = running_apache(program, lifetime=lifetime, counts=counts)
            return stack.enter_context(server)

        yield start


@pytest.mark.parametrize("counts", ["Off", "On"])
async def test_warm_cancel_takes_three_requests(apache: Starter, counts: str) -> None:
    server = apache(counts=counts)
    async with server.client() as atlas:
        await atlas.restore_job(REF)
        await atlas.restore_job(REF)
        accepted = await atlas.cancel_restore_job(REF)
        await atlas.restore_job(REF)

    assert accepted == 204
    assert server.log(5) == ["GET 401", "GET 200", "GET 200", "DELETE 204", "GET 200"]


@pytest.mark.parametrize("counts", ["Off", "On"])
async def test_twenty_concurrent_calls_make_one_handshake_each_at_most(
    apache: Starter, counts: str
) -> None:
    server = apache(counts=counts)
    async with server.client() as atlas:
        for _ in range(11):
            jobs = await asyncio.gather(*(atlas.restore_job(REF) for _ in range(20)))
    log = server.log(240)

    assert {job.id for job in jobs} == {REF.job_id}
    assert log.count("GET 401") <= 20  # a call that starts late finds the nonce of another
    assert log.count("GET 200") == 220


@pytest.mark.parametrize("counts", ["Off", "On"])
async def test_nonce_expired_before_the_delete_costs_one_handshake(
    apache: Starter, counts: str
) -> None:
    server = apache(lifetime=1, counts=counts)
    async with server.client() as atlas:
        await atlas.restore_job(REF)
        await asyncio.sleep(1.2)
        accepted = await atlas.cancel_restore_job(REF)

    assert accepted == 204
    assert server.log(4) == ["GET 401", "GET 200", "DELETE 401", "DELETE 204"]


async def test_twenty_expired_nonces_are_renewed_concurrently(apache: Starter) -> None:
    # A new nonce must not expire before its first use, also where twenty calls wait for a core.
    server = apache(lifetime=3, counts="On")
    async with server.client() as atlas:
        await asyncio.gather(*(atlas.restore_job(REF) for _ in range(20)))
        await asyncio.sleep(3.2)
        jobs = await asyncio.gather(*(atlas.restore_job(REF) for _ in range(20)))

    assert len(jobs) == 20
    assert server.log(80).count("GET 200") == 40


async def test_wrong_key_takes_two_requests_each_time(apache: Starter) -> None:
    server = apache()
    async with server.client(DigestKey("abcdefgh", SecretStr("wrong"))) as atlas:
        with pytest.raises(KeyRefused):
            await atlas.restore_job(REF)
        with pytest.raises(KeyRefused):
            await atlas.cancel_restore_job(REF)

    assert server.log(4) == ["GET 401", "GET 401", "DELETE 401", "DELETE 401"]
