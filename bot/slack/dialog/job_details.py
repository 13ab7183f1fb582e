"""Builds the details of a job in its dialog, the inputs, and why it cannot be cancelled."""

from collections.abc import Iterator

from bot.atlas import DeliveryType, JobRef, JobState, RestoreJob
from bot.cancellation.job import LinkPhase
from bot.cancellation.lifecycle import JobFingerprint, Request
from bot.cancellation.policy import Policy
from bot.services.service import JobDetails
from bot.slack import blockkit, ids, job_lines, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.channels import Placement
from bot.slack.client import Links
from bot.slack.dialog.state import Shown
from bot.slack.dialog.views import BACK, Content, submit_label, typed_inputs
from bot.slack.errors import see_card

MAX_REASON_LENGTH = 300  #: characters
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


def details(
    details: JobDetails,
    policy: Policy,
    placement: Placement,
    links: Links,
    *,
    may_act_alone: bool = False,
) -> Content:
    """Show the job as Atlas has it now, and the inputs that the policy requires.

    `may_act_alone` adds the checkbox that cancels without approval.
    """
    shown = Shown(
        job=JobFingerprint.of(details.job),
        card_channel=placement.channel,
        because=placement.because and blockkit.cut(placement.because, MAX_REASON_LENGTH),
    )
    alert = LINK_ALERTS.get(details.job.state)
    blocks = [
        _job(details),
        *([blockkit.alert(alert, "warning")] if alert else []),
        *_inputs(policy, details.ref),
        *([ALONE] if may_act_alone else []),
        *_notes(policy, placement, details.open_request, links),
        *_details(details, links),
    ]
    return Content(blocks=blocks, close=BACK, submit=submit_label([policy]), shown=shown)


def not_cancellable(details: JobDetails, links: Links, why: str) -> Content:
    """Show the details of a job, and why it cannot be cancelled here (plain text)."""
    blocks = [_job(details), blockkit.alert(why, "info"), *_details(details, links)]
    return Content(blocks=blocks)


def taken(request: Request, links: Links) -> Content:
    """Name the person who requested the cancellation of this job before, and link to the card."""
    name = mrkdwn.capitalised(mrkdwn.summary(request))
    text = f"{name}\n{_asked(request, links)}"
    return Content(blocks=[blockkit.section(text, block_id=ids.JOB)])


def _asked(request: Request, links: Links) -> str:
    return (
        f"{mrkdwn.asker(request)} asked to cancel this download already, "
        f"{mrkdwn.date(request.created_at)}. {mrkdwn.request_status(request)}"
        f"{see_card(request, links)}"
    )


def why_not_cancellable(job: RestoreJob) -> str:
    """Explain in one plain-text sentence why a job cannot be cancelled."""
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
        *([] if job.state in LINK_ALERTS else [("State", job.state.sentence)]),
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
    policy: Policy, placement: Placement, waiting: Request | None, links: Links
) -> list[Block]:
    """Say where the card goes, who must approve, and which request the submission would end."""
    notes = [placement.note] if placement.note else []
    if waiting:
        how = "Cancelling without approval" if policy.approvals else "Cancelling"
        notes.append(f"{_asked(waiting, links)} {how} ends that request.")
    elif policy.approvals:
        people = "person" if policy.approvals == 1 else "people"
        notes.append(
            f"{policy.approvals} other {people} must approve first: "
            f"{mrkdwn.people(policy.approvers)}."
        )
    return [blockkit.context(" ".join(notes))] if notes else []
