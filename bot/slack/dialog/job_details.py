"""Reads a job for its dialog: what a person may do with it, its details, and the inputs."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import structlog

from bot.atlas import ClusterNotFound, DeliveryType, JobNotFound, JobRef, JobState, RestoreJob
from bot.cancellation import policy as rules
from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.job import Job, LinkPhase
from bot.cancellation.lifecycle import JobFingerprint, Request, State
from bot.cancellation.people import NO_ONE
from bot.cancellation.policy import Policy
from bot.cancellation.posts import own_part
from bot.services.jobs import JobDetails
from bot.slack import blockkit, errors, ids, job_lines, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.channels import Placement, channel_of_cards, choose
from bot.slack.client import Links
from bot.slack.dependencies import Dependencies
from bot.slack.dialog.state import DialogState, Shown
from bot.slack.dialog.views import BACK, Content, elsewhere, submit_label, typed_inputs
from bot.slack.payloads import Actor
from bot.tasks import cancel_and_wait

log = structlog.get_logger(__name__)

ATLAS_TIMEOUT = 12.0  #: seconds for reading a job; the dialog then offers to try again
ALONE = blockkit.checkbox(
    ids.ALONE,
    "In an emergency",
    "Cancel at once, without approval",
    hint="A reason is required. The approvers are notified, and one of them must review it.",
)
#: What follows from a link; plain text has no date tokens: the line about the link has the times.
LINK_ALERTS = {
    JobState.LINK_LIVE: "With the live link, the backup may have been fetched already. "
    "Cancelling ends the link, but cannot undo a download.",
    JobState.LINK_USED: "The link was used or withdrawn: the backup may have been fetched already. "
    "Cancelling cannot undo a download.",
}


@dataclass(slots=True)
class JobReader:
    """Checks what a person may do with a job, reads the job, and builds what its dialog shows."""

    deps: Dependencies
    ref: JobRef
    opened: DialogState  #: where and how the dialog was opened
    actor: Actor
    feed_is_late: bool = field(default=False, init=False)  # of the last content
    #: Why it is not known whether the person may act alone.
    not_checked: RightsNotChecked | None = field(default=None, init=False)

    async def content(self) -> Content:
        """Read the job; Atlas is asked only for people who may request.

        Raises `AtlasError`, `CancellationError`, `NoPlacement` or `ChannelUnknown`.
        """
        ref, asked_in, is_click = self.ref, self.opened.asked_in, self.opened.is_click
        project = self.deps.service.projects.get(ref.project_id)
        policy = project.policies.of(ref.cluster_name)
        if why := await self.deps.refusal(self.actor, asked_in, policy, is_click=is_click):
            raise why
        why_read_only = project.why_read_only(ref.cluster_name)
        reading = asyncio.create_task(self.deps.service.jobs.look_up(ref, timeout=ATLAS_TIMEOUT))
        try:
            placed = None if why_read_only else await self._place(policy)
            read = await reading
        except (JobNotFound, ClusterNotFound):
            if found := await self._find_elsewhere():
                return found
            raise
        finally:
            await cancel_and_wait(reading)
        if not self.feed_is_late:  # then it is read again, for the starter
            state, request = read.job.state.value, read.open_request
            log.info("job looked up", job=ref.job_id, state=state, has_request=bool(request))
        self.feed_is_late = read.feed_is_late
        return self._shown(read, policy, placed, str(why_read_only))

    def _shown(
        self,
        read: JobDetails,
        policy: Policy,
        placed: tuple[Placement, bool] | None,
        why_read_only: str,
    ) -> Content:
        """Show a job with its inputs, the request in the way, or why it cannot be cancelled."""
        job, request, links = read.job, read.open_request, self.deps.links
        may_replace = placed is not None and (placed[1] or policy.approvals == 0)
        if request and request.state is State.QUARANTINED and may_replace:
            read, request = replace(read, open_request=None), None  # acting alone ends it
        if request and not (request.state is State.AWAITING and may_replace):
            if request.state is State.AWAITING and self.not_checked:
                raise self.not_checked
            return taken(request, read.known, links)
        if not job.can_be_cancelled:
            return not_cancellable(read, links, why_not_cancellable(job))
        if placed is None:
            return not_cancellable(read, links, why_read_only)
        placement, may_act_alone = placed
        who = self.actor.id
        return details(read, policy, placement, links, may_act_alone=may_act_alone, who=who)

    async def _find_elsewhere(self) -> Content | None:
        """Search a job that is not in the cluster that was named; None if it is nowhere."""
        ref, opened, deps = self.ref, self.opened, self.deps
        asked_in, is_click = opened.asked_in, opened.is_click
        projects = await deps.allowed_projects(self.actor, asked_in, is_click=is_click)
        found = (await deps.finder.search(ref.job_id, projects)).found
        if found is None or found.job(ref.job_id) == ref:
            return None
        state = DialogState(asked_in=opened.asked_in, is_click=opened.is_click)
        state = state.about(found.job(ref.job_id))
        return elsewhere(ref, state, found.project.name)

    async def _place(self, policy: Policy) -> tuple[Placement, bool]:
        """Choose the card's channel, and find out whether the person may act alone."""
        asked_in, is_click = self.opened.asked_in, self.opened.is_click
        groups = policy.approvers.groups if policy.approvals else ()
        info, typed, members, may_act_alone = await asyncio.gather(
            self.deps.channels.info(channel_of_cards(policy, asked_in, is_click=is_click)),
            self.deps.channels.info(asked_in),
            self.deps.directory.members_of(groups),
            self._may_act_alone(policy),
        )
        placement = choose(policy, asked_in, info, self.actor.id, typed, is_click=is_click)
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


def details(
    details: JobDetails,
    policy: Policy,
    placement: Placement,
    links: Links,
    *,
    may_act_alone: bool = False,
    who: str = "",
) -> Content:
    """Show the job as Atlas has it now, and the inputs that the policy requires.

    `may_act_alone` adds the checkbox that cancels without approval; `who` is the user who reads it.
    """
    shown = Shown(job=JobFingerprint.of(details.job), card_channel=placement.channel)
    alert = LINK_ALERTS.get(details.known.state)
    blocks = [
        _job(details),
        *([blockkit.alert(alert, "warning")] if alert else []),
        *_inputs(policy, details.ref),
        *([ALONE] if may_act_alone else []),
        *_notes(policy, placement, details.open_request, links, who),
        *_details(details, links),
    ]
    return Content(blocks=blocks, close=BACK, submit=submit_label([policy]), shown=shown)


def not_cancellable(details: JobDetails, links: Links, why: str) -> Content:
    """Show the details of a job, and why it cannot be cancelled here (plain text)."""
    blocks = [_job(details), blockkit.alert(why, "info"), *_details(details, links)]
    return Content(blocks=blocks)


def taken(request: Request, known: Job, links: Links) -> Content:
    """Name the person who requested the cancellation of this job before, and link to the card."""
    return Content(blocks=[blockkit.section(errors.taken(request, known, links), block_id=ids.JOB)])


def why_not_cancellable(job: RestoreJob) -> str:
    if job.delivery_type != "download":
        kind = mrkdwn.with_article(str(job.delivery_type))
        return f"Atlas cancels downloads only, and this is {kind}."
    sentence = job.state.sentence
    return f"There is nothing left to cancel: {sentence[0].lower()}{sentence[1:]}"


def _job(details: JobDetails) -> Block:
    """Say what decides: the cluster, who started the job, and how long is left."""
    job, known = details.job, details.known
    kind = "Download" if job.delivery_type == DeliveryType.DOWNLOAD else "Restore job"
    lines = [
        job_lines.headline(kind, details.ref, details.project_name),
        job_lines.started_line(details.ref, known),
    ]
    if known.phase is LinkPhase.LIVE:  # the alert below explains what follows from it
        lines.append(f"*Download link* {job_lines.live_text(known)}")
    elif job.delivery_type == DeliveryType.DOWNLOAD:
        lines.append(job_lines.link_line(known))
    return blockkit.section("\n".join([*lines, *mrkdwn.note(details.note)]), block_id=ids.JOB)


def _details(details: JobDetails, links: Links) -> list[Block]:
    job = details.job
    facts = [
        *([] if details.known.state in LINK_ALERTS else [("State", details.state_sentence)]),
        *mrkdwn.job_facts(JobFingerprint.of(job)),
        *_target_and_times(details),
        ("Job id", mrkdwn.code(details.ref.job_id)),
    ]
    page = mrkdwn.link(links.cluster_page(details.ref), "Open in Atlas")
    return [blockkit.fields(facts), blockkit.context(page)]


def _target_and_times(details: JobDetails) -> Iterator[tuple[str, str]]:
    job = details.job
    if job.target_cluster_name:
        is_own = job.target_project_id == details.ref.project_id
        project = details.project_name if is_own else job.target_project_id or "?"
        yield "Restores to", mrkdwn.code(f"{project}/{job.target_cluster_name}")
    if job.expires_at and not job.link_is_live:  # the line about a live link has this
        label = "Expired" if job.state is JobState.EXPIRED else "Expires"
        yield label, mrkdwn.date(job.expires_at)
    if job.finished_at:
        yield "Finished", mrkdwn.date(job.finished_at)
    if job.shards > 1:
        yield "Parts", f"{job.shards}, one for each shard"


def _inputs(policy: Policy, ref: JobRef) -> list[Block]:
    if not policy.confirm_by_typing:
        return typed_inputs(policy)
    label = "Type the cluster's name to confirm"
    hint = f"In upper or lower case: {ref.cluster_name}"
    typed = blockkit.text_input(ids.TYPED, label, hint=hint, optional=False)
    return [*typed_inputs(policy), typed]


def _notes(
    policy: Policy, placement: Placement, waiting: Request | None, links: Links, who: str
) -> list[Block]:
    """Say where the card goes, who must approve, and which request the submission would end."""
    notes = [placement.note] if placement.note else []
    if waiting:
        how = "Cancelling without approval" if policy.approvals else "Cancelling"
        notes.append(f"{errors.asked_already(waiting, links)} {how} ends that request.")
    elif policy.approvals:
        people = "person" if policy.approvals == 1 else "people"
        notes.append(
            f"{policy.approvals} other {people} must approve first: "
            f"{mrkdwn.people(policy.approvers - own_part(policy, who))}."
        )
    return [blockkit.context(" ".join(notes))] if notes else []
