"""A call that fails after its caller was cancelled."""

import asyncio
import gc

import httpx

from bot.atlas import JobRef
from tests.support.atlas_client import AtlasClient
from tests.unit.atlas.strict_server import CLUSTER, KEY, PROJECT


class Breaks(httpx.AsyncBaseTransport):
    """Breaks the connection when the call is cancelled."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise httpx.ReadError("broken", request=request) from None
        raise AssertionError


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_failure_after_cancellation_is_not_reported_to_the_event_loop() -> None:
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    async with AtlasClient(KEY, transport=Breaks()) as atlas:
        call = asyncio.create_task(atlas.cancel_restore_job(JobRef(PROJECT, CLUSTER, "1" * 24)))
        await settle()
        call.cancel()
        await settle()
    del call
    gc.collect()

    assert errors == []
