"""The parts of a card that only the bot's own requests have: quarantined downloads (pure)."""

from bot.cancellation.lifecycle import Request, State
from bot.cancellation.quarantine import Mode
from bot.slack import blockkit, ids, mrkdwn
from bot.slack.blockkit import Block

ADVICE = (
    "To get the download after all, tell one of {who} beforehand, then start it again in Atlas: "
    "*Keep it* on its card lets it go on. An admin of the bot can name people and keys that "
    "download regularly (BOT_QUARANTINE_EXPECTED)."
)


def parts(request: Request, may_keep: str, mode: Mode) -> list[Block]:
    """Show what becomes of the download, and who decides; `may_keep` names the approvers."""
    lines = []
    if request.state is State.QUARANTINED:
        lines = [_what_follows(request, mode), f"*May keep it* {may_keep}"]
    elif approved := mrkdwn.approved_by(request):
        lines = [f"*Cancel it now* by {approved}"]
    if request.voided:
        lines.append(f"*Counts no longer* {mrkdwn.join(map(mrkdwn.person, request.voided))}")
    if request.state is State.CANCELLED:
        lines.append(ADVICE.format(who=may_keep))
    return [blockkit.section("\n".join(lines))] if lines else []


def _what_follows(request: Request, mode: Mode) -> str:
    if request.grace_ends_at:
        when = mrkdwn.date(request.grace_ends_at, seconds=True)
    else:
        grace = round((request.expires_at - request.created_at).total_seconds())
        when = f"{grace} s after this message"
    if mode is Mode.ENFORCE:
        return f":rotating_light: *Will be cancelled* {when}, unless an approver keeps it"
    return f"*Would be cancelled* {when}, unless an approver keeps it; the bot only observes"


def buttons(request: Request, mode: Mode) -> list[Block]:
    """Build the buttons of a download that can be kept, without one that would not work."""
    # Without a confirmation: the dialog that asks for the reason is one.
    keep = blockkit.button("Keep it", ids.KEEP, request.id, style="primary")
    if mode is Mode.OFF:
        return [keep]
    ref = request.ref
    text = (
        f"The bot asks Atlas to cancel restore job {ref.job_id} of {ref.cluster_name}. "
        "This cannot be undone."
    )
    confirm = blockkit.confirm("Cancel it now?", text, "Cancel it now", style="danger")
    return [
        keep,
        blockkit.button("Cancel it now", ids.APPROVE, request.id, style="danger", confirm=confirm),
    ]
