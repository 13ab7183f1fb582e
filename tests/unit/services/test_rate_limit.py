"""The rate of the watch's calls: a maximum per minute, and urgent ones first."""

import asyncio
import time

from bot.services.poll_schedule import feed_delay, feed_rank, list_interval, round_seconds
from bot.services.rate_limit import CallPacer, TokenBucket
from bot.timings import DEFAULT_TIMINGS


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
    pacer, ranks, order = CallPacer(0.02), {"first": 1.0, "late": 9.0, "urgent": 5.0}, list[str]()

    async def call(name: str) -> None:
        await pacer.wait(lambda: ranks[name])
        order.append(name)

    begun = time.monotonic()
    calls = [asyncio.create_task(call(name)) for name in ranks]
    await asyncio.sleep(0.005)
    ranks["late"] = 0.0
    await asyncio.gather(*calls)

    assert order == ["first", "late", "urgent"]
    assert time.monotonic() - begun >= 0.04


async def test_cancelled_call_uses_no_slot() -> None:
    pacer = CallPacer(0.5)
    await pacer.wait(lambda: 0.0)
    gone = asyncio.create_task(pacer.wait(lambda: 0.0))
    await asyncio.sleep(0)
    gone.cancel()
    begun = time.monotonic()
    await pacer.wait(lambda: 1.0)

    assert time.monotonic() - begun < 0.95


def test_round_of_500_clusters_stretches_by_less_than_ten_seconds_of_the_interval() -> None:
    clusters = [12, 13] * 20

    assert 60 < round_seconds(clusters, 60, 15, DEFAULT_TIMINGS) <= 70
    assert round_seconds([3], 60, 15, DEFAULT_TIMINGS) == 60
    assert round_seconds([400], 60, 15, DEFAULT_TIMINGS) == 400 * 0.63


def test_list_of_clusters_is_read_in_each_short_round_and_rarely_in_long_ones() -> None:
    intervals = {seconds: list_interval(seconds, DEFAULT_TIMINGS) for seconds in (1, 30, 60, 3600)}

    assert intervals == {1: 15, 30: 30, 60: 300, 3600: 300}


def test_round_of_more_feeds_than_calls_ends() -> None:
    assert 70 < round_seconds([3] * 300, 60, 15, DEFAULT_TIMINGS) < 200


def test_feed_that_waited_passes_reads_of_clusters_that_are_hardly_later() -> None:
    assert feed_rank(100.0, 103.0) == 100.0
    assert feed_rank(100.0, 104.0) == 70.0
    assert [feed_delay(late) for late in (0.0, 10.0, 50.0)] == [0.0, 4.0, 20.0]
