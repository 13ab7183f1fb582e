"""Converts between database rows and the values of `bot.cancellation` (pure)."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bot.atlas import JobRef
from bot.cancellation.lifecycle import (
    Approval,
    Card,
    DeleteAttempts,
    JobFingerprint,
    Outcome,
    Request,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TIMES = ("snapshot_time", "expires_at")


def shown_to_json(shown: JobFingerprint) -> dict[str, Any]:
    """Convert a fingerprint to JSON values, with times in ISO 8601."""
    values = asdict(shown)
    for name in _TIMES:
        values[name] = values[name].isoformat() if values[name] else None
    return values


def shown_from_json(values: Mapping[str, Any]) -> JobFingerprint:
    """Convert back from `shown_to_json`; raises `TypeError`, `ValueError` or `KeyError`."""
    times = {
        name: datetime.fromisoformat(values[name]) if values[name] else None for name in _TIMES
    }
    return JobFingerprint(**{**values, **times})


def request_to_row(request: Request) -> dict[str, Any]:
    """Return the columns of a new request."""
    return {
        "id": request.id,
        "key": request.key,
        "state": request.state,
        "project_id": request.ref.project_id,
        "project_name": request.project_name,
        "cluster_name": request.ref.cluster_name,
        "job_id": request.ref.job_id,
        "team": request.team,
        "requester": request.requester,
        "asked_in": request.asked_in,
        "channel": request.channel,
        "reason": request.reason,
        "shown": json.dumps(shown_to_json(request.shown), sort_keys=True),
        "approvals_needed": request.approvals_needed,
        "created_at": request.created_at,
        "changed_at": request.changed_at,
        "expires_at": request.expires_at,
        "moved_because": request.moved_because,
    }


def request_from_row(row: Any, approvals: Iterable[Any]) -> Request:  # noqa: ANN401 - a database row
    """Build a request from its row and the rows of its approvals."""
    return Request(
        id=row.id,
        key=row.key,
        state=State(row.state),
        ref=JobRef(project_id=row.project_id, cluster_name=row.cluster_name, job_id=row.job_id),
        project_name=row.project_name,
        team=row.team,
        requester=row.requester,
        asked_in=row.asked_in,
        channel=row.channel,
        reason=row.reason,
        shown=shown_from_json(json.loads(row.shown)),
        approvals_needed=row.approvals_needed,
        created_at=row.created_at,
        changed_at=row.changed_at,
        expires_at=row.expires_at,
        approvals=tuple(Approval(user=each.user, at=each.at) for each in approvals),
        sent=DeleteAttempts(
            count=row.delete_count, accepted=row.delete_accepted, unknown=row.delete_unknown
        ),
        outcome=Outcome(**json.loads(row.outcome)),
        card=Card(channel=row.card_channel, ts=row.card_ts) if row.card_ts else None,
        moved_because=row.moved_because,
    )
