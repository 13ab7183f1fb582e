"""Switches for behaviour of Atlas that is undocumented or contradictory."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Behaviour(BaseModel):
    """Every choice with its default; fields may be assigned while the server runs.

    What is documented or was recorded is not here: only what sources contradict or leave open,
    and the sizes that a test wants small.
    """

    model_config = ConfigDict(validate_assignment=True, extra="forbid")

    # Versions: the versioning page says 406, the error table 400.
    version_error_status: Literal[400, 406] = 406

    # Authentication. Until July 2026 the refusals carried no errorCode, since then one.
    auth_error_code: bool = False
    algorithm: Literal["MD5", "SHA-256"] = "MD5"
    nonce_lifetime: float = Field(default=60.0, gt=0)
    nc_must_rise: bool = False
    token_lifetime: float = Field(default=3600.0, gt=0)
    token_limit: int = Field(default=100, ge=1)
    token_body_credentials: bool = False

    # Rights.
    role_refusal: Literal["USER_UNAUTHORIZED", "ACCESS_FORBIDDEN"] = "USER_UNAUTHORIZED"
    manager_may_cancel: bool = True
    seen_address: str | None = None

    # Cancelling what is over, and what is left of a cancelled job.
    cancelled_again: Literal["no-change", "refuse"] = "no-change"
    over: Literal["no-change", "refuse"] = "refuse"
    cancelled_keeps_link: bool = False

    # Envelopes.
    envelope_key: Literal["content", "envelope"] = "content"
    envelope_hides_status: bool = True
    enveloped_delete: Literal["status", "bare"] = "status"

    # Lists.
    reject_unknown_query: bool = False
    flex_in_cluster_list: bool = False

    # The activity feed: seconds until an event is visible, and whether it shows any.
    event_delay: float = Field(default=0.0, ge=0)
    event_feed: Literal["complete", "empty"] = "complete"

    # The backups' token bucket, one for each project.
    rate_capacity: int = Field(default=1200, ge=1)
    rate_refill: int = Field(default=500, ge=1)
    rate_seconds: int = Field(default=60, ge=1)

    @field_validator("seen_address")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        return str(ip_address(address)) if address is not None else None
