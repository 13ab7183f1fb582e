"""The fields of a restore job at the command line: for JSON, for the list, and line by line."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.atlas.models import DeliveryType
from bot.cancellation.job import TO_COME
from bot.services.service import JobDetails
from bot.slack import job_lines
from bot.slack.mrkdwn import DELIVERY_TYPES

#: The fields that are times.
TIMES = frozenset({"snapshot", "started"})
#: The fields in the columns of the list; `link` is that of `row_of`.
COLUMNS = "project cluster job state started by link snapshot request"


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
    }


def lines_of(details: JobDetails) -> list[tuple[str, str]]:
    """Return labels and values, as the dialog shows them; a value that is not known is empty."""
    fields, job = fields_of(details), details.job
    kind = fields["type"]
    return [
        ("Project", fields["project"]),
        ("Cluster", fields["cluster"]),
        ("Job id", fields["job"]),
        ("Type", DELIVERY_TYPES.get(kind, kind)),
        ("State", job.state.sentence),
        ("Snapshot", f"{in_words(fields, 'snapshot')} {job.snapshot_id}".strip()),
        ("Started", in_words(fields, "started")),
        ("By", job_lines.who(details.known.started_by, TERMINAL)),
        ("Download link", _link(details) if kind == DeliveryType.DOWNLOAD else ""),
        ("Open request", in_words(fields, "request")),
    ]


def row_of(details: JobDetails) -> dict[str, Any]:
    """Return the fields of a row of the list."""
    return fields_of(details) | {"link": _link(details)}


def _link(details: JobDetails) -> str:
    return job_lines.link_text(details.known, TERMINAL)


def iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def in_words(fields: Mapping[str, Any], name: str) -> str:
    """Return a field for people; empty when it is not known."""
    if name == "by" and not fields["by"] and fields["by_candidates"]:
        return f"probably {' or '.join(fields['by_candidates'])}"
    text = str(fields[name] or "")
    return text.replace("T", " ").replace("+00:00", " UTC") if name in TIMES else text
