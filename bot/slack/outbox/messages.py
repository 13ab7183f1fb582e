"""Builds the message of each post: its channel, its content, and whether it is an update."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.cancellation.people import People, is_operator
from bot.cancellation.policy import Policy
from bot.cancellation.posts import Announcement, Post, PostKind, RequestPost
from bot.slack import announcement
from bot.slack.card import replies as card_replies
from bot.slack.card import views as card_views
from bot.slack.client import Links


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A call of chat.postMessage, or of chat.update where `ts` is set.

    Attributes:
        channel: a channel's id, or a user's for a direct message.
        content: the other arguments.
        ts: the message to update.
    """

    channel: str
    content: Mapping[str, Any]
    ts: str | None = None


class Undeliverable(Exception):
    """The post has no message; the text says why."""


class MessageBuilder:
    """Builds messages.

    Args:
        policy_of: returns a project's policy, for the approvers on its cards.
        watch_channel_of: returns the channel for a project's announcements, or None.
        project_name_of: returns a project's display name.
        why_read_only: returns why the bot does not cancel in a project, or an empty text.
    """

    def __init__(
        self,
        links: Links,
        policy_of: Callable[[str], Policy | None],
        watch_channel_of: Callable[[str], str | None],
        project_name_of: Callable[[str], str],
        why_read_only: Callable[[str], str] = lambda _: "",
    ) -> None:
        self._links = links
        self._policy_of = policy_of
        self._watch_channel_of = watch_channel_of
        self._project_name_of = project_name_of
        self._why_read_only = why_read_only

    def build(self, post: Post) -> Message:
        """Build the message; raises `Undeliverable`."""
        return self._announcement(post) if isinstance(post, Announcement) else self._about(post)

    def direct_reply(self, post: RequestPost) -> Message:
        """Build a reply as a direct message to the requester."""
        return Message(channel=post.request.requester, content=self._reply(post))

    def _reply(self, post: RequestPost) -> dict[str, Any]:
        calls = post.event in card_replies.CALLS_APPROVERS
        return card_replies.message(post, self._approvers(post) if calls else None)

    def _about(self, post: RequestPost) -> Message:
        request = post.request
        if post.kind is PostKind.CARD:
            return Message(channel=request.channel, content=self._card(post))
        if post.kind is PostKind.DIRECT:
            content = card_replies.direct_message(post, self._links)
            return Message(channel=post.recipient or request.requester, content=content)
        if request.card is None:
            if post.kind is PostKind.EDIT or is_operator(request.requester):
                raise Undeliverable("the request has no card")
            return self.direct_reply(post)
        if post.kind is PostKind.EDIT:
            content = self._card(post)
            return Message(channel=request.card.channel, content=content, ts=request.card.ts)
        content = self._reply(post) | {"thread_ts": request.card.ts}
        return Message(channel=request.card.channel, content=content)

    def _card(self, post: RequestPost) -> dict[str, Any]:
        approvers = self._approvers(post)
        return card_views.message(post.request, approvers, self._links, post.facts)

    def _approvers(self, post: RequestPost) -> People | None:
        policy = self._policy_of(post.request.ref.project_id)
        return policy.approvers if policy else None

    def _announcement(self, post: Announcement) -> Message:
        job = post.job
        place = job.message
        if place and not place.ts:
            raise Undeliverable("Slack did not return the place of the message")
        channel = place.channel if place else self._watch_channel_of(job.ref.project_id)
        if not channel:
            raise Undeliverable("the project has no watch channel any more")
        name = self._project_name_of(job.ref.project_id)
        why = self._why_read_only(job.ref.project_id)
        content = announcement.message(job, name, self._links, why)
        return Message(channel=channel, content=content, ts=place.ts if place else None)
