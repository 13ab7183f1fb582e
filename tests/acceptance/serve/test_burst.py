"""Many downloads that start at once, under Slack's documented rates."""

from collections import Counter

from bot.sandbox.slack import RATES
from bot.sandbox.slack.rates import RateLimits
from tests.support.serving import CHANNEL, PATIENCE, Serving, payload

#: More than the bot posts at once: the others take 14 s, longer than a request on a busy machine.
DOWNLOADS = 24


def announced(bot: Serving) -> list[str]:
    """Return the jobs of the channel's messages."""
    roots = [m for m in bot.slack.state.messages(CHANNEL) if payload(m)]
    return [payload(message)["job"] for message in roots]


async def test_request_does_not_wait_behind_a_burst_of_which_each_download_is_announced_once(
    bot: Serving,
) -> None:
    bot.slack.world.rates = RateLimits(RATES, bot.slack.world.clock)
    await bot.start()
    jobs = [bot.download() for _ in range(DOWNLOADS)]
    newest = bot.download("prod-us")
    await bot.until(lambda: announced(bot))

    assert (await bot.types("rina", f"prod-us {newest.id}")).ok
    assert (await bot.submits("rina", await bot.dialog("rina"), reason="by mistake")).ok
    await bot.reply(newest, "Atlas confirms")
    meanwhile = announced(bot)
    assert (await bot.types("rina", "list")).ok
    await bot.told("rina", "prod-eu", 2 * PATIENCE)  # it waits behind the posts
    await bot.until(lambda: len(announced(bot)) > DOWNLOADS)

    assert len(meanwhile) < DOWNLOADS
    assert Counter(announced(bot)) == Counter(job.id for job in [*jobs, newest])
    assert any(call.status == 429 for call in bot.slack.called("chat.postMessage"))
