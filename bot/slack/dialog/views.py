"""Builds the views of the dialog: a job's details, a search, errors, and the reason of a denial."""

from collections.abc import Collection, Iterator
from functools import partial

from bot.atlas import DeliveryType, JobRef, JobState, RestoreJob
from bot.cancellation.job import LinkPhase
from bot.cancellation.lifecycle import JobFingerprint, Request
from bot.cancellation.policy import Policy
from bot.services.search_results import Search
from bot.services.service import JobDetails
from bot.slack import blockkit, ids, job_lines, mrkdwn
from bot.slack.blockkit import Block, View
from bot.slack.client import Links
from bot.slack.deployment import command_code
from bot.slack.dialog.metadata import (
    DialogState,
    JobTarget,
    SearchTarget,
    UnreadableDialog,
    encode_target,
    read_target,
)
from bot.slack.errors import internal_error_text, see_card
from bot.slack.grammar import job_value
from bot.slack.lists import unavailable_blocks
from bot.slack.payloads import HOME_KEY, REQUEST_KEY, encode_metadata
from bot.slack.placement import Placement, is_direct
from bot.slack.plain_text import as_text

DONE = "Done"  #: submits a dialog that only closes
SUBMIT = "Cancel the job"
ASK = "Ask for approval"  #: the same button where the policy requires approvals
#: A dialog never has two buttons that are both labelled "cancel".
BACK = "Go back"

#: Builds a view of the dialog; without `submit` it has no submit button.
modal = partial(blockkit.modal, callback_id=ids.DIALOG, title="Cancel a download", close="Close")

MAX_PROJECTS = 10  #: projects that one sentence names
MAX_NAME_LENGTH = 200  #: characters that the metadata keeps; the ids identify the project
MAX_REASON_LENGTH = 300  #: characters
HOURGLASS = ":hourglass_flowing_sand:"
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
NOT_SEARCHED = "Flex and serverless clusters are not searched: Atlas has no call to cancel there."


def loading(target: JobTarget) -> View:
    """Show which job is being read, without its project: rights are not known yet."""
    return modal(
        [blockkit.section(f"{HOURGLASS} Looking up {mrkdwn.job(target.ref)} …")],
        close=BACK,
        private_metadata=encode_target(target),
    )


def details(
    details: JobDetails,
    target: JobTarget,
    policy: Policy,
    placement: Placement,
    links: Links,
    *,
    may_act_alone: bool = False,
) -> View:
    """Show the job as Atlas has it now, and the inputs that the policy requires.

    `may_act_alone` adds the checkbox that cancels without approval.
    """
    state = DialogState(
        ref=target.ref,
        asked_in=target.asked_in,
        project_name=blockkit.cut(details.project_name, MAX_NAME_LENGTH),
        shown=JobFingerprint.of(details.job),
        card_channel=placement.channel,
        because=placement.because and blockkit.cut(placement.because, MAX_REASON_LENGTH),
    )
    alert = LINK_ALERTS.get(details.job.state)
    blocks = [
        _job(details),
        *([blockkit.alert(alert, "warning")] if alert else []),
        *_inputs(policy, target.ref),
        *([ALONE] if may_act_alone else []),
        *_notes(policy, placement, details.open_request, links),
        *_details(details, links),
    ]
    submit = submit_label([policy])
    return modal(blocks, close=BACK, submit=submit, private_metadata=encode_target(state))


def submit_label(policies: Collection[Policy]) -> str:
    """Say what the submit button does under each of the policies that may hold."""
    return ASK if policies and all(each.approvals for each in policies) else SUBMIT


def not_cancellable(details: JobDetails, target: JobTarget, links: Links, why: str) -> View:
    """Show the details of a job, and why it cannot be cancelled here (plain text)."""
    blocks = [_job(details), blockkit.alert(why, "info"), *_details(details, links)]
    return modal(blocks, private_metadata=encode_target(target))


def taken(request: Request, links: Links) -> View:
    """Name the person who requested the cancellation of this job before, and link to the card."""
    name = mrkdwn.capitalised(mrkdwn.summary(request))
    return modal([blockkit.section(f"{name}\n{_asked(request, links)}", block_id=ids.JOB)])


def _asked(request: Request, links: Links) -> str:
    return (
        f"{mrkdwn.asker(request)} asked to cancel this download already, "
        f"{mrkdwn.date(request.created_at)}. {mrkdwn.request_status(request)}"
        f"{see_card(request, links)}"
    )


def error(sentence: str, target: JobTarget | SearchTarget, atlas_answer: str = "") -> View:
    """Show why the job could not be read or searched, with a button to try again.

    `sentence` is plain text; `atlas_answer`, the HTTP status and code, is trusted mrkdwn.
    """
    if isinstance(target, SearchTarget):
        job = f"Job {mrkdwn.code(target.job_id)}"
    else:
        job = mrkdwn.capitalised(mrkdwn.job(target.ref))
    blocks = [
        blockkit.section(job, block_id=ids.JOB),
        blockkit.section(f":warning: {mrkdwn.escape(sentence, 2500)}{atlas_answer}"),
        blockkit.context("Nothing was done."),
        read_button("Try again"),
    ]
    return modal(blocks, private_metadata=encode_target(target))


def read_button(label: str) -> Block:
    """Build the button that reads again what the view's metadata names."""
    return blockkit.actions(blockkit.button(label, ids.TRY_AGAIN, "again", style="primary"))


def elsewhere(asked: JobRef, found: JobTarget, project_name: str) -> View:
    """Say that a job is in another cluster than was asked, with a button that shows it."""
    where = f"{mrkdwn.code(found.ref.cluster_name)} in {mrkdwn.one_line(project_name)}"
    name = f"Job {mrkdwn.code(asked.job_id)}"
    text = f":mag: {name} is not in {mrkdwn.code(asked.cluster_name)}. It is in {where}."
    blocks = [
        blockkit.section(text, block_id=ids.JOB),
        blockkit.context("Nothing was done."),
        read_button("Show it"),
    ]
    return modal(blocks, private_metadata=encode_target(found))


def refused(text: str) -> View:
    """Show why this person cannot continue; `text` is trusted mrkdwn."""
    return modal([blockkit.section(f":no_entry: {text}"), blockkit.context("Nothing was done.")])


def plain(view: View, why: str) -> View | None:
    """Show `why` Slack refused a view (mrkdwn), and its text; None for a progress view."""
    text = as_text(view["blocks"]) or f"{command_code('list')} shows what can be cancelled."
    if any(line.startswith(HOURGLASS) for line in text.splitlines()):
        return None
    return modal([blockkit.section(f":warning: {why}\n{text}")])


def open_button(view: View) -> list[Block]:
    """Build the button that opens the dialog of a view's job again, if the view names one."""
    try:
        ref = read_target(view).ref
    except UnreadableDialog:
        return []
    return [blockkit.actions(blockkit.button("Try again", ids.OPEN, job_value(ref)))]


def posted_elsewhere(request: Request, card: str | None = None) -> View:
    """Confirm a submission whose card is in another channel; `card` is the card's URL."""
    is_dm = is_direct(request.channel)
    where = "your direct messages with the bot" if is_dm else mrkdwn.channel(request.channel)
    link = f" {mrkdwn.link(card, 'Go to the card')}." if card else ""
    text = f"The request is recorded. Its card is in {where}.{link}"
    return modal([blockkit.section(f":white_check_mark: {text}")])


def internal_error(reference: str) -> View:
    return modal([blockkit.section(f":warning: {internal_error_text(reference)}")])


#: The dialogs that ask for a reason: title, button, what happens, and who reads it.
REASON_DIALOGS = {
    ids.DENY_DIALOG: (
        "Deny cancelling",
        "Deny",
        "The request ends, and the download goes on: the bot does not cancel it.",
        "The person who asked will read this in the thread.",
    ),
    ids.KEEP_DIALOG: (
        "Keep the download",
        "Keep it",
        "The download goes on, and the bot does not cancel it.",
        "It is shown on the card and in the audit log.",
    ),
}


def ask_reason(dialog: str, request_id: str, *, in_home: bool = False) -> View:
    """Ask for the reason of a decision; `in_home`: the button was in the Home tab."""
    title, submit, text, hint = REASON_DIALOGS[dialog]
    reason = blockkit.text_input(ids.REASON, "Reason", hint=hint, optional=False, multiline=True)
    return blockkit.modal(
        [blockkit.section(text), reason],
        callback_id=dialog,
        title=title,
        submit=submit,
        close="Go back",
        private_metadata=encode_metadata({REQUEST_KEY: request_id, HOME_KEY: in_home}),
    )


def why_not_cancellable(job: RestoreJob) -> str:
    """Explain in one plain-text sentence why a job cannot be cancelled."""
    if job.delivery_type != "download":
        kind = mrkdwn.with_article(str(job.delivery_type))
        return f"Atlas cancels downloads only, and this is {kind}."
    sentence = job.state.sentence
    return f"There is nothing left to cancel: {sentence[0].lower()}{sentence[1:]}"


def searching(job_id: str, cluster: str | None) -> View:
    """Show that a search starts; without projects, as the person is not known yet."""
    where = f"{mrkdwn.code(cluster)} in all projects" if cluster else "all clusters"
    text = f"{HOURGLASS} Searching {where} for job {mrkdwn.code(job_id)} …"
    return modal([blockkit.section(text, block_id=ids.JOB)], close=BACK)


def not_found(target: SearchTarget, result: Search) -> View:
    """Show that a job was not found, and what could not be searched."""
    job_id, cluster = target.job_id, target.cluster
    count = mrkdwn.count(len(result.searched), "cluster")
    where = f"in {mrkdwn.code(cluster) if cluster else count}"
    names = sorted({each.project.name for each in result.searched})
    projects = mrkdwn.join(map(mrkdwn.one_line, names), MAX_PROJECTS, "more projects")
    text = f":mag: Job {mrkdwn.code(job_id)} was not found {where}"
    note = "Nothing was done." if cluster else f"{NOT_SEARCHED} Nothing was done."
    blocks = [
        blockkit.section(f"{text}{f' of {projects}' if projects else ''}.", block_id=ids.JOB),
        *unavailable_blocks(result.unavailable),
        blockkit.context(note),
        *([read_button("Try again")] if result.unavailable else []),
    ]
    return modal(blocks, private_metadata=encode_target(target))


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
    return blockkit.section("\n".join(lines), block_id=ids.JOB)


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


def reason_input(policy: Policy | None) -> Block:
    return blockkit.text_input(
        ids.REASON,
        "Reason",
        hint="It is shown on the card, to everyone in the channel.",
        optional=policy is None or not policy.require_reason,
        multiline=True,
    )


def _inputs(policy: Policy, ref: JobRef) -> list[Block]:
    if not policy.confirm_by_typing:
        return [reason_input(policy)]
    label = "Type the cluster's name to confirm"
    hint = f"In upper or lower case: {ref.cluster_name}"
    typed = blockkit.text_input(ids.TYPED, label, hint=hint, optional=False)
    return [reason_input(policy), typed]


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
