"""Switches for behaviour of Atlas that is undocumented or contradictory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass
class Behaviour:
    """Every choice with its default; fields may be assigned while the server runs.

    What is documented or was recorded is not here: only what sources contradict or leave open,
    and the sizes that a test wants small.
    """

    # Authentication. Until July 2026 the refusals carried no errorCode, since then one.
    auth_error_code: bool = False
    algorithm: Literal["MD5", "SHA-256"] = "MD5"
    nc_must_rise: bool = False

    #: The address that the access list is compared with; None: the real one.
    seen_address: str | None = None

    # Cancelling what is over, and what is left of a cancelled job.
    cancelled_again: Literal["no-change", "refuse"] = "no-change"
    over: Literal["no-change", "refuse"] = "refuse"
    cancelled_keeps_link: bool = False

    # Envelopes.
    envelope_key: Literal["content", "envelope"] = "content"
    envelope_hides_status: bool = True
    enveloped_delete: Literal["status", "bare"] = "status"

    flex_in_cluster_list: bool = False

    #: Seconds until an event is visible in the activity feed.
    event_delay: float = 0.0

    # The backups' token bucket, one for each project.
    rate_capacity: int = 1200
    rate_refill: int = 500
