"""The cache loads a key once at a time, and keeps values as long as they are valid."""

import asyncio

import pytest

from bot.tasks import EXPIRY, MAX_ENTRIES, AsyncCache


class Loader:
    """Loads a counter, slowly or not at all as scripted."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.loads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.cache = AsyncCache(self.load, lambda: self.seconds)

    async def load(self, _key: str) -> int:
        self.loads += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        return self.loads

    async def get(self, key: str = "a", *, timeout: float = 20, since: float = 0.0) -> int:
        return await self.cache.get(key, max_age=10, timeout=timeout, since=since)


@pytest.fixture
async def loader() -> Loader:
    return Loader()


async def test_concurrent_calls_share_one_load(loader: Loader) -> None:
    loader.gate.clear()
    calls = [asyncio.create_task(loader.get()) for _ in range(5)]
    await asyncio.sleep(0)
    loader.gate.set()

    assert await asyncio.gather(*calls) == [1] * 5


async def test_value_is_loaded_again_once_it_is_too_old(loader: Loader) -> None:
    assert await loader.get() == 1
    loader.seconds += 10
    assert await loader.get() == 1
    loader.seconds += 1
    assert await loader.get() == 2


async def test_value_loaded_before_since_is_loaded_again(loader: Loader) -> None:
    await loader.get()
    loader.seconds += 1

    assert await loader.get(since=1000.0) == 1
    assert await loader.get(since=1001.0) == 2


async def test_running_load_that_began_before_since_is_not_shared(loader: Loader) -> None:
    loader.gate.clear()
    early = asyncio.create_task(loader.get())
    await asyncio.sleep(0)
    loader.seconds += 1
    late = asyncio.create_task(loader.get(since=1001.0))
    await asyncio.sleep(0)
    loader.gate.set()

    assert (await early, await late) == (1, 2)


async def test_age_counts_from_the_begin_of_the_load(loader: Loader) -> None:
    loader.gate.clear()
    call = asyncio.create_task(loader.get())
    await asyncio.sleep(0)
    loader.seconds += 11
    loader.gate.set()

    assert await call == 1
    assert await loader.get() == 2


async def test_load_goes_on_after_a_timeout_and_the_next_call_finds_its_value(
    loader: Loader,
) -> None:
    loader.gate.clear()
    with pytest.raises(TimeoutError):
        await loader.get(timeout=0.01)
    loader.gate.set()

    assert await loader.get() == 1
    assert loader.loads == 1


async def test_failures_are_not_stored(loader: Loader) -> None:
    loader.error = ValueError()
    with pytest.raises(ValueError):  # noqa: PT011 - it has no text
        await loader.get()
    loader.error = None

    assert await loader.get() == 2


async def test_expired_entries_are_removed_when_there_are_too_many(loader: Loader) -> None:
    for number in range(MAX_ENTRIES):
        await loader.get(f"old-{number}")
    loader.seconds += EXPIRY + 1
    await loader.get("new")

    for key in ("old-0", "new"):
        await loader.cache.get(key, max_age=10 * EXPIRY, timeout=1)
    assert loader.loads == MAX_ENTRIES + 2  # and no load of the new one


async def test_close_cancels_the_loads(loader: Loader) -> None:
    loader.gate.clear()
    call = asyncio.create_task(loader.get())
    await asyncio.sleep(0)
    await loader.cache.close()
    with pytest.raises(asyncio.CancelledError):
        await call
