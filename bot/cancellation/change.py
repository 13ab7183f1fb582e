"""What a transaction did to downloads and requests, each before and after it (pure)."""

from dataclasses import dataclass
from typing import TypeAlias

from bot.cancellation.download import Download
from bot.cancellation.request import Request


@dataclass(frozen=True, slots=True)
class DownloadChange:
    """A download before and after an answer of Atlas, or a decision."""

    before: Download | None  #: None where it was not stored
    after: Download
    is_new: bool = False  #: whether it was not stored, and started after the watch

    @property
    def shows_link(self) -> bool:
        return self.after.link_existed and not (self.before and self.before.link_existed)

    @property
    def has_ended(self) -> bool:
        return self.after.ended is not None and not (self.before and self.before.ended)


@dataclass(frozen=True, slots=True)
class RequestChange:
    """A request that entered a state."""

    before: Request | None  #: None where it was not stored
    after: Request
    download: Download


Change: TypeAlias = DownloadChange | RequestChange
