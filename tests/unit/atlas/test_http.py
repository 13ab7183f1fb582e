"""Calls beyond the number of connections wait in turn, each within its own seconds."""

import asyncio
import gc

import httpx
import pytest

from bot.atlas import JobRef, TimedOut
from bot.atlas.transport import MAX_CONNECTIONS
from tests.support.atlas_client import AtlasClient
from tests.unit.atlas.strict_server import CLUSTER, KEY, PROJECT, download_job

NEXT = f"{MAX_CONNECTIONS:024x}"


def ref(number: int) -> JobRef:
    return JobRef(project_id=PROJECT, cluster_name=CLUSTER, job_id=f"{number:024x}")


class Slow(httpx.AsyncBaseTransport):
    """Answers no request until `go` is set; `most` is the highest number of concurrent ones."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path.rpartition("/")[2])
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            await self.go.wait()
        finally:
            self.inside -= 1
        return httpx.Response(200, json=download_job(id=self.asked[-1]))


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def full(atlas: AtlasClient, calls: int = MAX_CONNECTIONS) -> list[asyncio.Task[int]]:
    begun = [asyncio.create_task(atlas.cancel_restore_job(ref(n))) for n in range(calls)]
    await settle()
    return begun


async def test_concurrent_calls_are_limited_to_the_connections() -> None:
    slow = Slow()
    async with AtlasClient(KEY, transport=slow) as atlas:
        calls = await full(atlas, 3 * MAX_CONNECTIONS)
        slow.go.set()
        await asyncio.gather(*calls)

    assert slow.most == MAX_CONNECTIONS
    assert slow.asked == [f"{number:024x}" for number in range(3 * MAX_CONNECTIONS)]


async def test_cancel_without_a_free_connection_has_not_taken_effect() -> None:
    slow = Slow()
    async with AtlasClient(KEY, transport=slow, request_timeout=1.0) as atlas:
        before = await full(atlas)
        with pytest.raises(TimedOut) as caught:
            await atlas.cancel_restore_job(ref(MAX_CONNECTIONS))
        slow.go.set()
        await asyncio.gather(*before, return_exceptions=True)

    assert not caught.value.may_have_taken_effect
    assert NEXT not in slow.asked


async def test_request_timeout_begins_when_a_connection_is_free() -> None:
    slow = Slow()
    async with AtlasClient(KEY, transport=slow, request_timeout=0.1) as atlas:
        before = await full(atlas)
        waiting = asyncio.create_task(atlas.restore_job(ref(MAX_CONNECTIONS), timeout=5.0))
        ended = await asyncio.gather(*before, return_exceptions=True)
        slow.go.set()
        job = await waiting

    assert {type(error) for error in ended} == {TimedOut}
    assert job.id == NEXT


async def test_cancelled_call_releases_its_connection() -> None:
    slow = Slow()
    async with AtlasClient(KEY, transport=slow) as atlas:
        before = await full(atlas)
        waiting = asyncio.create_task(atlas.cancel_restore_job(ref(MAX_CONNECTIONS)))
        await settle()
        before[0].cancel()
        await settle()

        assert slow.asked[-1] == NEXT

        slow.go.set()
        await asyncio.gather(waiting, *before, return_exceptions=True)


async def test_failure_after_cancellation_is_not_reported_to_the_event_loop() -> None:
    class Breaks(Slow):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            try:
                return await super().handle_async_request(request)
            except asyncio.CancelledError:
                raise httpx.ReadError("broken", request=request) from None

    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context))
    async with AtlasClient(KEY, transport=Breaks()) as atlas:
        call = asyncio.create_task(atlas.cancel_restore_job(ref(1)))
        await settle()
        call.cancel()
        await settle()
    del call
    gc.collect()

    assert errors == []
