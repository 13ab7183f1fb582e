"""Channels: the placement of cards, and whether Slack takes posts."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.slack.channels import (
    ChannelInfo,
    Channels,
    ChannelStatus,
    ChannelUnknown,
    NoPlacement,
    Placement,
    choose,
    read_channel,
)
from bot.slack.errors import (
    DEFAULT_RETRY_AFTER,
    CannotPost,
    SlackError,
    SlackRejected,
    SlackUnavailable,
)
from tests.unit.slack.fake_slack import IDENTITY, FakeSlack

FREE = Policy()
STRICT = Policy(approvals=1)
WATCHED = Policy(approvals=1, watch_channel="C0OPS")
AUDITED = Policy(audit_channel="C0AUDIT")
BOTH = Policy(approvals=1, audit_channel="C0AUDIT")
NAMED = Policy(approvals=1, channels=frozenset({"C0OPS"}))
REACHED = Policy(approvals=1, approvers=People(users=frozenset({"U0ADA"})))
REACHED_AUDITED = replace(REACHED, audit_channel="C0AUDIT")

OPEN = ChannelInfo(can_post=True, is_shared=False)
CLOSED = ChannelInfo(can_post=False, is_shared=False, why="it is not a member")
UNKNOWN = ChannelInfo(why="Slack did not answer")
SHARED = ChannelInfo(can_post=True, is_shared=True)
DIRECT = ChannelInfo(is_direct=True, is_shared=False)
ARCHIVED = ChannelInfo(can_post=False, is_shared=False, why="the channel is archived")


@pytest.mark.parametrize(
    ("policy", "place", "channel"),
    [
        (FREE, OPEN, "C0OPS"),
        (FREE, UNKNOWN, "U0RINA"),
        (FREE, CLOSED, "U0RINA"),
        (FREE, SHARED, "U0RINA"),
        (FREE, DIRECT, "U0RINA"),
        (STRICT, OPEN, "C0OPS"),
        (REACHED, CLOSED, "U0RINA"),
        (REACHED, SHARED, "U0RINA"),
        (REACHED_AUDITED, CLOSED, "U0RINA"),
        (NAMED, SHARED, "C0OPS"),
        (NAMED, UNKNOWN, "C0OPS"),
        (WATCHED, SHARED, "C0OPS"),
        (WATCHED, UNKNOWN, "C0OPS"),
        (AUDITED, OPEN, "C0AUDIT"),
        (AUDITED, SHARED, "C0AUDIT"),
        (AUDITED, CLOSED, "U0RINA"),
        (BOTH, OPEN, "C0AUDIT"),
        (BOTH, UNKNOWN, "C0AUDIT"),
    ],
)
def test_card_is_placed_where_it_can_be_seen(
    policy: Policy, place: ChannelInfo, channel: str
) -> None:
    standing = choose(policy, "C0OPS", place, "U0RINA")

    assert standing.channel == channel
    assert bool(standing.note) == (channel != "C0OPS")


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        (STRICT, CLOSED),
        (STRICT, SHARED),
        (STRICT, DIRECT),
        (NAMED, CLOSED),
        (BOTH, CLOSED),
        (REACHED, DIRECT),
        (replace(REACHED, notify_approvers=False), CLOSED),
        (replace(REACHED, approvers=People(users=frozenset({"U0RINA"}))), CLOSED),
    ],
)
def test_card_that_approvers_could_not_see_is_refused_with_advice(
    policy: Policy, place: ChannelInfo
) -> None:
    with pytest.raises(NoPlacement, match=r"ask an admin of the bot to .*audit channel"):
        choose(policy, "C0OPS", place, "U0RINA")


@pytest.mark.parametrize(
    ("policy", "place", "channel"),
    [
        (FREE, DIRECT, "U0RINA"),
        (REACHED, DIRECT, "U0RINA"),
        (WATCHED, OPEN, "C0OPS"),
        (replace(REACHED, watch_channel="C0OPS"), ARCHIVED, "U0RINA"),
        (replace(BOTH, watch_channel="C0OPS"), OPEN, "C0AUDIT"),
    ],
)
def test_click_in_a_direct_message_is_no_typed_command(
    policy: Policy, place: ChannelInfo, channel: str
) -> None:
    standing = choose(policy, "D0RINA", place, "U0RINA", DIRECT, is_click=True)

    assert standing.channel == channel
    assert "typed" not in standing.note


def test_click_whose_card_no_approver_would_see_is_refused_with_the_reason() -> None:
    with pytest.raises(NoPlacement, match="cannot post in <#C0OPS>: the channel is archived"):
        choose(WATCHED, "D0RINA", ARCHIVED, "U0RINA", DIRECT, is_click=True)


@pytest.mark.parametrize("policy", [FREE, REACHED])
def test_note_of_the_direct_message_names_the_obstacle_and_who_else_gets_it(policy: Policy) -> None:
    standing = choose(policy, "C0OPS", CLOSED, "U0RINA")

    assert standing.note.startswith("The bot cannot post in this channel: it is not a member.")
    assert ("approvers" in standing.note) == (policy.approvals > 0)


def test_request_with_approvals_waits_until_slack_describes_the_channel() -> None:
    with pytest.raises(ChannelUnknown, match="Slack did not answer"):
        choose(STRICT, "C0OPS", UNKNOWN, "U0RINA")


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        (OPEN, "The card goes to <#C0AUDIT>."),
        (UNKNOWN, "The card goes to <#C0AUDIT>."),
        (SHARED, "This channel is shared with another organization. The card goes to <#C0AUDIT>."),
        (DIRECT, "The command was typed in a direct message. The card goes to <#C0AUDIT>."),
    ],
)
def test_note_explains_why_the_card_goes_to_the_audit_channel(
    typed: ChannelInfo, note: str
) -> None:
    standing = choose(BOTH, "C0OPS", OPEN, "U0RINA", typed)

    assert standing == Placement(channel="C0AUDIT", note=note)


@pytest.mark.parametrize(
    ("channel", "place"),
    [
        ({"is_member": True}, OPEN),
        ({}, OPEN),
        ({"is_member": False, "is_private": False}, CLOSED),
        ({"is_member": True, "is_ext_shared": True}, SHARED),
        ({"is_member": True, "is_pending_ext_shared": True}, SHARED),
        ({"is_im": True}, DIRECT),
        ({"is_member": True, "is_archived": True}, ARCHIVED),
    ],
)
def test_channel_object_of_slack_is_read(channel: dict[str, Any], place: ChannelInfo) -> None:
    assert read_channel(channel) == place


def test_advice_matches_the_obstacle() -> None:
    with pytest.raises(NoPlacement, match="Invite the bot to <#C0AUDIT>"):
        choose(BOTH, "C0OPS", CLOSED, "U0RINA")
    with pytest.raises(NoPlacement, match="allow this channel, or to name an audit channel"):
        choose(STRICT, "C0OPS", SHARED, "U0RINA")


def test_scope_for_public_channels_allows_posting_without_membership() -> None:
    public = {"is_member": False, "is_private": False}
    private = {"is_member": False, "is_private": True}

    assert read_channel(public, posts_anywhere=True).can_post
    assert not read_channel(private, posts_anywhere=True).can_post


@pytest.mark.parametrize(
    ("failure", "can_post", "why"),
    [
        ("channel_not_found", False, "it is not a member"),
        ({"channel": None}, None, "Slack did not describe it"),
        ("missing_scope", None, "groups:read"),
        ("ratelimited", None, "Slack answered ratelimited"),
        (aiohttp.ServerDisconnectedError(), None, "Slack did not answer"),
    ],
)
async def test_failed_lookup_is_unknown_and_not_an_error(
    failure: str | Exception | dict[str, Any], can_post: bool | None, why: str
) -> None:
    slack = FakeSlack()
    slack.respond("conversations.info", failure)
    place = await Channels(slack, IDENTITY).info("C0OPS")

    assert (place.can_post, place.is_shared) == (can_post, None)
    assert why in place.why


async def test_channel_is_not_read_before_slacks_retry_after_has_passed() -> None:
    slack, now = FakeSlack(), [0.0]
    slack.respond("conversations.info", "ratelimited")
    channels = Channels(slack, IDENTITY, clock=lambda: now[0])
    places = [await channels.info("C0OPS"), await channels.info("C0SEC")]
    now[0] = DEFAULT_RETRY_AFTER
    places.append(await channels.info("C0SEC"))

    assert [place.can_post for place in places] == [None, None, True]
    assert len(slack.calls) == 2


async def test_negative_answer_is_looked_up_again() -> None:
    slack, now = FakeSlack(), [0.0]
    slack.respond("conversations.info", {"channel": {"id": "C0OPS", "is_member": False}})
    channels = Channels(slack, IDENTITY, clock=lambda: now[0])
    before = await channels.info("C0OPS")
    now[0] = 1.0
    after = await channels.info("C0OPS")

    assert (before.can_post, after.can_post, len(slack.calls)) == (False, True, 2)


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


async def test_direct_message_needs_no_lookup() -> None:
    slack = FakeSlack()

    assert (await Channels(slack, IDENTITY).info("D0RINA")).is_direct
    assert slack.calls == []
