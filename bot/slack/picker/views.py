"""The dialog with pickers: project, cluster, restore job; and the options that they offer."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bot.slack import blockkit, ids, mrkdwn
from bot.slack.dialog.views import KEEP, SUBMIT, TITLE
from bot.slack.picker.state import LABEL, NOTHING, Choice, job_value, write_choice

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.policy import Policy
    from bot.cancellation.projects import Project
    from bot.slack.blockkit import Block, View

#: Slack's limit of options in a list.
OPTIONS = 100

#: How long a download link lives (recorded from Atlas: one hour from when it is made).
LINK_LIVES = timedelta(hours=1)


def view(
    choice: Choice,
    projects: Sequence[Project],
    policy: Policy | None,
    note: str,
    *,
    upto: str = ids.JOB,
) -> View:
    """Show the pickers, before a job's details.

    Args:
        choice: what was picked.
        projects: those that can be picked.
        policy: the rules of the picked project, if one is.
        note: what there is to say (mrkdwn of our own making).
        upto: the last picker to show; what was picked in one that is left out is forgotten.
    """
    blocks = [
        *pickers(choice, projects, upto=upto),
        blockkit.section(blockkit.cut(note, blockkit.TEXT), block_id=ids.DETAILS),
        reason(policy),
    ]
    return _view(blocks, write_choice(choice))


def around(shown: View, choice: Choice, projects: Sequence[Project], policy: Policy | None) -> View:
    """Put the pickers around the dialog of one job, so that another can be picked."""
    inside = [_moved(block) for block in shown["blocks"]]
    if not any(block.get("block_id") == ids.REASON for block in inside):
        inside.append(reason(policy))  # what was typed in it is not lost
    metadata = write_choice(choice, shown["private_metadata"] if "submit" in shown else "")
    return _view([*pickers(choice, projects), *inside], metadata)


def loading() -> View:
    """Show at once, while it is found out what may be picked."""
    said = ":hourglass_flowing_sand: Looking up what can be cancelled …"
    return blockkit.modal([blockkit.section(said)], callback_id=ids.DIALOG, title=TITLE, close=KEEP)


def _view(blocks: list[Block], metadata: str) -> View:
    return blockkit.modal(
        blocks,
        callback_id=ids.DIALOG,
        title=TITLE,
        close=KEEP,
        submit=SUBMIT,  # Slack wants one wherever there is an input; it acts only on details
        private_metadata=metadata,
    )


def _moved(block: Block) -> Block:
    moved = block.get("block_id") == ids.JOB
    return block | {"block_id": ids.DETAILS} if moved else block


def reason(policy: Policy | None) -> Block:
    hint = "It stands on the card, for everybody in the channel."
    optional = policy is None or not policy.require_reason
    return blockkit.text_input(ids.REASON, "Reason", hint=hint, optional=optional, multiline=True)


def pickers(choice: Choice, projects: Sequence[Project], *, upto: str = ids.JOB) -> list[Block]:
    """Build the selects, each with what is picked in it."""
    selects = [_project(choice, projects)] if len(projects) > 1 else []
    if choice.project_id and upto != ids.PROJECT:
        selects.append(_cluster(choice))
    if choice.project_id and choice.cluster and upto == ids.JOB:
        selects.append(_job(choice))
    return selects


def _cluster(choice: Choice) -> Block:
    picked = option(choice.cluster, choice.cluster) if choice.cluster else None
    return _external(ids.CLUSTER, "Cluster", "Type a part of its name", picked)


def _job(choice: Choice) -> Block:
    picked = None
    if ref := choice.ref:
        picked = option(choice.label or _short_id(ref.job_id), job_value(ref))
    return _external(ids.JOB, "Restore job", "Choose a restore job", picked)


def _project(choice: Choice, projects: Sequence[Project]) -> Block:
    offered = [option(project.name, project.id) for project in projects]
    groups = [offered[at : at + OPTIONS] for at in range(0, len(offered), OPTIONS)]
    element: dict[str, Any] = {"type": "static_select", "placeholder": blockkit.plain("Choose one")}
    if len(groups) == 1:
        element["options"] = offered
    else:
        element["option_groups"] = [
            {"label": blockkit.plain(f"{number + 1}"), "options": group}
            for number, group in enumerate(groups)
        ]
    return _input(ids.PROJECT, "Project", element, _offered(offered, choice.project_id))


def _offered(options: Iterable[Block], value: str | None) -> Block | None:
    return next((each for each in options if each["value"] == value), None)


def _external(block_id: str, label: str, placeholder: str, picked: Block | None) -> Block:
    element = {
        "type": "external_select",
        "placeholder": blockkit.plain(placeholder),
        "min_query_length": 0,
    }
    return _input(block_id, label, element, picked)


def _input(block_id: str, label: str, element: dict[str, Any], picked: Block | None) -> Block:
    chosen = {"initial_option": picked} if picked else {}
    return {
        "type": "input",
        "block_id": block_id,
        "label": blockkit.plain(label),
        "dispatch_action": True,  # a pick is told at once, not only with the submit
        "element": {**element, "action_id": block_id, **chosen},
    }


def option(label: str, value: str, description: str = "") -> Block:
    built: Block = {
        "text": blockkit.plain(blockkit.cut(mrkdwn.clean(label), LABEL) or "-"),
        "value": value,
    }
    if description:
        built["description"] = blockkit.plain(blockkit.cut(description, LABEL))
    return built


def saying(sentence: str) -> list[Block]:
    """Offer nothing but a sentence; picking it picks nothing."""
    return [option(sentence, NOTHING)]


def cluster_options(clusters: Sequence[str], typed: str) -> list[Block]:
    """Offer the clusters that fit what was typed, those that begin with it first."""
    fitting = matching(clusters, typed)
    return _limited([option(name, name) for name in fitting])


def job_options(
    refs: Sequence[tuple[JobRef, RestoreJob]], typed: str, now: datetime
) -> list[Block]:
    """Offer the jobs of a cluster that fit what was typed, newest first."""
    offered = [option(label(job, now), job_value(ref), age(job, now)) for ref, job in refs]
    wanted = _plain(typed).split()
    return _limited([each for each in offered if _fits(json.dumps(each).casefold(), wanted)])


def matching(clusters: Iterable[str], typed: str) -> list[str]:
    """Return the names that have every word of `typed` in them (pure)."""
    wanted = _plain(typed).split()
    fitting = [name for name in clusters if _fits(name.casefold(), wanted)]
    first = wanted[0] if wanted else ""
    return sorted(fitting, key=lambda name: not name.casefold().startswith(first))


def _fits(name: str, wanted: Iterable[str]) -> bool:
    return all(word in name for word in wanted)


def _plain(typed: str) -> str:
    return mrkdwn.clean(unicodedata.normalize("NFKC", typed)).casefold()


def _limited(options: list[Block]) -> list[Block]:
    if len(options) <= OPTIONS:
        return options
    kept = options[: OPTIONS - 1]
    return [*kept, *saying(f"… and {len(options) - len(kept)} more: type a part of the name")]


def label(job: RestoreJob, now: datetime) -> str:
    """Name a job so that a person recognises it; an option's text has no date tokens."""
    state = "link live" if job.link_is_live else "no link yet"
    return f"{_snapshot(job.snapshot_time, now)} · {state} · {_short_id(job.id)}"


def age(job: RestoreJob, now: datetime) -> str:
    """Say how old a job's link is, or when the job was started, as far as that is known."""
    if job.link_is_live and job.expires_at:
        return f"link live for {_span(now - (job.expires_at - LINK_LIVES))}"
    began = started(job, now)
    return f"started {_span(now - began)} ago" if began else ""


def started(job: RestoreJob, now: datetime) -> datetime | None:
    """Read a job's start out of its id: MongoDB's ids begin with the second they were made in.

    Atlas promises no such thing of its restore jobs, so it counts only where it is plausible.
    """
    began = datetime.fromtimestamp(int(job.id[:8], 16), UTC)
    earliest = job.snapshot_time or now - timedelta(days=30)
    return began if earliest <= began <= now else None


def _snapshot(taken: datetime | None, now: datetime) -> str:
    if taken is None:
        return "snapshot of unknown time"
    year = "" if taken.year == now.year else f" {taken.year}"
    when = f"{taken.astimezone(UTC):%-d %b}{year} {taken.astimezone(UTC):%H:%M} UTC"
    return f"snapshot {when}, {_span(now - taken)} old"


def _span(span: timedelta) -> str:
    minutes = max(0, int(span.total_seconds() // 60))
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"  # noqa: PLR2004 - two days


def _short_id(job_id: str) -> str:
    return f"…{job_id[-4:]}"
