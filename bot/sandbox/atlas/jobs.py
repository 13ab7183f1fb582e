"""A restore job as the stand-in keeps it, and the changes that its life can bring."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

#: Stands in every download link, so that a test can search everything for a leaked one.
PLANTED_SECRET = "planted-download-secret-7c1e52"

#: How long a link lives once it is there: about an hour in every recording.
LINK_LIFETIME = timedelta(hours=1)


class DeliveryType(StrEnum):
    """What a restore job delivers; only the first can be cancelled."""

    DOWNLOAD = "download"
    AUTOMATED = "automated"
    POINT_IN_TIME = "pointInTime"


@dataclass(frozen=True, kw_only=True)
class RestoreTarget:
    """Where an automated or point-in-time restore writes to."""

    cluster: str
    group: str
    item: str


@dataclass(frozen=True, kw_only=True)
class Component:
    """One shard's part of a sharded download; no link while it is not made."""

    replica_set: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class PointInTime:
    """The moment a point-in-time restore goes back to: seconds, and an oplog position."""

    seconds: int
    oplog_increment: int


@dataclass(kw_only=True)
class RestoreJob:
    """One cloud-backup restore job; its methods are what can happen to it."""

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
    point_in_time: PointInTime | None = None
    shard_of: str | None = None

    @property
    def over(self) -> bool:
        """Whether nothing can happen to it any more."""
        return self.cancelled or self.expired or self.failed or self.finished_at is not None

    @property
    def state(self) -> str:
        """Its state in one word; Atlas has no such field, people and control pages want one."""
        for word in ("cancelled", "expired", "failed"):
            if getattr(self, word):
                return word
        if self.finished_at is not None:
            return "finished"
        return "live" if self.urls else "running"

    def release(self, now: datetime) -> None:
        """The link is made: whoever has it can download from now on, for an hour."""
        self.urls = [self.link(item.replica_set) for item in self.components] or [self.link()]
        self.components = [replace(c, url=self.link(c.replica_set)) for c in self.components]
        self.expires_at = now + LINK_LIFETIME

    def cancel(self, *, keep_link: bool = False) -> None:
        """Somebody cancelled it."""
        self.cancelled = True
        if not keep_link:
            self._withdraw()
            self.expires_at = None

    def expire(self) -> None:
        """Its link ran out."""
        self.expired = True
        self._withdraw()

    def fail(self) -> None:
        """Atlas could not do it."""
        self.failed = True
        self._withdraw()

    def finish(self, now: datetime) -> None:
        """It is done: restored, or downloaded."""
        self.finished_at = now
        self._withdraw()

    def link(self, part: str = "") -> str:
        """Return the download link of the job, or of one shard; its middle is the secret."""
        name = f"restore-{self.snapshot_id}{'-' + part if part else ''}.tar.gz"
        return f"https://restore-{self.id}.sandbox.invalid:27017/{PLANTED_SECRET}/{name}"

    def _withdraw(self) -> None:
        self.urls, self.private_urls = [], []
        self.components = [replace(item, url=None) for item in self.components]
