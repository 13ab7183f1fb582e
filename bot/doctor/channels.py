"""The channels that the settings name: are they there, and can the bot post in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.doctor.results import CheckResult, Subject
from bot.doctor.tokens import said
from bot.slack.errors import CALL_ERRORS, translate_error
from bot.slack.placement import ABSENT, is_direct, read_place

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.doctor.named import Named
    from bot.slack.identity import Identity

INVITE = "Type /invite in the channel, and choose the bot."
CHECK_ID = "Check the id (at the end of the channel's details); if it is private, /invite the bot."


def subject_of(channel: Named) -> Subject:
    return Subject("channel", channel.about)


async def channel_finding(
    client: AsyncWebClient, identity: Identity, channel: Named
) -> CheckResult:
    """Ask Slack about one channel."""
    subject = subject_of(channel)
    if is_direct(channel.id):
        return subject.unchecked("it is a direct message, into which the bot has no scope to look")
    try:
        answer = await client.conversations_info(channel=channel.id)
    except CALL_ERRORS as error:
        return _unreadable(subject, error)
    found: Mapping[str, Any] = answer.get("channel") or {}
    place = read_place(found, posts_anywhere=identity.posts_anywhere)
    name = f"#{found.get('name') or channel.id}"
    if found.get("is_archived"):
        return subject.problem(f"{name} is archived", "Name another channel, or unarchive it.")
    if channel.needed and not place.can_post:
        return subject.problem(f"the bot cannot post in {name}: {place.why}", INVITE)
    if place.is_shared:
        do = "Make sure that they may see what is cancelled, and why."
        return subject.warning(f"people of another organization read along in {name}", do)
    posts = "the bot can post there" if place.can_post else "cards go to the audit channel"
    return subject.ok(f"{name}: {posts}")


def _unreadable(subject: Subject, error: BaseException) -> CheckResult:
    code = translate_error(error).code
    if code == "missing_scope":
        return subject.unchecked("the scope to look is missing, see above")
    if code in ABSENT:
        return subject.problem(
            "Slack knows no such channel, or it is private and the bot is not in it", CHECK_ID
        )
    return subject.problem(f"it cannot be looked up: {said(error)}", "Try again in a minute.")
