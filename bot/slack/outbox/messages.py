"""Builds the message of each post: its channel, its content, and whether it is an update."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.cancellation.lifecycle import UNDECIDED
from bot.cancellation.policy import Mode, Policy
from bot.cancellation.posts import (
    ANNOUNCEMENTS,
    JobPost,
    Post,
    PostKind,
    RequestPost,
    notified_approvers,
)
from bot.services.projects import Projects
from bot.slack import announcement, question
from bot.slack.blockkit import section
from bot.slack.card import replies as card_replies
from bot.slack.card import views as card_views
from bot.slack.client import Links
from bot.slack.outbox.delivery import reaches


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A call of chat.postMessage, or of chat.update where `ts` is set."""

    channel: str  # the id of a channel, or of a user for a direct message
    content: Mapping[str, Any]  # the other arguments
    ts: str | None = None  # the message to update


class Undeliverable(Exception):
    """The post has no message; the text explains why."""


class Unneeded(Exception):
    """The post is out of date; the text explains why."""


@dataclass(frozen=True, slots=True)
class MessageBuilder:
    """Builds messages; the projects have the approvers, the channels and the names."""

    links: Links
    projects: Projects
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def build(self, post: Post) -> Message:
        """Build the message; raises `Undeliverable` or `Unneeded`."""
        if isinstance(post, JobPost):
            build = self._announcement if post.kind in ANNOUNCEMENTS else self._about_starter
            return build(post)
        request = post.request
        match post.kind:
            case PostKind.COPY:
                message = self._copy(post)
            case PostKind.CARD:
                message = _message(post, request.channel, self._card(post))
            case PostKind.SECOND_CARD:
                message = _message(post, "", card_views.second_copy(request, self.links))
            case PostKind.DIRECT:
                content = card_replies.direct_message(post, self.links)
                message = _message(post, post.recipient or request.requester, content)
            case _:
                message = self._in_thread(post)
        return message

    def _in_thread(self, post: RequestPost) -> Message:
        if card := post.request.card:
            return Message(channel=card.channel, content=self._reply(post) | {"thread_ts": card.ts})
        if not reaches(post.request):
            raise Undeliverable("the request has no card")
        return self.direct_reply(post)

    def spare_channel(self, post: Post) -> str | None:
        """Return where a card may go that its channel refused, if no person is its requester."""
        if not isinstance(post, RequestPost) or post.kind is not PostKind.CARD:
            return None
        request = post.request
        policy = self.policy(post)
        if policy is None or reaches(request) or request.moved_because:
            return None
        channels = policy.post_channels.values()
        return next((each for each in channels if each != request.channel), None)

    def direct_reply(self, post: RequestPost) -> Message:
        """Build a reply as a direct message to the requester."""
        return Message(channel=post.request.requester, content=self._reply(post))

    def policy(self, post: RequestPost) -> Policy | None:
        """Return the policy for a post's request; None if the project was removed."""
        return self.projects.policy_or_none(post.request.ref)

    def _reply(self, post: RequestPost) -> dict[str, Any]:
        return card_replies.message(post, self.policy(post))

    def _copy(self, post: RequestPost) -> Message:
        """Build the card as a direct message to an approver."""
        is_waiting, heading = post.request.state in UNDECIDED, None
        # Slack may have a copy that was attempted: its edits need the place.
        if not (is_waiting or post.request.unreviewed or post.is_edit or post.attempts > 1):
            raise Unneeded("the request does not wait any more")
        if is_waiting and not post.is_edit:
            headings = card_views.COPY_HEADINGS
            heading = card_views.SENT_DIRECTLY if post.request.by_bot else headings.get(post.event)
        content = card_views.copy(self._card(post), post.request, self.links, heading)
        return _message(post, post.recipient or "", content)

    def _card(self, post: RequestPost) -> dict[str, Any]:
        ref, policy, mode = post.request.ref, self.policy(post), Mode.OFF
        if policy and not self.projects.get(ref.project_id).why_read_only(ref.cluster_name):
            mode = card_views.shown_mode(policy)
        approvers = notified_approvers(policy, post.request) if policy else None
        note = policy.note if policy else ""
        return card_views.message(
            post.request, approvers, self.links, post.job, mode, note=note, now=self.clock()
        )

    def _about_starter(self, post: JobPost) -> Message:
        """Build the question to a starter, or the alarm in the thread of the announcement."""
        job, project = post.job, self.projects.get_or_none(post.job.ref.project_id)
        is_open = job.started_by.is_certain and not job.state.is_over
        if project is None or not (is_open or post.place or job.answer):
            raise Unneeded("the project was removed, or no answer is needed any more")
        policy = project.policies.of(job.ref.cluster_name)
        why = str(project.why_read_only(job.ref.cluster_name) or "")
        if post.kind is PostKind.ALARM:
            content = question.alarm(job, project.name, policy, why_read_only=why)
            place = job.announcement
            if post.recipient or place is None:  # else it is posted beside the announcement
                return _message(post, post.recipient or policy.watch_channel or "", content)
            return Message(channel=place.channel, content=content | {"thread_ts": place.ts})
        now = self.clock()
        content = question.message(job, project.name, policy, why_read_only=why, now=now)
        return _message(post, post.recipient or "", content)

    def _announcement(self, post: JobPost) -> Message:
        job = post.job
        project = self.projects.get_or_none(job.ref.project_id)
        policy = project.policies.of(job.ref.cluster_name) if project else None
        channel = post.recipient or (policy.watch_channel if policy else None)
        if not (channel or post.place):
            raise Unneeded("the cluster has no watch channel")
        name = project.name if project else job.ref.project_id
        why = project and project.why_read_only(job.ref.cluster_name)
        note = policy.note if policy else ""
        if post.kind is PostKind.RESTORE:
            content = announcement.restore_message(job, name, self.links, note)
        else:
            content = announcement.message(
                job, name, self.links, str(why or ""), note, now=self.clock()
            )
        if post.recipient and not post.place:
            first, *rest = content["blocks"]
            content["blocks"] = [first, section(card_views.SENT_DIRECTLY), *rest]
        return _message(post, channel or "", content)


def _message(post: Post, channel: str, content: Mapping[str, Any]) -> Message:
    """Return an edit of the message, or a new one in `channel`."""
    if place := post.place:
        return Message(channel=place.channel, content=content, ts=place.ts)
    return Message(channel=channel, content=content)
