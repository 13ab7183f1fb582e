"""Reaches approvers by direct messages where a channel of the settings takes no posts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from bot.cancellation import notices
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.job import Job
from bot.cancellation.lifecycle import Request
from bot.cancellation.people import Person
from bot.cancellation.policy import Policy
from bot.cancellation.posts import Announcement, Post, PostKind, RequestPost
from bot.cancellation.quarantine import NO_PLACE
from bot.services.projects import Projects
from bot.services.sweeper import FindPeople
from bot.storage.notice_store import NoticeStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectMessages:
    """Enqueues them, once for each person; raises `StorageError`."""

    store: NoticeStore
    projects: Projects
    find: FindPeople
    on_change: Callable[[], None]

    async def send(self, post: Post) -> None:
        """Send approvers what its channel did not take, if no person waits for it."""
        match post:
            case Announcement(recipient=None, job=job):
                await self._announce(job)
            case RequestPost(kind=PostKind.CARD, request=request) if request.by_bot:
                await self.copy_card(request)

    async def _announce(self, job: Job) -> None:
        policy = self.projects.policy_or_none(job.ref)
        people = await self._approvers(policy) if policy else ()
        if await self.store.announce(job, people):
            log.warning("announcement sent to approvers", job=job.ref.job_id, people=len(people))
            self.on_change()

    async def copy_card(self, request: Request) -> None:
        """Send the card of a quarantine to each approver; without one, the card says why."""
        policy = self.projects.policy_or_none(request.ref)
        if policy and notices.can_reach_approvers(policy):
            people = await self._approvers(policy)
            if await self.store.copy_card(request.id, people):
                log.warning("card sent to approvers", request=request.id, people=len(people))
                self.on_change()
        elif await self.store.record_no_place(request.id, NO_PLACE):
            log.error("nobody sees the card", request=request.id, why=NO_PLACE)

    async def _approvers(self, policy: Policy) -> Sequence[Person]:
        """Return whom to reach: people named by id need no answer of Slack."""
        try:
            found = await self.find(policy.approvers)
        except RightsNotChecked as error:
            log.warning("approvers not read", why=str(error))
            found = [Person(id=user, team="", name=user) for user in sorted(policy.approvers.users)]
        return notices.possible_approvers(policy, found)[: notices.MAX_RECIPIENTS]


def nobody_to_reach(projects: Projects, channel: str) -> str:
    """Return what does not happen while the watch channel takes no posts, or an empty string."""
    names = [
        project.name
        for project in projects.all
        if any(
            policy.watch_channel == channel and not notices.can_reach_approvers(policy)
            for policy in project.policies.all
        )
    ]
    if not names:
        return ""
    return (
        f"The settings name no approver of {', '.join(names)} whom it could reach directly:"
        " new downloads are announced to no one, and the bot cancels none of them."
    )
