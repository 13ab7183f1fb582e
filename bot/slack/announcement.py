"""The announcement of a download, or of a restore into another project (pure)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.atlas import JobState
from bot.cancellation.job import Job, QuarantineDecision
from bot.slack import blockkit, ids, job_lines, mrkdwn
from bot.slack.blockkit import Block
from bot.slack.client import Links
from bot.slack.deployment import labelled

#: The first line, by the state of the job.
HEADLINES: Mapping[JobState, str] = {
    JobState.IN_PROGRESS: (
        ":inbox_tray: A download of a backup was started; its link is not there yet"
    ),
    JobState.LINK_LIVE: ":warning: A backup can be downloaded now; its link is live",
    JobState.LINK_USED: (
        ":rotating_light: The link of a download was used or withdrawn: a copy may have been taken"
    ),
    JobState.FINISHED: (":rotating_light: The download has finished: a copy may have been taken"),
    JobState.CANCELLED: ":white_check_mark: The download is cancelled: Atlas confirms it",
    JobState.EXPIRED: ":alarm_clock: The download link has expired; it may have been used",
    JobState.FAILED: ":rotating_light: The download has failed: a copy may have been taken before",
    JobState.GONE: ":grey_question: Atlas does not list this download any more",
}

#: What to do when a copy may have been taken, by the state of the job.
NEXT_STEPS: Mapping[JobState, str] = {
    JobState.LINK_USED: "*Next* Tell your security team.",
    JobState.FINISHED: "*Next* Tell your security team.",
    JobState.EXPIRED: "*Next* Tell your security team.",
    JobState.GONE: (
        "*Next* Whether a copy was taken is not known: see the project's activity feed in Atlas."
    ),
}

#: The first line about a job that the watch did not see start.
WAS_RUNNING = ":inbox_tray: A download of a backup is already running; its link is not there yet"

FAILED_WITHOUT_LINK = ":information_source: The download has failed: no copy comes of it"

#: The line about a new download that the bot would have quarantined.
BEYOND_LIMIT = (
    ":rotating_light: *Limit reached* The bot itself cancels no more downloads of this project in "
    "this hour: only people can cancel this one."
)

#: The first line about a restore into another project, by the state of the job.
RESTORE_HEADLINES: Mapping[JobState, str] = {
    JobState.IN_PROGRESS: ":rotating_light: A backup is being restored into another project",
    JobState.FINISHED: ":rotating_light: A backup was restored into another project",
    JobState.FAILED: ":information_source: A restore of a backup into another project has failed",
    JobState.GONE: (
        ":rotating_light: A restore of a backup into another project was started; Atlas does not "
        "list it any more"
    ),
}
RESTORE_STARTED = ":rotating_light: A restore of a backup into another project was started"
#: What people can do about it.
RESTORE_ADVICE = (
    "*There is no button: Atlas has no way to cancel a restore.* If it was not agreed:\n"
    "• In the target project, see who can read the data, remove them, and pause or delete the "
    "cluster.\n"
    "• End the Atlas sessions of who started it, and replace the API keys.\n"
    "• Call the owner of the data. Unless the restore fails, the data counts as copied."
)
FAILED_RESTORE_ADVICE = (
    "It failed, so no copy is expected. If it was not agreed:\n"
    "• End the Atlas sessions of who started it, and replace the API keys.\n"
    "• Tell the owner of the data."
)


def restore_message(
    job: Job, project_name: str, links: Links, policy_note: str = ""
) -> dict[str, Any]:
    """Build the message about a restore into another project, like that about a download."""
    ref, shown = job.ref, job.shown
    headline = RESTORE_HEADLINES.get(job.state, RESTORE_STARTED)
    advice = FAILED_RESTORE_ADVICE if job.state is JobState.FAILED else RESTORE_ADVICE
    target = (shown.target if shown else None) or "?/?"
    project, _, cluster = target.partition("/")
    lines = [
        job_lines.headline(headline, ref, project_name),
        job_lines.started_line(ref, job),
        f"*Target* {mrkdwn.code(cluster)} in the project with the id {mrkdwn.code(project)}",
        *mrkdwn.note(policy_note),
    ]
    pages = [
        mrkdwn.link(links.page_of(project, cluster), "Open the target in Atlas"),
        mrkdwn.link(links.cluster_page(ref), "Open the source in Atlas"),
    ]
    blocks = [
        blockkit.section("\n".join(lines)),
        blockkit.section(advice),
        blockkit.fields(_details(job)),
        blockkit.context(" · ".join(pages)),
    ]
    where = f"{mrkdwn.code(ref.cluster_name)} in {mrkdwn.one_line(project_name)}"
    about = f"{where} to {mrkdwn.code(cluster)}, {job_lines.starter_notice(job.started_by)}"
    text = blockkit.cut(labelled(f"{headline} - {about}"), blockkit.FALLBACK)
    return {"text": text, "blocks": blocks, "metadata": metadata(job)}


def message(
    job: Job,
    project_name: str,
    links: Links,
    why_read_only: str = "",
    policy_note: str = "",
    *,
    now: datetime,
) -> dict[str, Any]:
    """Build `text`, `blocks` and `metadata`: what decides comes first, the ids last.

    `why_read_only` (plain text) takes the place of the button where the bot does not cancel;
    `policy_note` is for people, while the job is not over.
    """
    ref = job.ref
    was_running = job.was_running and job.state is JobState.IN_PROGRESS
    headline = WAS_RUNNING if was_running else HEADLINES[job.state]
    headline = FAILED_WITHOUT_LINK if job.has_failed_without_link else headline
    started = job_lines.started_line(ref, job, ended=job.state.is_over)
    lines = [job_lines.headline(headline, ref, project_name), *job_lines.answer_lines(job), started]
    if job.quarantine is QuarantineDecision.BEYOND_LIMIT and not job.state.is_over:
        lines.append(BEYOND_LIMIT)
    if job.state.is_over:
        lines += job_lines.past_link(job)
    else:
        lines += [job_lines.link_line(job), *mrkdwn.note(policy_note)]
    lines += [NEXT_STEPS[job.state]] if job.state in NEXT_STEPS else []
    note, buttons = _note(job, links, why_read_only), _buttons(job, why_read_only)
    blocks = [
        blockkit.section("\n".join(lines)),
        *([blockkit.section(note)] if note else []),
        *([blockkit.actions(*buttons)] if buttons else []),
        blockkit.fields(_details(job)),
        blockkit.context(mrkdwn.link(links.cluster_page(ref), "Open in Atlas")),
    ]
    text = notification(headline, job, project_name, now)
    return {"text": text, "blocks": blocks, "metadata": metadata(job)}


def notification(headline: str, job: Job, project_name: str, now: datetime) -> str:
    """Return the text that phones show, with the starter and the time that is left."""
    about = mrkdwn.download(job.ref, project_name)
    if not job.state.is_over:
        notice = job_lines.notice(job.ref, project_name, job, now)
        about = f"{notice} (job {mrkdwn.code(job.ref.job_id)})"
    return blockkit.cut(labelled(f"{headline} - {about}"), blockkit.FALLBACK)


def _details(job: Job) -> list[tuple[str, str]]:
    return [
        *([("Snapshot", mrkdwn.snapshot(job.shown))] if job.shown else []),
        ("First seen", mrkdwn.date(job.first_seen_at)),
        *([("End seen", mrkdwn.date(job.changed_at))] if job.state.is_over else []),
        ("Job id", mrkdwn.code(job.ref.job_id)),
    ]


def _note(job: Job, links: Links, why_read_only: str) -> str:
    """Say why there is no button, or who asked to cancel it."""
    if why_read_only and not job.state.is_over:
        return mrkdwn.escape(why_read_only)
    if job.request is None:
        return ""
    card = mrkdwn.link(links.card_of(job.request), "its card")
    status = mrkdwn.request_status(job.request)
    return f"{mrkdwn.asker(job.request)} asked to cancel it. {status} See {card}."


def _buttons(job: Job, why_read_only: str) -> list[Block]:
    if job.state.is_over or why_read_only:
        return []
    return [job_lines.open_button(job.ref)]


def metadata(job: Job) -> dict[str, Any]:
    """Return the metadata by which programs distinguish announcements from cards."""
    payload = {
        "project": job.ref.project_id,
        "cluster": job.ref.cluster_name,
        "job": job.ref.job_id,
        "job_state": str(job.state),
    }
    return {"event_type": ids.WATCH_METADATA, "event_payload": payload}
