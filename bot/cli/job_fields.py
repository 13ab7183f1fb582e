"""The fields of a restore job at the command line: for JSON, for the list, and line by line."""

import html
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.atlas.models import DeliveryType
from bot.cancellation.job_facts import LinkPhase
from bot.services.service import JobDetails
from bot.slack import job_facts
from bot.slack.mrkdwn import DELIVERY_TYPES

#: The fields that are times.
TIMES = frozenset({"snapshot", "started", "link_expected", "live_since"})
#: What Slack's markup adds to a text: a date's token around its fallback, and emoji.
DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
EMOJI = re.compile(r":[a-z_]+: ")

#: The fields in the columns of the list.
COLUMNS = "project cluster job state started by link_expected live_since snapshot request"


def fields_of(details: JobDetails) -> dict[str, Any]:
    """Return the fields under the names of the JSON output; None is not known."""
    ref, job, facts, request = details.ref, details.job, details.facts, details.open_request
    starter = facts.started_by.starter
    candidates = [starter.name, *starter.others] if starter else []
    is_to_come = facts.phase in {LinkPhase.EXPECTED, LinkPhase.OVERDUE}
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
        "link_expected": iso(facts.expected_at) if is_to_come else None,
        "live_since": iso(facts.live_since),
        "state": job.state.value,
        "request": request.id if request else None,
    }


def lines_of(details: JobDetails) -> list[tuple[str, str]]:
    """Return labels and values, as the dialog shows them; a value that is not known is empty."""
    fields, job = fields_of(details), details.job
    kind, link = fields["type"], job_facts.link_text(details.facts)
    return [
        ("Project", fields["project"]),
        ("Cluster", fields["cluster"]),
        ("Job id", fields["job"]),
        ("Type", DELIVERY_TYPES.get(kind, kind)),
        ("State", job.state.sentence),
        ("Snapshot", f"{in_words(fields, 'snapshot')} {job.snapshot_id}".strip()),
        ("Started", in_words(fields, "started")),
        ("By", plain(job_facts.who(details.facts.started_by))),
        ("Download link", plain(link) if kind == DeliveryType.DOWNLOAD else ""),
        ("Open request", in_words(fields, "request")),
    ]


def plain(mrkdwn: str) -> str:
    """Return a text of Slack for a terminal."""
    return html.unescape(EMOJI.sub("", DATE.sub(r"\1", mrkdwn)).replace("`", ""))


def iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds") if moment else None


def in_words(fields: Mapping[str, Any], name: str) -> str:
    """Return a field for people; empty when it is not known."""
    if name == "by" and not fields["by"] and fields["by_candidates"]:
        return f"probably {' or '.join(fields['by_candidates'])}"
    text = str(fields[name] or "")
    return text.replace("T", " ").replace("+00:00", " UTC") if name in TIMES else text
