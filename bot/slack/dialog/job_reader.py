"""Reads a job for its dialog: what a person may do with it, and what Atlas and Slack say."""

import asyncio
from dataclasses import dataclass, field

import structlog

from bot.atlas import ClusterNotFound, JobNotFound, JobRef
from bot.cancellation import policy as rules
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.lifecycle import State
from bot.cancellation.people import NO_ONE
from bot.cancellation.policy import Policy
from bot.services.projects import Project
from bot.slack.channels import Placement, choose
from bot.slack.dependencies import Dependencies
from bot.slack.dialog import job_details, views
from bot.slack.dialog.state import DialogState
from bot.slack.dialog.views import Content
from bot.slack.payloads import Actor
from bot.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

ATLAS_TIMEOUT = 12.0  #: seconds for reading a job; the dialog then offers to try again


@dataclass(slots=True)
class JobReader:
    """Checks what a person may do with a job, reads the job, and builds what its dialog shows."""

    deps: Dependencies
    ref: JobRef
    asked_in: str
    actor: Actor
    feed_is_late: bool = field(default=False, init=False)  # of the last content
    #: Why it is not known whether the person may act alone.
    not_checked: RightsNotChecked | None = field(default=None, init=False)

    async def content(self) -> Content:
        """Read the job; Atlas is asked only for people who may request.

        Raises `AtlasError`, `CancellationError`, `NoPlacement` or `ChannelUnknown`.
        """
        project, ref = await self._allowed_project(), self.ref
        policy = project.policies.of(ref.cluster_name)
        why_read_only = project.why_read_only(ref.cluster_name)
        reading = asyncio.create_task(self.deps.service.look_up(ref, timeout=ATLAS_TIMEOUT))
        try:
            placed = None if why_read_only else await self._place(policy)
            details = await reading
        except (JobNotFound, ClusterNotFound):
            if found := await self._find_elsewhere():
                return found
            raise
        finally:
            await cancel_and_wait(reading)
        job, request, links = details.job, details.open_request, self.deps.links
        self.feed_is_late = details.feed_is_late
        log.info(
            "job looked up",
            job=ref.job_id,
            state=job.state.value,
            can_be_cancelled=job.can_be_cancelled,
            **({"taken_by": request.id} if request else {}),
        )
        may_replace = placed is not None and (placed[1] or policy.approvals == 0)
        if request and not (request.state is State.AWAITING and may_replace):
            if request.state is State.AWAITING and self.not_checked:
                raise self.not_checked
            return job_details.taken(request, links)
        if not job.can_be_cancelled or placed is None:
            why = str(why_read_only)
            why = why if job.can_be_cancelled else job_details.why_not_cancellable(job)
            return job_details.not_cancellable(details, links, why)
        placement, may_act_alone = placed
        return job_details.details(details, policy, placement, links, may_act_alone=may_act_alone)

    async def _find_elsewhere(self) -> Content | None:
        """Search a job that is not in the cluster that was named; None if it is nowhere."""
        ref, asked_in, deps = self.ref, self.asked_in, self.deps
        candidates = deps.service.projects.all
        projects = await deps.directory.allowed_projects(self.actor, asked_in, candidates)
        found = (await deps.service.finder.search(ref.job_id, projects)).found
        if found is None or found.job(ref.job_id) == ref:
            return None
        state = DialogState(asked_in=asked_in).about(found.job(ref.job_id))
        return views.elsewhere(ref, state, found.project.name)

    async def _allowed_project(self) -> Project:
        project = self.deps.service.projects.get(self.ref.project_id)
        policy = project.policies.of(self.ref.cluster_name)
        if refusal := rules.may_use_channel(policy, self.asked_in):
            raise refusal
        person = await self.deps.directory.person(self.actor, policy.requesters)
        if refusal := rules.may_request(policy, person):
            raise refusal
        return project

    async def _place(self, policy: Policy) -> tuple[Placement, bool]:
        """Choose the card's channel, and find out whether the person may act alone."""
        asked_in = self.asked_in
        groups = policy.approvers.groups if policy.approvals else ()
        info, typed, members, may_act_alone = await asyncio.gather(
            self.deps.channels.info(policy.audit_channel or asked_in),
            self.deps.channels.info(asked_in),
            # One more than needed, because the requester may be one of them.
            self.deps.directory.full_members_of(groups, policy.approvals + 1),
            self._may_act_alone(policy),
        )
        placement = choose(policy, asked_in, info, self.actor.id, typed)
        refusal = rules.check_enough_approvers(policy, self.actor.id, members)
        if refusal and not may_act_alone:
            raise refusal
        return placement, may_act_alone

    async def _may_act_alone(self, policy: Policy) -> bool:
        if policy.approvals == 0 or policy.break_glass == NO_ONE:
            return False
        self.not_checked = None
        try:
            person = await self.deps.directory.person(self.actor, policy.break_glass)
        except RightsNotChecked as error:
            self.not_checked = error
            log.info("checkbox left out", error=str(error))
            return False
        return rules.may_act_alone(policy, person) is None
