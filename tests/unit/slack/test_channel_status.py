"""Whether channels take posts: by what Slack says of them, and by its answers to posts."""

import asyncio
from collections.abc import Mapping

import pytest

from bot.slack.channels import ChannelInfo, ChannelStatus
from bot.slack.errors import CannotPost, SlackError, SlackRejected, SlackUnavailable

OPEN = ChannelInfo(can_post=True, is_shared=False)
ARCHIVED = ChannelInfo(can_post=False, is_shared=False, why="the channel is archived")
UNKNOWN = ChannelInfo(why="Slack did not answer")
C1 = "C1"


class Status(ChannelStatus):
    """A status with a clock, and one channel that Slack describes as `info`."""

    def __init__(self, info: ChannelInfo = OPEN) -> None:
        self.info, self.reads, self.now = info, 0, 0.0
        self.asked: asyncio.Queue[str] = asyncio.Queue()
        self.shown: Mapping[str, bool] = {}
        super().__init__(
            self._describe,
            lambda: [C1],
            report=self._show,
            interval=60.0,
            monotonic=lambda: self.now,
        )

    async def _describe(self, channel: str) -> ChannelInfo:
        self.reads += 1
        self.asked.put_nowait(channel)
        return self.info

    def _show(self, channels: Mapping[str, bool]) -> None:
        self.shown = channels

    async def reads_again(self) -> bool:
        return await self.takes_posts(C1, max_age=0.0)


@pytest.mark.parametrize(
    ("info", "takes"), [(OPEN, True), (UNKNOWN, True), (ARCHIVED, False)], ids=["open", "?", "no"]
)
async def test_channel_takes_posts_unless_slack_describes_that_it_does_not(
    info: ChannelInfo, takes: bool
) -> None:
    status = Status(info)
    assert await status.takes_posts(C1, max_age=10.0) is takes
    status.now += 9.0
    await status.takes_posts(C1, max_age=10.0)
    assert status.reads == 1
    status.now += 2.0
    await status.takes_posts(C1, max_age=10.0)
    assert status.reads == 2


async def test_archived_channel_takes_posts_again_when_slack_describes_it_so() -> None:
    status = Status(ARCHIVED)
    assert not await status.reads_again()
    status.info = UNKNOWN
    assert not await status.reads_again()
    status.info = OPEN

    assert await status.reads_again()


@pytest.mark.parametrize("refusal", [CannotPost("restricted_action"), SlackRejected("new_code")])
async def test_refusal_that_no_description_shows_lasts_until_a_post_is_taken(
    refusal: SlackError,
) -> None:
    status = Status(OPEN)
    status.record_answer(C1, refusal, is_reply=False)

    assert not await status.reads_again()
    assert status.problem() == f"The bot cannot post in C1: Slack answered {refusal.code}."
    status.record_answer(C1, None, is_reply=False)
    assert status.problem() is None
    assert status.shown == {C1: True}


async def test_refused_post_counts_at_once_and_the_channel_is_read_at_once() -> None:
    status = Status(OPEN)
    running = asyncio.create_task(status.run())
    await status.asked.get()
    status.info = ARCHIVED
    status.record_answer(C1, CannotPost("is_archived"), is_reply=False)
    assert status.shown == {C1: False}

    assert await asyncio.wait_for(status.asked.get(), 20) == C1
    status.info = OPEN
    assert await status.reads_again()
    running.cancel()


def test_answers_about_a_thread_a_person_or_an_outage_say_nothing_about_the_channel() -> None:
    status = Status()
    status.record_answer(C1, CannotPost("thread_not_found"), is_reply=True)
    status.record_answer(C1, SlackUnavailable("fatal_error"), is_reply=False)
    status.record_answer("U1", CannotPost("channel_not_found"), is_reply=False)
    assert status.refuses(C1) is status.refuses("U1") is None

    status.record_answer(C1, CannotPost("is_archived"), is_reply=True)
    assert status.refuses(C1) == "the channel is archived"
