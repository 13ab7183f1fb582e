"""The fields of a restore job at the command line: for JSON, for the list, and line by line."""

from datetime import UTC, datetime
from typing import Any

from bot.atlas.models import DeliveryType
from bot.cancellation.job import TO_COME
from bot.services.service import JobDetails
from bot.slack import job_lines
from bot.slack.mrkdwn import DELIVERY_TYPES

#: The lines that are columns of the list.
COLUMNS = ("Project", "Cluster", "Job id", "Started", "By", "Download link", "Open request")


class Terminal:
    """Shows names and times as they are."""

    def code(self, text: str) -> str:
        return text

    def date(self, moment: datetime, *, seconds: bool = False) -> str:
        return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M{':%S' if seconds else ''}} UTC"

    def sign(self, emoji: str) -> str:  # noqa: ARG002 - as Slack's style has it
        return ""


TERMINAL = Terminal()


def fields_of(details: JobDetails) -> dict[str, Any]:
    """Return the fields under the names of the JSON output; None is not known."""
    ref, job, known, request = details.ref, details.job, details.known, details.open_request
    starter = known.started_by.starter
    candidates = [starter.name, *starter.others] if starter else []
    is_to_come = known.phase in TO_COME
    return {
        "project": details.project_name,
        "cluster": ref.cluster_name,
        "job": ref.job_id,
        "type": str(job.delivery_type),
        "snapshot": iso(job.snapshot_time),
        "snapshot_id": job.snapshot_id or None,
        "started": iso(ref.started_at),
        "by": starter.name or None if starter and starter.certain else None,
        "by_candidates": [name for name in candidates if name] or None,
        "link_expected": iso(known.expected_at) if is_to_come else None,
        "live_since": iso(known.live_since),
        "state": job.state.value,
        "request": request.id if request else None,
        "note": details.note or None,
    }


def lines_of(details: JobDetails) -> list[tuple[str, str]]:
    """Return labels and values, as the dialog shows them; a value that is not known is empty."""
    ref, job, known, request = details.ref, details.job, details.known, details.open_request
    kind, taken_at = str(job.delivery_type), job.snapshot_time
    snapshot = TERMINAL.date(taken_at, seconds=True) if taken_at else ""
    link = job_lines.link_text(known, TERMINAL) if kind == DeliveryType.DOWNLOAD else ""
    return [
        ("Project", details.project_name),
        ("Cluster", ref.cluster_name),
        ("Job id", ref.job_id),
        ("Type", DELIVERY_TYPES.get(kind, kind)),
        ("State", job.state.sentence),
        ("Snapshot", f"{snapshot} {job.snapshot_id}".strip()),
        ("Started", TERMINAL.date(ref.started_at, seconds=True)),
        ("By", job_lines.who(known.started_by, TERMINAL)),
        ("Download link", link),
        ("Open request", request.id if request else ""),
        ("Note", details.note),
    ]


def iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None
