"""The dialog while a job is searched for, and when it is nowhere."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bot.slack import blockkit, ids, mrkdwn
from bot.slack.dialog.views import CLOSE, KEEP, TITLE
from bot.slack.lists.views import unseen as not_seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bot.services.search_results import ClusterRef, Search
    from bot.slack.blockkit import View

#: Projects that are named in one sentence, at most.
MOST_PROJECTS = 10

ELSEWHERE = "Flex and serverless clusters are not searched: Atlas has no call to cancel there."


def searching(job_id: str, projects: Sequence[str], cluster: str | None) -> View:
    """Show at once, while the clusters are still to be listed."""
    where = f"cluster {mrkdwn.code(cluster)} in " if cluster else "the clusters of "
    return _view(f"{_glass()} Searching {where}{_projects(projects)} for {_job(job_id)} …", KEEP)


def counted(job_id: str, places: Iterable[ClusterRef]) -> View:
    """Show while the clusters are searched."""
    counts = Counter(place.project.name for place in places)
    listed = [f"{_clusters(n)} of {mrkdwn.line(name)}" for name, n in counts.most_common()]
    where = mrkdwn.listed(_short(listed, "projects"))
    return _view(f"{_glass()} Searching {where} for {_job(job_id)} …", KEEP)


def nowhere(
    job_id: str, searched: Sequence[ClusterRef], result: Search, cluster: str | None
) -> View:
    """Say that the job was not found, and what could not be searched."""
    where = f"in {mrkdwn.code(cluster)}" if cluster else f"in {_clusters(result.looked)}"
    projects = _projects(sorted({place.project.name for place in searched}))
    said = f":mag: Restore job {mrkdwn.code(job_id)} was not found {where}"
    view = _view(f"{said}{f' of {projects}' if projects else ''}.", CLOSE)
    notes = "Nothing was done." if cluster else f"{ELSEWHERE} Nothing was done."
    return view | {"blocks": [*view["blocks"], *not_seen(result.unseen), blockkit.context(notes)]}


def _view(said: str, close: str) -> View:
    block = blockkit.section(blockkit.cut(said, blockkit.TEXT), block_id=ids.JOB)
    return blockkit.modal([block], callback_id=ids.DIALOG, title=TITLE, close=close)


def _glass() -> str:
    return ":hourglass_flowing_sand:"


def _job(job_id: str) -> str:
    return f"restore job {mrkdwn.code(job_id)}"


def _clusters(count: int) -> str:
    return "1 cluster" if count == 1 else f"{count} clusters"


def _projects(names_of: Sequence[str]) -> str:
    return mrkdwn.listed(_short([mrkdwn.line(name) for name in names_of], "projects"))


def _short(items: Sequence[str], what: str) -> list[str]:
    if len(items) <= MOST_PROJECTS:
        return [*items]
    return [*items[:MOST_PROJECTS], f"{len(items) - MOST_PROJECTS} more {what}"]
