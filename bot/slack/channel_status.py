"""Whether the channels that the settings name take posts: as Slack describes them, or refuses."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass
from itertools import chain

import structlog

from bot.services.projects import Projects
from bot.slack.errors import CannotPost, SlackError, SlackRejected
from bot.slack.placement import ABSENT, ChannelInfo, is_direct
from bot.tasks import log_errors, wait_up_to
from bot.timings import Timings

SPACING = 2.0  #: seconds between two reads: Slack allows 50 a minute, and dialogs read channels too

#: Why the bot cannot post, by the code with which Slack refuses a post or a reply.
WHY: Mapping[str, str] = {
    "is_archived": "the channel is archived",
    **dict.fromkeys(ABSENT, "it is not in this channel"),
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    why: str
    is_described: bool  #: whether `conversations.info` shows it, and so its end; else a post does


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
        self._refusals: dict[str, Refusal] = {}
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
                self._refuse(channel, Refusal(info.why, is_described=True))
            elif info.can_post and self._refusals.get(channel, NO_REFUSAL).is_described:
                self._accept(channel)
        return self.refuses(channel) is None

    def refuses(self, channel: str) -> str | None:
        """Return why the bot cannot post in a channel; None where it can, or that is unknown."""
        refusal = self._refusals.get(channel)
        return refusal.why if refusal else None

    def record_answer(self, channel: str, error: SlackError | None, *, is_reply: bool) -> None:
        """Take Slack's answer to a post; a reply may be refused because of its thread."""
        if error is None:
            self._accept(channel)
        elif _is_of_channel(channel, error, is_reply=is_reply):
            why = WHY.get(error.code, f"Slack answered {error.code}")
            known = self._refusals.get(channel, NO_REFUSAL)
            self._refuse(channel, Refusal(why, known.is_described))
        self._report()

    def problem(self) -> str | None:
        """Return a sentence that names the channels of the settings that take no posts."""
        sentences = [
            f"The bot cannot post in {each}: {why}. {self.consequence(each)}".rstrip()
            for each in self.named()
            if (why := self.refuses(each))
        ]
        return " ".join(sentences) or None

    def _refuse(self, channel: str, refusal: Refusal) -> None:
        if channel not in self._refusals:
            so = self.consequence(channel)
            log.error("channel takes no posts", channel=channel, why=refusal.why, consequence=so)
            self._wakeup.set()
        self._refusals[channel] = refusal

    def _accept(self, channel: str) -> None:
        if self._refusals.pop(channel, None):
            log.info("channel takes posts again", channel=channel)

    def _report(self) -> None:
        self.report({channel: self.refuses(channel) is None for channel in self.named()})


NO_REFUSAL = Refusal("", is_described=False)


def _is_of_channel(channel: str, error: SlackError, *, is_reply: bool) -> bool:
    """Whether Slack refuses the channel, not the thread or the person."""
    if is_direct(channel) or not isinstance(error, (CannotPost, SlackRejected)):
        return False
    return error.code in WHY or not is_reply


def named_channels(projects: Projects) -> Collection[str]:
    """Return the channels in which the settings want cards and announcements, each once.

    Where an audit channel gets the cards, those of the command get none.
    """
    found: dict[str, None] = {}
    for policy in chain.from_iterable(project.policies.all for project in projects.all):
        cards = [policy.audit_channel] if policy.audit_channel else sorted(policy.channels)
        found |= dict.fromkeys(each for each in (policy.watch_channel, *cards) if each)
    return tuple(found)
