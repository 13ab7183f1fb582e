"""The dialog: one view for each answer to "what about this job?"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cancellation.lifecycle import JobFingerprint
from bot.slack import blockkit, ids, mrkdwn
from bot.slack import job_facts as job_words
from bot.slack.dialog.metadata import DialogState, write_asked, write_seen

if TYPE_CHECKING:
    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import Policy
    from bot.services.service import JobDetails
    from bot.slack.blockkit import Block, View
    from bot.slack.dialog.metadata import JobTarget
    from bot.slack.links import Links
    from bot.slack.placement import Placement

TITLE = "Cancel a restore job"
SUBMIT = "Cancel the job"
#: Never two buttons that both say "cancel".
KEEP = "Keep it"
CLOSE = "Close"


def loading(asked: JobTarget) -> View:
    """Show at once, while Atlas is asked."""
    said = f":hourglass_flowing_sand: Looking up {_which(asked)} …"
    return _view([blockkit.section(said)], close=KEEP, private_metadata=write_asked(asked))


def details(
    sight: JobDetails, asked: JobTarget, policy: Policy, standing: Placement, links: Links
) -> View:
    """Show the job as Atlas has it now, with what is asked of the requester."""
    seen = DialogState(
        asked=asked,
        shown=JobFingerprint.of(sight.job),
        card_channel=standing.channel,
        because=standing.because,
    )
    blocks = [
        *_job(sight.job, asked, links),
        *_warning(sight.job),
        *_inputs(policy, asked.ref),
        *_notes(policy, standing),
    ]
    return _view(blocks, close=KEEP, submit=SUBMIT, private_metadata=write_seen(seen))


def not_cancellable(sight: JobDetails, asked: JobTarget, links: Links) -> View:
    """Show the same details, and one sentence why nothing can be done."""
    why = blockkit.alert(why_not(sight.job), "info")
    return _view([*_job(sight.job, asked, links), why], private_metadata=write_asked(asked))


def taken(request: Request, asked: JobTarget, links: Links) -> View:
    """Say who has asked for this job already, and where to follow it."""
    card = mrkdwn.link(links.card_of(request), "its card") if request.card else "its card"
    said = (
        f"{mrkdwn.person(request.requester)} asked for this already, "
        f"{mrkdwn.when(request.created_at)}. {mrkdwn.what_happened(request)} See {card}."
    )
    return _view([blockkit.section(f"{_heading(asked)}\n{said}", block_id=ids.JOB)])


def trouble(sentence: str, asked: JobTarget, terms: str = "") -> View:
    """Say why the job could not be read, with a button to look again.

    Args:
        sentence: what went wrong, in plain text.
        asked: which job.
        terms: Atlas's own terms for it (mrkdwn of our own making), or nothing.
    """
    again = blockkit.button("Try again", ids.TRY_AGAIN, asked.ref.job_id, style="primary")
    blocks = [
        blockkit.section(_heading(asked), block_id=ids.JOB),
        blockkit.section(f":warning: {mrkdwn.escape(sentence, 2500)}{terms}"),
        blockkit.context("Nothing was done."),
        blockkit.actions(again),
    ]
    return _view(blocks, private_metadata=write_asked(asked))


def refused(sentence: str) -> View:
    """Say why this person cannot go on here; `sentence` is mrkdwn of our own making."""
    return _view(
        [blockkit.section(f":no_entry: {sentence}"), blockkit.context("Nothing was done.")]
    )


def posted_elsewhere(said: str) -> View:
    """Confirm a submission whose card stands in another channel."""
    return _view([blockkit.section(f":white_check_mark: The request is written down. {said}")])


def broken(reference: str) -> View:
    """Say that it went wrong, with what to quote to an admin."""
    return _view([blockkit.section(f":warning: {apology(reference)}")])


def apology(reference: str) -> str:
    return (
        f"Something went wrong, and the bot's log has the details under {mrkdwn.code(reference)}. "
        "If a card is in the channel, it shows what was done; otherwise please try again."
    )


def deny_reason(request_id: str) -> View:
    """Ask an approver why not."""
    hint = "The person who asked will read this in the thread."
    ask = blockkit.text_input(ids.REASON, "Reason", hint=hint, optional=False, multiline=True)
    return blockkit.modal(
        [blockkit.section("The request ends, and nothing is done to the restore job."), ask],
        callback_id=ids.DENY_DIALOG,
        title="Deny the request",
        close="Go back",
        submit="Deny",
        private_metadata=request_id,
    )


def why_not(job: RestoreJob) -> str:
    """Say in one sentence why a job cannot be cancelled."""
    if job.delivery_type != "download":
        kind = job_words.with_article(str(job.delivery_type))
        return f"Atlas cancels downloads only, and this is {kind}."
    said = job.state.sentence
    return f"There is nothing left to cancel: {said[0].lower()}{said[1:]}"


def _view(
    blocks: list[Block],
    *,
    close: str = CLOSE,
    submit: str | None = None,
    private_metadata: str = "",
) -> View:
    return blockkit.modal(
        blocks,
        callback_id=ids.DIALOG,
        title=TITLE,
        close=close,
        submit=submit,
        private_metadata=private_metadata,
    )


def _which(asked: JobTarget) -> str:
    ref = asked.ref
    project = mrkdwn.line(asked.project_name)
    return f"restore job {mrkdwn.code(ref.job_id)} of {mrkdwn.code(ref.cluster_name)} in {project}"


def _heading(asked: JobTarget) -> str:
    which = _which(asked)
    return f"{which[0].upper()}{which[1:]}"


def _job(job: RestoreJob, asked: JobTarget, links: Links) -> list[Block]:
    shown = JobFingerprint.of(job)
    facts = [
        ("Project", mrkdwn.line(asked.project_name) or "-"),
        ("Cluster", mrkdwn.code(asked.ref.cluster_name)),
        ("Restore job", mrkdwn.code(asked.ref.job_id)),
        ("State", job.state.sentence),
        *job_words.facts(shown),
        *_times(job),
    ]
    page = mrkdwn.link(links.cluster_page(asked.ref), "Open in Atlas")
    return [blockkit.fields(facts, block_id=ids.JOB), blockkit.context(page)]


def _times(job: RestoreJob) -> list[tuple[str, str]]:
    shards = [("Parts", f"{job.shards}, one for each shard")] if job.shards else []
    # A live link says itself until when.
    expires = job.expires_at if not job.link_is_live else None
    ends = [("Expires", mrkdwn.when(expires))] if expires else []
    done = [("Finished", mrkdwn.when(job.finished_at))] if job.finished_at else []
    return [*ends, *done, *shards]


def _warning(job: RestoreJob) -> list[Block]:
    if not job.link_is_live:
        return []
    # No date token here: an alert may be plain text only, and the details have the time.
    said = (
        "The download link is live: somebody may have fetched the backup already. "
        "Cancelling ends the link, but brings nothing back that was fetched."
    )
    return [blockkit.alert(said, "warning")]


def _inputs(policy: Policy, ref: JobRef) -> list[Block]:
    hint = "It stands on the card, for everybody in the channel."
    optional = not policy.require_reason
    reason = blockkit.text_input(ids.REASON, "Reason", hint=hint, optional=optional, multiline=True)
    if not policy.confirm_by_typing:
        return [reason]
    exactly = f"Exactly as it stands: {ref.cluster_name}"
    label = "Type the cluster's name to confirm"
    return [reason, blockkit.text_input(ids.TYPED, label, hint=exactly, optional=False)]


def _notes(policy: Policy, standing: Placement) -> list[Block]:
    notes = [standing.note] if standing.note else []
    if policy.approvals:
        people = "person" if policy.approvals == 1 else "people"
        notes.append(
            f"{policy.approvals} other {people} must approve first: "
            f"{mrkdwn.people(policy.approvers)}."
        )
    return [blockkit.context(blockkit.cut(" ".join(notes), blockkit.TEXT))] if notes else []
