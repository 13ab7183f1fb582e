"""Channels: which one a card goes to, and whether those of the settings take posts."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from itertools import chain
from typing import Any

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.errors import NotAllowed
from bot.cancellation.policy import Policy, may_use_channel
from bot.cancellation.posts import are_reached_directly
from bot.services.projects import Projects
from bot.slack import errors
from bot.slack.client import Identity
from bot.slack.errors import SlackError
from bot.tasks import AsyncCache, log_errors, wait_up_to
from bot.timings import Timings

SPACING = 2.0  #: seconds between two reads: Slack allows 50 a minute, and dialogs read channels too
LOOKUP_TIMEOUT = 2.0  #: seconds to wait for Slack before continuing without an answer

#: Seconds for which a positive answer is reused: Slack allows about 50 calls a minute. If it is
#: outdated, the outbox handles the refusal.
MAX_AGE = 10.0
#: Codes for a channel in which the bot cannot post; other errors leave that unknown.
ABSENT = frozenset({"channel_not_found", "not_in_channel", "method_not_supported_for_channel_type"})

#: Why the bot cannot post, by the code with which Slack refuses a post or a reply.
WHY: Mapping[str, str] = {
    "is_archived": "the channel is archived",
    **dict.fromkeys(ABSENT, "it is not in this channel"),
}

THIS = "this channel"  #: the channel of the command, in the dialog that opens there

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelInfo:
    """A channel, as far as Slack describes it; None is unknown.

    No approver sees a direct message. A shared channel has members of another organization.
    `why` explains why the bot cannot post, or why nothing is known.
    """

    is_direct: bool = False
    can_post: bool | None = None
    is_shared: bool | None = None
    why: str = ""

    @property
    def is_unknown(self) -> bool:
        return self.can_post is None and not self.is_direct


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The channel of a card, or the user of its direct message.

    Where it is another channel than that of the command, the dialog shows `note` (safe mrkdwn).
    """

    channel: str
    note: str = ""


class NoPlacement(Exception):
    """The approvers would see the card in no channel; the text is trusted mrkdwn."""


class ChannelUnknown(Exception):
    """Slack does not say now whether external people read the channel; the text is plain."""


def choose(
    policy: Policy,
    asked_in: str,
    info: ChannelInfo,
    requester: str,
    typed: ChannelInfo | None = None,
    *,
    is_click: bool = False,
) -> Placement:
    """Choose the card's channel; raises `NoPlacement` or `ChannelUnknown`.

    A card falls back to the direct message with the requester, unless the approvers, who must see
    it, get no direct messages. `info` is about the target channel, `typed` about the channel of
    the command or the click, where that is another one.
    """
    # The settings name these channels, so they may be shared.
    named = {*policy.post_channels.values(), *policy.channels}
    channel, note = channel_of_cards(policy, asked_in, is_click=is_click), ""
    obstacle = partial(_obstacle, is_click=is_click)
    is_named = channel in named
    if not (why := obstacle(info, THIS if channel == asked_in else f"<#{channel}>", is_named)):
        if channel != asked_in:
            if typed and not typed.is_unknown:
                why = obstacle(typed, THIS, asked_in in named)
            note = f"{why} The card goes to <#{channel}>.".lstrip()
        return Placement(channel=channel, note=note)
    also = ""
    if policy.approvals:
        is_refused = info.is_direct and not is_click
        _check_approvers_see_it(policy, info, requester, why, is_refused=is_refused)
        also = ", and to those of the approvers"
    note = f"{why} The card goes to your direct messages with the bot{also}."
    return Placement(channel=requester, note=note)


def channel_of_cards(policy: Policy, asked_in: str, *, is_click: bool) -> str:
    """Return the channel for the card of a request that was asked for in `asked_in`.

    Approvers see no direct message, and the channels of the command are for oversight; the watch
    channel has the download of a click there.
    """
    is_unseen = (policy.approvals > 0 or policy.channels) and is_click and is_direct(asked_in)
    seen = policy.watch_channel or min(policy.channels, default=None)
    return policy.audit_channel or (seen if is_unseen else None) or asked_in


def may_use(policy: Policy, asked_in: str, *, is_click: bool) -> NotAllowed | None:
    """Return why a dialog does not work in a channel, or None.

    The bot's own button works in a direct message: its card goes to a channel of the settings.
    """
    is_own = is_click and is_direct(asked_in)
    return None if is_own else may_use_channel(policy, asked_in)


def _check_approvers_see_it(
    policy: Policy, info: ChannelInfo, requester: str, why: str, *, is_refused: bool
) -> None:
    if info.is_unknown:
        raise ChannelUnknown(why)
    if is_refused or not are_reached_directly(policy, requester):
        unseen = "A request here needs the approval of other people, and they would see no card."
        raise NoPlacement(f"{why} {unseen} {_advice(policy, info)}")


def _advice(policy: Policy, info: ChannelInfo) -> str:
    if policy.audit_channel:
        invite = f"Invite the bot to <#{policy.audit_channel}> (type /invite there)"
        return f"{invite}, or ask an admin of the bot to name another audit channel."
    named = "allow this channel, or to " if info.is_shared else ""
    return (
        "Use the command in a channel that they read and the bot is in (type /invite there), "
        f"or ask an admin of the bot to {named}name an audit channel."
    )


def _obstacle(info: ChannelInfo, name: str, is_named: bool, *, is_click: bool) -> str:
    """Return why a card must not go to a channel, or an empty string."""
    if info.is_direct:
        asked = "It was asked for" if is_click else "The command was typed"
        return f"{asked} in a direct message."
    if info.can_post is False:
        return f"The bot cannot post in {name}: {info.why}."
    if info.is_shared and not is_named:
        return f"{name.capitalize()} is shared with another organization."
    if info.is_unknown and not is_named:
        return f"It is not known whether {name} is shared with another organization: {info.why}."
    return ""


@dataclass(eq=False)
class Channels:
    """Looks up channels with `conversations.info`; `clock` is monotonic, in seconds."""

    client: AsyncWebClient
    identity: Identity
    clock: Callable[[], float] = time.monotonic
    max_age: float = MAX_AGE
    limits: errors.CallLimits | None = None  #: those of the process

    def __post_init__(self) -> None:
        self._infos = AsyncCache(self._read, self.clock)
        self._call = (self.limits or errors.CallLimits(self.clock)).call

    async def info(self, channel: str) -> ChannelInfo:
        """Return what is known about a channel; without an answer it is unknown, not an error."""
        if is_direct(channel):
            return ChannelInfo(is_direct=True, is_shared=False)
        look_up = partial(self._infos.get, channel, max_age=self.max_age, timeout=LOOKUP_TIMEOUT)
        began = self.clock()
        try:
            info = await look_up()
            # The bot may have been invited since.
            return info if info.can_post else await look_up(since=began)
        except (SlackError, TimeoutError) as error:
            code = errors.translate_error(error).code
        if code in ABSENT:
            return ChannelInfo(can_post=False, why="it is not a member")
        if code == "missing_scope":
            return ChannelInfo(why="the bot lacks the scope channels:read (private: groups:read)")
        return ChannelInfo(why=f"Slack answered {code}" if code else "Slack did not answer")

    async def _read(self, channel: str) -> ChannelInfo:
        answer = await self._call(self.client.conversations_info, channel=channel)
        if not (found := answer.get("channel")):
            return ChannelInfo(why="Slack did not describe it")
        return read_channel(found, posts_anywhere=self.identity.posts_anywhere)


def is_direct(channel: str) -> bool:
    return channel.startswith(("D", "U", "W"))


def read_channel(channel: Mapping[str, Any], *, posts_anywhere: bool = False) -> ChannelInfo:
    shared = bool(channel.get("is_ext_shared") or channel.get("is_pending_ext_shared"))
    if channel.get("is_im") or channel.get("is_mpim"):
        return ChannelInfo(is_direct=True, is_shared=shared)
    if channel.get("is_archived"):
        return ChannelInfo(can_post=False, is_shared=shared, why="the channel is archived")
    is_public = channel.get("is_private") is False
    # Without the field `is_member` the bot tries; the outbox handles a refusal.
    if channel.get("is_member", True) or (posts_anywhere and is_public):
        return ChannelInfo(can_post=True, is_shared=shared)
    return ChannelInfo(can_post=False, is_shared=shared, why="it is not a member")


@dataclass(eq=False)
class ChannelStatus:
    """What this process knows of the channels; without a refusal a channel takes posts."""

    read: Callable[[str], Awaitable[ChannelInfo]]
    named: Callable[[], Collection[str]]  #: the channels of the current settings
    _: KW_ONLY
    #: Returns a sentence about what does not happen while a channel takes no posts, or nothing.
    consequence: Callable[[str], str] = lambda _channel: ""
    #: Called with every named channel, and whether it takes posts.
    report: Callable[[Mapping[str, bool]], None] = lambda _channels: None
    interval: float = Timings.channel_interval
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._refusals: dict[str, str] = {}  # why, by channel
        # Of these `conversations.info` shows the refusal, and so its end; else a post does.
        self._described: set[str] = set()
        self._read_at: dict[str, float] = {}
        self._wakeup = asyncio.Event()

    async def run(self) -> None:
        """Read all channels again and again, until cancelled; after a first refusal at once."""
        while True:
            self._wakeup.clear()
            with log_errors("channels not read"):
                await self._read_all()
            await wait_up_to(self.interval, self._wakeup)

    async def _read_all(self) -> None:
        for channel in self.named():
            await self.takes_posts(channel, max_age=0.0)
            self._report()
            await wait_up_to(SPACING, self._wakeup)

    async def takes_posts(self, channel: str, max_age: float) -> bool:
        """Whether a channel takes posts, by an answer younger than `max_age` seconds.

        Where Slack does not say, the last refusal or post counts.
        """
        age = self.monotonic() - self._read_at.get(channel, -math.inf)
        if age >= max_age and not is_direct(channel):
            info = await self.read(channel)
            self._read_at[channel] = self.monotonic()
            if info.can_post is False:
                self._refuse(channel, info.why)
                self._described.add(channel)
            elif info.can_post and channel in self._described:
                self._accept(channel)
        return self.refuses(channel) is None

    def refuses(self, channel: str) -> str | None:
        """Return why the bot cannot post in a channel; None where it can, or that is unknown."""
        return self._refusals.get(channel)

    def record_answer(self, channel: str, error: SlackError | None, *, is_reply: bool) -> None:
        """Take Slack's answer to a post; a reply may be refused because of its thread."""
        if error is None:
            self._accept(channel)
        elif _is_of_channel(channel, error, is_reply=is_reply):
            self._refuse(channel, WHY.get(error.code, f"Slack answered {error.code}"))
        self._report()

    def problem(self) -> str | None:
        """Return a sentence that names the channels of the settings that take no posts."""
        sentences = [
            f"The bot cannot post in {each}: {why}. {self.consequence(each)}".rstrip()
            for each in self.named()
            if (why := self.refuses(each))
        ]
        return " ".join(sentences) or None

    def _refuse(self, channel: str, why: str) -> None:
        if channel not in self._refusals:
            so = self.consequence(channel)
            log.error("channel takes no posts", channel=channel, why=why, consequence=so)
            self._wakeup.set()
        self._refusals[channel] = why

    def _accept(self, channel: str) -> None:
        self._described.discard(channel)
        if self._refusals.pop(channel, None) is not None:
            log.info("channel takes posts again", channel=channel)

    def _report(self) -> None:
        self.report({channel: self.refuses(channel) is None for channel in self.named()})


def _is_of_channel(channel: str, error: SlackError, *, is_reply: bool) -> bool:
    """Whether Slack refuses the channel, not the thread or the person."""
    if is_direct(channel) or not isinstance(error, (errors.CannotPost, errors.SlackRejected)):
        return False
    return error.code in WHY or not is_reply


def named_channels(projects: Projects) -> Collection[str]:
    """Return the channels in which the settings want cards and announcements, each once.

    Where an audit channel gets the cards, those of the command get none.
    """
    found: dict[str, None] = {}
    for policy in chain.from_iterable(project.policies.all for project in projects.all):
        cards = () if policy.audit_channel else sorted(policy.channels)
        found |= dict.fromkeys([*reversed(policy.post_channels.values()), *cards])
    return tuple(found)
