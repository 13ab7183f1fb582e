"""Where a card is to stand."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from bot.cancellation.policy import Policy
from bot.slack.placement import (
    HOLDS,
    ChannelInfo,
    Channels,
    NowhereToPost,
    Placement,
    choose,
    read_place,
    target,
)
from tests.unit.slack.fake_slack import IDENTITY, FakeSlack

FREE = Policy()
STRICT = Policy(approvals=1)
AUDITED = Policy(audit_channel="C0AUDIT")
BOTH = Policy(approvals=1, audit_channel="C0AUDIT")
NAMED = Policy(approvals=1, channels=frozenset({"C0OPS"}))

OPEN = ChannelInfo(can_post=True, is_shared=False)
CLOSED = ChannelInfo(can_post=False, is_shared=False, why="it is not in this channel")
UNKNOWN = ChannelInfo(why="Slack did not answer")
SHARED = ChannelInfo(can_post=True, is_shared=True)
DIRECT = ChannelInfo(is_direct=True, is_shared=False)


@pytest.mark.parametrize(
    ("policy", "place", "channel"),
    [
        (FREE, OPEN, "C0OPS"),
        (FREE, UNKNOWN, "C0OPS"),
        (FREE, CLOSED, "U0RINA"),
        (FREE, SHARED, "U0RINA"),
        (FREE, DIRECT, "U0RINA"),
        (STRICT, OPEN, "C0OPS"),
        (NAMED, SHARED, "C0OPS"),
        (AUDITED, OPEN, "C0AUDIT"),
        (AUDITED, SHARED, "C0AUDIT"),
        (AUDITED, CLOSED, "U0RINA"),
        (BOTH, OPEN, "C0AUDIT"),
    ],
)
def test_the_card_stands_where_it_can_be_seen(
    policy: Policy, place: ChannelInfo, channel: str
) -> None:
    standing = choose(policy, "C0OPS", place, "U0RINA")

    assert isinstance(standing, Placement)
    assert standing.channel == channel
    assert bool(standing.note) == (channel != "C0OPS")
    assert bool(standing.because) == (channel == "U0RINA")


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        (STRICT, CLOSED),
        (STRICT, UNKNOWN),
        (STRICT, SHARED),
        (STRICT, DIRECT),
        (NAMED, CLOSED),
        (BOTH, CLOSED),
        (BOTH, UNKNOWN),
    ],
)
def test_what_approvers_could_not_see_is_refused_with_what_to_do(
    policy: Policy, place: ChannelInfo
) -> None:
    standing = choose(policy, "C0OPS", place, "U0RINA")

    assert isinstance(standing, NowhereToPost)
    assert "BOT_AUDIT_CHANNEL" in standing.sentence


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        (OPEN, "The card goes to <#C0AUDIT>."),
        (UNKNOWN, "The card goes to <#C0AUDIT>."),
        (
            SHARED,
            "This channel is shared with another organization. The card goes to <#C0AUDIT>.",
        ),
        (DIRECT, "The command was typed in a direct message. The card goes to <#C0AUDIT>."),
    ],
)
def test_the_dialog_says_why_the_card_goes_to_the_audit_channel(
    typed: ChannelInfo, note: str
) -> None:
    standing = choose(BOTH, "C0OPS", OPEN, "U0RINA", typed)

    assert standing == Placement(channel="C0AUDIT", note=note)


def test_the_advice_fits_the_obstacle() -> None:
    unreachable = choose(BOTH, "C0OPS", CLOSED, "U0RINA")
    shared = choose(STRICT, "C0OPS", SHARED, "U0RINA")

    assert isinstance(unreachable, NowhereToPost)
    assert "Invite the bot to <#C0AUDIT>" in unreachable.sentence
    assert isinstance(shared, NowhereToPost)
    assert "name this channel in BOT_CHANNELS" in shared.sentence


def test_the_audit_channel_is_the_one_to_look_at() -> None:
    assert (target(FREE, "C0OPS"), target(AUDITED, "C0OPS")) == ("C0OPS", "C0AUDIT")


@pytest.mark.parametrize(
    ("channel", "place"),
    [
        ({"is_member": True}, OPEN),
        ({}, OPEN),
        ({"is_member": False, "is_private": False}, CLOSED),
        ({"is_member": True, "is_ext_shared": True}, SHARED),
        ({"is_member": True, "is_pending_ext_shared": True}, SHARED),
        ({"is_im": True}, DIRECT),
        (
            {"is_member": True, "is_archived": True},
            ChannelInfo(can_post=False, is_shared=False, why="the channel is archived"),
        ),
    ],
)
def test_a_channel_of_slack_is_read(channel: dict[str, Any], place: ChannelInfo) -> None:
    assert read_place(channel) == place


def test_with_the_scope_for_it_every_public_channel_will_do() -> None:
    public = {"is_member": False, "is_private": False}
    private = {"is_member": False, "is_private": True}

    assert read_place(public, posts_anywhere=True).can_post
    assert not read_place(private, posts_anywhere=True).can_post


async def test_a_direct_message_needs_no_question() -> None:
    slack = FakeSlack()

    assert (await Channels(slack, IDENTITY).place("D0RINA")).is_direct
    assert slack.calls == []


@pytest.mark.parametrize(
    ("failure", "can_post"),
    [
        ("channel_not_found", False),
        ("missing_scope", None),
        ("ratelimited", None),
        (aiohttp.ServerDisconnectedError(), None),
    ],
)
async def test_what_slack_does_not_say_is_unknown_and_no_error(
    failure: str | Exception, can_post: bool | None
) -> None:
    slack = FakeSlack()
    slack.says("conversations.info", failure)
    place = await Channels(slack, IDENTITY).place("C0OPS")

    assert place.can_post is can_post
    assert place.why


async def test_many_commands_at_once_are_one_question() -> None:
    slack, now = FakeSlack(), [0.0]
    channels = Channels(slack, IDENTITY, clock=lambda: now[0])
    await asyncio.gather(*(channels.place("C0OPS") for _ in range(5)))
    now[0] = HOLDS - 1
    await channels.place("C0OPS")
    asked_at_once = len(slack.calls)
    now[0] = HOLDS + 1
    await channels.place("C0OPS")

    assert (asked_at_once, len(slack.calls)) == (1, 2)


async def test_a_no_is_asked_again_since_somebody_may_have_invited_the_bot() -> None:
    slack, now = FakeSlack(), [0.0]
    slack.says("conversations.info", {"channel": {"id": "C0OPS", "is_member": False}})
    channels = Channels(slack, IDENTITY, clock=lambda: now[0])
    before = await channels.place("C0OPS")
    now[0] = 1.0
    after = await channels.place("C0OPS")

    assert (before.can_post, after.can_post, len(slack.calls)) == (False, True, 2)
