"""Where a card is to stand: can the bot post there, and can the approvers see it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.async_cache import AsyncCache
from bot.slack.errors import CALL_ERRORS, translate_error

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.cancellation.policy import Policy
    from bot.slack.identity import Identity

#: Seconds to wait for Slack before going on without its word.
PATIENCE = 2.0

#: Seconds for which a yes holds: many commands at once are one question, and Slack allows about
#: 50 of them a minute. Should it be outdated, the outbox copes with the no.
HOLDS = 10.0

#: Codes that say that the channel is not for us; any other error says nothing about it.
ABSENT = frozenset({"channel_not_found", "not_in_channel", "method_not_supported_for_channel_type"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelInfo:
    """What is known of the channel in which the command was typed.

    Attributes:
        is_direct: a direct message, in which no approver reads along.
        can_post: whether the bot can post there; None when Slack did not say.
        is_shared: whether people of another organization read along; None when Slack did not say.
        why: why the bot cannot post, or why it is not known.
    """

    is_direct: bool = False
    can_post: bool | None = None
    is_shared: bool | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the card goes.

    Attributes:
        channel: a channel's id, or a user's for the direct message.
        note: what the dialog says about it (mrkdwn of our own making), when that is elsewhere.
        because: why the card cannot stand where it should, for the card itself.
    """

    channel: str
    note: str = ""
    because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NowhereToPost:
    """No place for the card in which the approvers would see it: nothing may be asked here."""

    sentence: str


def target(policy: Policy, asked_in: str) -> str:
    """Return the channel in which the card would stand if nothing were in the way."""
    return policy.audit_channel or asked_in


def choose(
    policy: Policy,
    asked_in: str,
    place: ChannelInfo,
    requester: str,
    typed: ChannelInfo | None = None,
) -> Placement | NowhereToPost:
    """Choose the card's channel.

    A card that needs approval must be seen by those who approve: without a sure place there is no
    request. A card that needs none may fall back to the direct message with the requester.

    Args:
        policy: the rules of the project.
        asked_in: the channel in which the command was typed.
        place: what is known of the `target`.
        requester: the user id of who asks.
        typed: what is known of `asked_in` where that is not the `target`.
    """
    if not (obstacle := _obstacle(policy, asked_in, place)):
        note = _elsewhere(policy, asked_in, typed or ChannelInfo())
        return Placement(channel=target(policy, asked_in), note=note)
    if policy.approvals == 0:
        note = f"{obstacle} The card goes to {DIRECT}."
        return Placement(channel=requester, note=note, because=obstacle)
    return NowhereToPost(sentence=f"{obstacle} {UNSEEN} {_advice(policy, place)}")


DIRECT = "your direct messages with the bot"

UNSEEN = "A request here needs the approval of other people, and they would see no card."

ELSEWHERE = "Use the command in a channel that they read and the bot is in (type /invite there)"


def _advice(policy: Policy, place: ChannelInfo) -> str:
    """Say what to do where there is no place for the card."""
    if policy.audit_channel:
        invite = f"Invite the bot to <#{policy.audit_channel}> (type /invite there)"
        return f"{invite}, or ask an admin of the bot to change BOT_AUDIT_CHANNEL."
    named = "name this channel in BOT_CHANNELS, or to " if place.is_shared else ""
    return f"{ELSEWHERE}, or ask an admin of the bot to {named}set BOT_AUDIT_CHANNEL."


def _elsewhere(policy: Policy, asked_in: str, typed: ChannelInfo) -> str:
    """Say where the card goes instead of the channel of the command, and why."""
    if target(policy, asked_in) == asked_in:
        return ""
    why = _certain(typed, "here", named=asked_in in policy.channels)
    return f"{why} The card goes to <#{policy.audit_channel}>.".lstrip()


def _obstacle(policy: Policy, asked_in: str, place: ChannelInfo) -> str:
    """Say why the card cannot stand in its target, or nothing."""
    where = f"in <#{policy.audit_channel}>" if policy.audit_channel else "here"
    # Whoever runs the bot has named these channels: shared or not, the card may stand there.
    named = bool(policy.audit_channel) or asked_in in policy.channels
    if certain := _certain(place, where, named=named):
        return certain
    if policy.approvals > 0 and place.can_post is None:
        return f"It could not be checked whether the bot can post {where}: {place.why}."
    return ""


def _certain(place: ChannelInfo, where: str, *, named: bool) -> str:
    """Say why a card certainly cannot stand in a place, or nothing."""
    if place.is_direct:
        return "The command was typed in a direct message."
    if place.can_post is False:
        return f"The bot cannot post {where}: {place.why}."
    if place.is_shared and not named:
        return "This channel is shared with another organization."
    return ""


class Channels:
    """Asks Slack about channels, with `conversations.info`.

    Args:
        client: the Web API.
        identity: our own workspace.
        patience: seconds to wait for Slack.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        identity: Identity,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._identity = identity
        self._patience = patience
        self._clock = clock
        self._places = AsyncCache(self._read, clock)

    async def place(self, channel: str, channel_name: str = "") -> ChannelInfo:
        """Describe a channel; what Slack does not say is unknown, never an error."""
        if is_direct(channel, channel_name):
            return ChannelInfo(is_direct=True, is_shared=False)
        began = self._clock()
        try:
            place = await self._places.get(channel, max_age=HOLDS, timeout=self._patience)
            if not place.can_post:  # somebody may have invited the bot since
                place = await self._places.get(
                    channel, max_age=HOLDS, timeout=self._patience, since=began
                )
        except CALL_ERRORS as error:
            return _unknown(error)
        return place

    async def _read(self, channel: str) -> ChannelInfo:
        answer = await self._client.conversations_info(channel=channel)
        found = answer.get("channel") or {}
        return read_place(found, posts_anywhere=self._identity.posts_anywhere)


def is_direct(channel: str, channel_name: str = "") -> bool:
    """Tell direct messages by id, and by the name that commands carry."""
    return channel.startswith(("D", "U", "W")) or channel_name == "directmessage"


def read_place(channel: Mapping[str, Any], *, posts_anywhere: bool = False) -> ChannelInfo:
    """Read a channel object of Slack; with `chat:write.public` every public channel will do."""
    shared = bool(channel.get("is_ext_shared") or channel.get("is_pending_ext_shared"))
    if channel.get("is_im") or channel.get("is_mpim"):
        return ChannelInfo(is_direct=True, is_shared=shared)
    if channel.get("is_archived"):
        return ChannelInfo(can_post=False, is_shared=shared, why="the channel is archived")
    open_to_us = posts_anywhere and channel.get("is_private") is False
    # Slack says nothing of membership where it makes no difference; the outbox copes with a no.
    if channel.get("is_member", True) or open_to_us:
        return ChannelInfo(can_post=True, is_shared=shared)
    return ChannelInfo(can_post=False, is_shared=shared, why="it is not in this channel")


def _unknown(error: BaseException) -> ChannelInfo:
    meaning = translate_error(error)
    if meaning.code in ABSENT:
        return ChannelInfo(can_post=False, why="it is not in this channel")
    return ChannelInfo(
        why=f"Slack answered {meaning.code}" if meaning.code else "Slack did not answer"
    )
