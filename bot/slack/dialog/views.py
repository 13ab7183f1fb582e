"""Builds the views of the dialog: a job's details, a search, errors, and the reason of a denial.

`view` is pure: the state and the content in, Slack's view out.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from bot.atlas import JobRef
from bot.cancellation.lifecycle import Request
from bot.cancellation.policy import Policy
from bot.services.job_search import Search
from bot.services.projects import Project
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.blockkit import HOME_KEY, REQUEST_KEY, Again, Block, View, encode_metadata
from bot.slack.channels import is_direct
from bot.slack.deployment import command_code
from bot.slack.dialog.state import DialogState, Shown, UnreadableDialog, encode_state, read_state
from bot.slack.errors import internal_error_text
from bot.slack.grammar import job_value
from bot.slack.lists import unavailable_blocks
from bot.slack.plain_text import as_text

DONE = "Done"  #: submits a dialog that only closes
SUBMIT = "Cancel the job"
ASK = "Ask for approval"  #: the same button where the policy requires approvals
#: A dialog never has two buttons that are both labelled "cancel".
BACK = "Go back"

#: Builds a view of the dialog; without `submit` it has no submit button.
modal = partial(blockkit.modal, callback_id=ids.DIALOG, title="Cancel a download", close="Close")

MAX_PROJECTS = 10  #: projects that one sentence names
HOURGLASS = ":hourglass_flowing_sand:"
LEFT_OUT = ":no_entry: Clusters in which you may not ask were not searched."
NOT_SEARCHED = "Flex and serverless clusters are not searched: Atlas has no call to cancel there."


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a dialog shows below its pickers, if it has some.

    Without `submit` it has no submit button, except with pickers: Slack wants one with inputs.
    `shown` is the job that may be submitted. `leads_to` becomes the state of the dialog.
    """

    blocks: list[Block]
    close: str = "Close"
    submit: str | None = None
    shown: Shown | None = None
    leads_to: DialogState | None = None


def view(
    state: DialogState,
    content: Content,
    pickers: Sequence[Block] = (),
    projects: Sequence[Project] = (),
) -> View:
    """Build the dialog. The `pickers`, if there are some, are for jobs of one of `projects`."""
    state = replace(content.leads_to or state, shown=content.shown, only_closes=False)
    if pickers and not content.leads_to:
        return _with_pickers(state, content, pickers, projects)
    return without_state(content) | {"private_metadata": encode_state(state)}


def without_state(content: Content) -> View:
    """Build a dialog that is not read again, and not submitted."""
    return modal(content.blocks, close=content.close, submit=content.submit)


def _with_pickers(
    state: DialogState, content: Content, pickers: Sequence[Block], projects: Sequence[Project]
) -> View:
    """Build the dialog with pickers.

    There is nothing to submit if the bot cancels in none of the projects, or not in the cluster.
    """
    blocks = [*pickers, *map(_below_pickers, content.blocks)]
    if projects and all(each.why_read_only(state.cluster) for each in projects):
        state, submit = replace(state, shown=None, only_closes=True), DONE
    else:
        possible = (each.policies.possible(state.cluster) for each in projects)
        policies = [*chain.from_iterable(possible)]
        submit = submit_label(policies)
        if not any(block.get("block_id") == ids.REASON for block in blocks):
            # Keeps the text that was typed.
            blocks += typed_inputs(policies[0] if len(policies) == 1 else None)
    return modal(blocks, close=BACK, submit=submit, private_metadata=encode_state(state))


def _below_pickers(block: Block) -> Block:
    """Rename the block of the job: the job's picker has its id."""
    return block | ({"block_id": ids.DETAILS} if block.get("block_id") == ids.JOB else {})


def loading(state: DialogState) -> Content:
    """Show what is being read; without projects, as rights are not known yet."""
    job_id, cluster = state.job_id, state.cluster
    if state.has_pickers:
        what = f"Looking up {'the download' if job_id else 'clusters and downloads'}"
    elif ref := state.ref:
        what = f"Looking up {mrkdwn.job(ref)}"
    else:
        where = f"{mrkdwn.code(cluster)} in all projects" if cluster else "all clusters"
        what = f"Looking up job {mrkdwn.code(job_id or '')} in {where}"
    return Content(
        blocks=[blockkit.section(f"{HOURGLASS} {what} …", block_id=ids.LOADING)], close=BACK
    )


def note(text: str, *, again: bool = False) -> Content:
    """Show what can be selected (trusted mrkdwn); `again` adds a button that reads it again."""
    blocks = [blockkit.section(text, block_id=ids.JOB)]
    return Content(blocks=blocks + ([read_button("Try again")] if again else []))


def submit_label(policies: Collection[Policy]) -> str:
    """Say what the submit button does under each of the policies that may hold."""
    return ASK if policies and all(each.approvals for each in policies) else SUBMIT


def error(
    state: DialogState, sentence: str, atlas_answer: str = "", link: str = "", advice: str = ""
) -> Content:
    """Show why the state could not be read, with a button to try again.

    `sentence` is plain text; `atlas_answer`, the HTTP status and code, `link`, how long is left for
    the job, and `advice` are trusted mrkdwn.
    """
    job = f"Job {mrkdwn.code(state.job_id)}" if state.job_id else ""
    job = mrkdwn.capitalised(mrkdwn.job(ref)) if (ref := state.ref) else job
    blocks = [
        *([blockkit.section(f"{job}\n{link}".strip(), block_id=ids.JOB)] if job else []),
        blockkit.section(f":warning: {mrkdwn.escape(sentence, 2500)}{atlas_answer}"),
        *nothing_done(sentence, advice),
        read_button("Try again"),
    ]
    return Content(blocks=blocks)


def read_button(label: str) -> Block:
    return blockkit.actions(blockkit.button(label, ids.TRY_AGAIN, "again", style="primary"))


def elsewhere(asked: JobRef, found: DialogState, project_name: str) -> Content:
    """Say that a job is in another cluster than was asked, with a button that shows it."""
    where = f"{mrkdwn.code(found.cluster or '')} in {mrkdwn.one_line(project_name)}"
    name = f"Job {mrkdwn.code(asked.job_id)}"
    text = f":mag: {name} is not in {mrkdwn.code(asked.cluster_name)}. It is in {where}."
    blocks = [
        blockkit.section(text, block_id=ids.JOB),
        blockkit.context("Nothing was done."),
        read_button("Show it"),
    ]
    return Content(blocks=blocks, leads_to=found)


def refused(text: str) -> Content:
    """Show why this person cannot continue; `text` is trusted mrkdwn."""
    return Content(blocks=[blockkit.section(f":no_entry: {text}"), *nothing_done(text)])


def nothing_done(why: str, advice: str = "") -> list[Block]:
    """Say that nothing was done, unless `why` says so, and add the advice (mrkdwn)."""
    done = "" if "nothing was done" in why else "Nothing was done."
    note = f"{done} {advice}".strip()
    return [blockkit.context(note)] if note else []


def plain(view: View, why: str) -> View | None:
    """Show `why` Slack refused a view (mrkdwn), and its text; None for a progress view."""
    text = as_text(view["blocks"]) or f"{command_code('list')} shows what can be cancelled."
    if any(line.startswith(HOURGLASS) for line in text.splitlines()):
        return None
    return modal([blockkit.section(f":warning: {why}\n{text}")])


def opener_of(view: View) -> Again | None:
    """Return the button that opens a view's dialog again, if the view names what it is about."""
    try:
        state = read_state(view)
    except UnreadableDialog:
        return None
    if state.ref:
        return ids.OPEN, job_value(state.ref)
    typed = state.job_id or state.cluster
    return (ids.COMMAND, typed) if typed else None


def posted_elsewhere(request: Request, card: str | None = None) -> Content:
    """Confirm a submission whose card is in another channel; `card` is the card's URL."""
    is_dm = is_direct(request.channel)
    where = "your direct messages with the bot" if is_dm else mrkdwn.channel(request.channel)
    link = f" {mrkdwn.link(card, 'Go to the card')}." if card else ""
    text = f"The request is recorded. Its card is in {where}.{link}"
    return Content(blocks=[blockkit.section(f":white_check_mark: {text}")])


def internal_error(failed: View, reference: str) -> dict[str, Any]:
    """Answer a submission that failed, with a button that reads the job of its dialog again.

    A dialog for a reason stays, with the reason: its own button sends it again.
    """
    text = internal_error_text(reference)
    if failed["callback_id"] in REASON_DIALOGS:
        return {"response_action": "errors", "errors": {ids.REASON: text.replace("`", "")}}
    blocks = [blockkit.section(f":warning: {text}")]
    try:
        state = replace(read_state(failed), has_pickers=False)
    except UnreadableDialog:
        return {"response_action": "update", "view": without_state(Content(blocks=blocks))}
    again = [read_button("Try again")] if state.ref else []
    return {"response_action": "update", "view": view(state, Content(blocks=blocks + again))}


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


def not_found(state: DialogState, result: Search, left_out: str = "") -> Content:
    """Say where the job is not; `left_out` says why other clusters were not searched."""
    job_id, cluster = state.job_id or "", state.cluster
    count = mrkdwn.count(len(result.searched), "cluster")
    where = f"in {mrkdwn.code(cluster) if cluster else count}"
    names = sorted({each.project.name for each in result.searched})
    projects = mrkdwn.join(map(mrkdwn.one_line, names), MAX_PROJECTS, "more projects")
    text = f":mag: Job {mrkdwn.code(job_id)} was not found {where}"
    note = "Nothing was done." if cluster else f"{NOT_SEARCHED} Nothing was done."
    blocks = [
        blockkit.section(f"{text}{f' of {projects}' if projects else ''}.", block_id=ids.JOB),
        *([blockkit.section(f"{LEFT_OUT} {left_out}")] if left_out else []),
        *unavailable_blocks(result.unavailable),
        blockkit.context(note),
        *([read_button("Try again")] if result.unavailable else []),
    ]
    return Content(blocks=blocks)


def typed_inputs(policy: Policy | None) -> list[Block]:
    """Build the inputs of the texts that a person types; `policy` is None if several may hold."""
    reason = blockkit.text_input(
        ids.REASON,
        "Reason",
        hint="It is shown on the card, to everyone in the channel.",
        optional=policy is None or not policy.require_reason,
        multiline=True,
    )
    return [reason]
