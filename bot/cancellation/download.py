"""A download of a backup: the facts that Atlas gave, and what follows from them (pure)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.atlas import LINK_LIFETIME, DeliveryType, JobRef, RestoreJob
from bot.cancellation.policy import Policy
from bot.cancellation.starter import NO_STARTERS, Starters

#: From the start of a download to its link: the recorded median is 3:04, the shortest 2:32.
LINK_WAIT = timedelta(minutes=3)
#: No download goes on for longer: a link was seen to live until 115 minutes after the start, and
#: Atlas may start a failed download again.
LONGEST = timedelta(hours=3)
#: A stored time that is later than now by more than this shows that the clock was set back.
#: It is longer than an answer can be late.
SET_BACK = timedelta(minutes=1)


def was_set_back(stored_at: datetime, now: datetime) -> bool:
    """Whether the clock was set back since a moment that was stored."""
    return stored_at > now + SET_BACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What a person was shown of a job; the DELETE needs a job with the same values."""

    delivery_type: str  #: `download`, `automated` or `pointInTime`
    snapshot_id: str  #: 24 hex digits, or empty
    snapshot_time: datetime | None  #: None if Atlas gave no time

    @classmethod
    def of(cls, job: RestoreJob) -> "Fingerprint":
        return cls(
            delivery_type=str(job.delivery_type),
            snapshot_id=job.snapshot_id,
            snapshot_time=job.snapshot_time,
        )

    def changes(self, now: "Fingerprint") -> Mapping[str, tuple[Any, Any]]:
        """Return the values that differ: a value that was absent then is no change now."""
        before, after = asdict(self), asdict(now)
        return {
            name: (value, after[name])
            for name, value in before.items()
            if value not in {None, ""} and value != after[name]
        }

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, with times in ISO 8601."""
        values = asdict(self)
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class LetRun:
    """The decision that a download goes on."""

    by: str  #: the user id
    at: datetime
    reason: str = ""


class Ended(StrEnum):
    """How a download ended, by Atlas's last answer."""

    CANCELLED = "cancelled"
    CANCELLED_AND_FAILED = "cancelled_and_failed"  #: Atlas does not say what ended it
    FAILED = "failed"
    EXPIRED = "expired"
    FINISHED = "finished"
    GONE = "gone"  #: Atlas does not list the job any more


class LinkPhase(StrEnum):
    """What Atlas's last answer showed of the link."""

    EXPECTED = "expected"
    ANY_MOMENT = "any_moment"  #: the expected time has passed
    LIVE = "live"
    GONE = "gone"  #: it existed, and no link string is left: used or withdrawn
    NEVER_SEEN = "never_seen"  #: the download ended, and no answer showed a link
    WAS_LIVE = "was_live"  #: the download ended after its link was seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The link's line: what was seen of it, and nothing else."""

    phase: LinkPhase
    expected: datetime
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One download, identified by its project and its job's id."""

    ref: JobRef
    shown: Fingerprint  #: as the first answer described it; later answers fill in absent values
    stored_at: datetime
    read_at: datetime  #: when the last read began that had the job
    cancelled: bool = False
    failed: bool = False
    expired: bool = False
    is_gone: bool = False  #: whether Atlas has no such job any more (`services.absence`)
    finished_at: datetime | None = None
    expires_at: datetime | None = None
    has_link: bool = False  #: whether the last answer had a link string
    link_seen_at: datetime | None = None  #: when an answer first showed that a link exists
    starters: Starters = NO_STARTERS
    auto_cancel_at: datetime | None = None
    auto_cancelled_at: datetime | None = None  #: when the time was used
    let_run: LetRun | None = None
    channel: str | None = None  #: of its message
    ts: str | None = None  #: None before the message is posted

    @property
    def started_at(self) -> datetime:
        return self.ref.started_at

    @property
    def link_existed(self) -> bool:
        return self.link_seen_at is not None

    @property
    def ended(self) -> Ended | None:
        """How it ended, by the flags of Atlas; None while it goes on."""
        flags = (
            (self.cancelled and self.failed, Ended.CANCELLED_AND_FAILED),
            (self.failed, Ended.FAILED),
            (self.cancelled, Ended.CANCELLED),
            (self.expired, Ended.EXPIRED),
            (self.finished_at is not None, Ended.FINISHED),
            (self.is_gone, Ended.GONE),
        )
        return next((ended for is_set, ended in flags if is_set), None)

    def link(self, now: datetime) -> Link:
        """Return the link's line at this time."""
        since = self.expires_at - LINK_LIFETIME if self.expires_at else self.link_seen_at
        link = Link(
            phase=LinkPhase.EXPECTED,
            expected=self.started_at + LINK_WAIT,
            since=since if self.link_existed else None,
            until=self.expires_at if self.link_existed else None,
        )
        if self.ended:
            return replace(
                link, phase=LinkPhase.WAS_LIVE if self.link_existed else LinkPhase.NEVER_SEEN
            )
        if self.link_existed:
            return replace(link, phase=LinkPhase.LIVE if self.has_link else LinkPhase.GONE)
        return replace(
            link, phase=LinkPhase.EXPECTED if now < link.expected else LinkPhase.ANY_MOMENT
        )

    @property
    def open_time(self) -> datetime | None:
        """The stored time of auto-cancel that was not used, and that nobody has ended."""
        is_open = self.let_run is None and self.auto_cancelled_at is None and self.ended is None
        return self.auto_cancel_at if is_open else None

    def auto_cancel(self, policy: Policy) -> datetime | None:
        """Return the time at which it is cancelled unless somebody lets it run, or None."""
        return self.open_time if policy.auto_cancels else None

    def is_due(self, policy: Policy, now: datetime) -> bool:
        """Whether the time has come: at once where the clock was set back, else it would be late.

        A wrong cancel costs minutes, a missed one a copy of the database.
        """
        due_at = self.auto_cancel(policy)
        return due_at is not None and (due_at <= now or was_set_back(self.stored_at, now))

    def observed(self, job: RestoreJob, read_at: datetime) -> "Download":
        """Return it with an answer, by the time at which its read began.

        Flags, the end and the link that an answer showed stay: Atlas never takes them back. An
        earlier answer adds them too, and changes nothing else.
        """
        is_earlier = read_at < self.read_at and not was_set_back(self.read_at, read_at)
        shows_link = job.link_is_live or job.link_expires_at is not None
        fresh = Fingerprint.of(job)
        return replace(
            self,
            shown=replace(
                self.shown,
                snapshot_id=self.shown.snapshot_id or fresh.snapshot_id,
                snapshot_time=self.shown.snapshot_time or fresh.snapshot_time,
            ),
            read_at=self.read_at if is_earlier else read_at,
            cancelled=self.cancelled or job.cancelled,
            failed=self.failed or job.failed,
            expired=self.expired or job.expired,
            is_gone=self.is_gone and is_earlier,
            finished_at=self.finished_at or job.finished_at,
            expires_at=self.expires_at or job.link_expires_at,
            has_link=self.has_link if is_earlier and self.link_existed else job.link_is_live,
            link_seen_at=self.link_seen_at or (read_at if shows_link else None),
        )


def new_download(ref: JobRef, job: RestoreJob, *, read_at: datetime, now: datetime) -> Download:
    """Return the download of a job that is not stored yet."""
    first = Download(ref=ref, shown=Fingerprint.of(job), stored_at=now, read_at=read_at)
    return first.observed(job, read_at)


def is_new(ref: JobRef, watch_started_at: datetime | None, stored_at: datetime) -> bool:
    """Whether a download started after the first start of its project's watch.

    An id's time has whole seconds, so one that started in the same second counts as new: a wrong
    cancel costs minutes. So does each download that may go on where a clock that was ahead had
    stored a first start that is later than the time at which the download is stored.
    """
    if watch_started_at is None:
        return False
    if watch_started_at > stored_at:
        watch_started_at = stored_at - LONGEST
    return ref.started_at >= watch_started_at.replace(microsecond=0)


def auto_cancel_time(
    download: Download, policy: Policy, watch_started_at: datetime | None, now: datetime
) -> datetime | None:
    """Return the time that a download gets now, or None: a time that it has, or had, stays."""
    if policy.auto_cancel_after is None or not policy.auto_cancels:
        return None
    if download.auto_cancel_at or download.let_run or download.ended:
        return None
    is_due = is_new(download.ref, watch_started_at, download.stored_at)
    return now + policy.auto_cancel_after if is_due and is_download(download.shown) else None


def is_download(shown: Fingerprint) -> bool:
    return shown.delivery_type == DeliveryType.DOWNLOAD
