"""Switches for behaviour of Atlas that its documentation contradicts, or that a test needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Behaviour:
    """Every choice with its default; fields may be assigned while the server runs."""

    #: The address that the access list is compared with; None: the real one.
    seen_address: str | None = None

    # Envelopes: the key of the content, and whether a DELETE gets one.
    envelope_key: Literal["content", "envelope"] = "content"
    enveloped_delete: Literal["status", "bare"] = "status"

    #: Seconds until an event is visible in the activity feed.
    event_delay: float = 0.0

    #: The capacity of the backups' token bucket, one for each project.
    rate_capacity: int = 1200
