"""The rate of the watch's calls: a maximum per minute, and urgent ones first."""

import asyncio
import time

from bot.services.rate_limit import CallPacer, Rank, TokenBucket


def test_bucket_allows_a_burst_and_then_one_read_per_interval() -> None:
    bucket = TokenBucket(2.0, 3, 100.0)
    waits = []
    for _ in range(5):
        waits.append(bucket.wait(100.0))
        bucket.take(100.0)

    assert waits == [0, 0, 0, 2, 4]
    assert bucket.wait(200.0) == 0


def test_reserve_of_the_bucket_is_kept_for_urgent_reads() -> None:
    bucket = TokenBucket(2.0, 3, 100.0)
    bucket.take(100.0)

    assert (bucket.wait(100.0, reserve=2), bucket.wait(100.0)) == (2, 0)


async def test_calls_are_spaced_and_the_lowest_rank_is_first_even_if_it_changes() -> None:
    pacer, order = CallPacer(0.1), list[str]()
    ranks = {"spare": Rank.SPARE, "first": Rank.REGULAR, "next": Rank.REGULAR, "late": Rank.REGULAR}

    async def call(name: str) -> None:
        await pacer.wait(lambda: ranks[name])
        order.append(name)

    begun = time.monotonic()
    calls = {name: asyncio.create_task(call(name)) for name in ranks}
    await calls["first"]
    ranks["late"] = Rank.URGENT
    await asyncio.gather(*calls.values())

    assert order == ["first", "late", "next", "spare"]
    assert time.monotonic() - begun >= 0.3


async def test_cancelled_call_uses_no_slot() -> None:
    pacer = CallPacer(0.5)
    await pacer.wait()
    gone = asyncio.create_task(pacer.wait())
    await asyncio.sleep(0)
    gone.cancel()
    begun = time.monotonic()
    await pacer.wait()

    assert time.monotonic() - begun < 0.95
