"""The dialog: one view for each answer to "what about this job?"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.cancellation.lifecycle import Shown
from bot.slack import names
from bot.slack.blocks import job as job_words
from bot.slack.blocks import kit, text
from bot.slack.metadata import Seen, write_asked, write_seen

if TYPE_CHECKING:
    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.desk import Sight
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import Policy
    from bot.slack.blocks.kit import Block, View
    from bot.slack.channels import Standing
    from bot.slack.links import Links
    from bot.slack.metadata import Asked

TITLE = "Cancel a restore job"
SUBMIT = "Cancel the job"
#: Never two buttons that both say "cancel".
KEEP = "Keep it"
CLOSE = "Close"


def loading(asked: Asked) -> View:
    """Show at once, while Atlas is asked."""
    said = f":hourglass_flowing_sand: Looking up {_which(asked)} …"
    return _view([kit.section(said)], close=KEEP, private_metadata=write_asked(asked))


def details(sight: Sight, asked: Asked, policy: Policy, standing: Standing, links: Links) -> View:
    """Show the job as Atlas has it now, with what is asked of the requester."""
    seen = Seen(
        asked=asked,
        shown=Shown.of(sight.job),
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


def not_cancellable(sight: Sight, asked: Asked, links: Links) -> View:
    """Show the same details, and one sentence why nothing can be done."""
    why = kit.alert(why_not(sight.job), "info")
    return _view([*_job(sight.job, asked, links), why], private_metadata=write_asked(asked))


def taken(request: Request, asked: Asked, links: Links) -> View:
    """Say who has asked for this job already, and where to follow it."""
    card = text.link(links.card_of(request), "its card") if request.card else "its card"
    said = (
        f"{text.person(request.requester)} asked for this already, "
        f"{text.when(request.created_at)}. {text.what_happened(request)} See {card}."
    )
    return _view([kit.section(f"{_heading(asked)}\n{said}", block_id=names.JOB)])


def trouble(sentence: str, asked: Asked, terms: str = "") -> View:
    """Say why the job could not be read, with a button to look again.

    Args:
        sentence: what went wrong, in plain text.
        asked: which job.
        terms: Atlas's own terms for it (mrkdwn of our own making), or nothing.
    """
    again = kit.button("Try again", names.TRY_AGAIN, asked.ref.job_id, style="primary")
    blocks = [
        kit.section(_heading(asked), block_id=names.JOB),
        kit.section(f":warning: {text.escape(sentence, 2500)}{terms}"),
        kit.context("Nothing was done."),
        kit.actions(again),
    ]
    return _view(blocks, private_metadata=write_asked(asked))


def refused(sentence: str) -> View:
    """Say why this person cannot go on here; `sentence` is mrkdwn of our own making."""
    return _view([kit.section(f":no_entry: {sentence}"), kit.context("Nothing was done.")])


def posted_elsewhere(said: str) -> View:
    """Confirm a submission whose card stands in another channel."""
    return _view([kit.section(f":white_check_mark: The request is written down. {said}")])


def broken(reference: str) -> View:
    """Say that it went wrong, with what to quote to an admin."""
    return _view([kit.section(f":warning: {apology(reference)}")])


def apology(reference: str) -> str:
    return (
        f"Something went wrong, and the bot's log has the details under {text.code(reference)}. "
        "If a card is in the channel, it shows what was done; otherwise please try again."
    )


def deny_reason(request_id: str) -> View:
    """Ask an approver why not."""
    hint = "The person who asked will read this in the thread."
    ask = kit.text_input(names.REASON, "Reason", hint=hint, optional=False, multiline=True)
    return kit.modal(
        [kit.section("The request ends, and nothing is done to the restore job."), ask],
        callback_id=names.DENY_DIALOG,
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
    return kit.modal(
        blocks,
        callback_id=names.DIALOG,
        title=TITLE,
        close=close,
        submit=submit,
        private_metadata=private_metadata,
    )


def _which(asked: Asked) -> str:
    ref = asked.ref
    project = text.line(asked.project_name)
    return f"restore job {text.code(ref.job_id)} of {text.code(ref.cluster_name)} in {project}"


def _heading(asked: Asked) -> str:
    which = _which(asked)
    return f"{which[0].upper()}{which[1:]}"


def _job(job: RestoreJob, asked: Asked, links: Links) -> list[Block]:
    shown = Shown.of(job)
    facts = [
        ("Project", text.line(asked.project_name) or "-"),
        ("Cluster", text.code(asked.ref.cluster_name)),
        ("Restore job", text.code(asked.ref.job_id)),
        ("State", job.state.sentence),
        *job_words.facts(shown),
        *_times(job),
    ]
    page = text.link(links.cluster_page(asked.ref), "Open in Atlas")
    return [kit.fields(facts, block_id=names.JOB), kit.context(page)]


def _times(job: RestoreJob) -> list[tuple[str, str]]:
    shards = [("Parts", f"{job.shards}, one for each shard")] if job.shards else []
    # A live link says itself until when.
    expires = job.expires_at if not job.link_is_live else None
    ends = [("Expires", text.when(expires))] if expires else []
    done = [("Finished", text.when(job.finished_at))] if job.finished_at else []
    return [*ends, *done, *shards]


def _warning(job: RestoreJob) -> list[Block]:
    if not job.link_is_live:
        return []
    # No date token here: an alert may be plain text only, and the details have the time.
    said = (
        "The download link is live: somebody may have fetched the backup already. "
        "Cancelling ends the link, but brings nothing back that was fetched."
    )
    return [kit.alert(said, "warning")]


def _inputs(policy: Policy, ref: JobRef) -> list[Block]:
    hint = "It stands on the card, for everybody in the channel."
    optional = not policy.require_reason
    reason = kit.text_input(names.REASON, "Reason", hint=hint, optional=optional, multiline=True)
    if not policy.confirm_by_typing:
        return [reason]
    exactly = f"Exactly as it stands: {ref.cluster_name}"
    label = "Type the cluster's name to confirm"
    return [reason, kit.text_input(names.TYPED, label, hint=exactly, optional=False)]


def _notes(policy: Policy, standing: Standing) -> list[Block]:
    notes = [standing.note] if standing.note else []
    if policy.approvals:
        people = "person" if policy.approvals == 1 else "people"
        notes.append(
            f"{policy.approvals} other {people} must approve first: "
            f"{text.people(policy.approvers)}."
        )
    return [kit.context(kit.cut(" ".join(notes), kit.TEXT))] if notes else []
