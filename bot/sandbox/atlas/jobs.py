"""Restore jobs, and the changes of their state."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

#: Part of every download link, so that tests can search for leaked ones.
PLANTED_SECRET = "planted-download-secret-7c1e52"

#: The lifetime of a link: about an hour in every recording.
LINK_LIFETIME = timedelta(hours=1)


class DeliveryType(StrEnum):
    """The delivery of a restore job; only downloads can be cancelled."""

    DOWNLOAD = "download"
    AUTOMATED = "automated"
    POINT_IN_TIME = "pointInTime"


@dataclass(frozen=True, kw_only=True)
class RestoreTarget:
    """The target of an automated or point-in-time restore."""

    cluster: str
    group: str
    item: str


@dataclass(frozen=True, kw_only=True)
class Component:
    """One shard's part of a sharded download; its link is None until it is ready."""

    replica_set: str
    url: str | None = None


@dataclass(kw_only=True)
class RestoreJob:
    """One cloud-backup restore job; its methods are its possible changes."""

    id: str
    delivery_type: DeliveryType
    snapshot_id: str
    snapshot_at: datetime
    created_at: datetime
    cancelled: bool = False
    expired: bool = False
    failed: bool = False
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    urls: list[str] = field(default_factory=list)
    private_urls: list[str] = field(default_factory=list)
    components: list[Component] = field(default_factory=list)
    target: RestoreTarget | None = None
    shard_of: str | None = None

    @property
    def over(self) -> bool:
        """Whether the job has ended."""
        return self.cancelled or self.expired or self.failed or self.finished_at is not None

    @property
    def state(self) -> str:
        """The state in one word, for people and control pages; Atlas has no such field."""
        for word in ("cancelled", "expired", "failed"):
            if getattr(self, word):
                return word
        if self.finished_at is not None:
            return "finished"
        return "live" if self.urls else "running"

    def release(self, now: datetime) -> None:
        """Create the link, which is valid for an hour."""
        self.urls = [self.link(item.replica_set) for item in self.components] or [self.link()]
        self.components = [replace(c, url=self.link(c.replica_set)) for c in self.components]
        self.expires_at = now + LINK_LIFETIME

    def cancel(self) -> None:
        """Cancel the job, and withdraw its link."""
        self.cancelled = True
        self._withdraw()
        self.expires_at = None

    def expire(self) -> None:
        """End the job because its link expired."""
        self.expired = True
        self._withdraw()

    def fail(self) -> None:
        """End the job with a failure."""
        self.failed = True
        self._withdraw()

    def finish(self, now: datetime) -> None:
        """End the job because it was restored or downloaded."""
        self.finished_at = now
        self._withdraw()

    def link(self, part: str = "") -> str:
        """Return the download link of the job or of one shard, with the planted secret."""
        name = f"restore-{self.snapshot_id}{'-' + part if part else ''}.tar.gz"
        return f"https://restore-{self.id}.sandbox.invalid:27017/{PLANTED_SECRET}/{name}"

    def _withdraw(self) -> None:
        self.urls, self.private_urls = [], []
        self.components = [replace(item, url=None) for item in self.components]
