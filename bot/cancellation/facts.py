"""The facts of a download for people: its phase, and the buttons and labels that follow (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.cancellation.download import Download, LinkPhase, is_download
from bot.cancellation.policy import Policy
from bot.cancellation.request import RUNNING, Request, State


class Phase(StrEnum):
    """Where a download and its decision stand; each has its words."""

    ANNOUNCED = "announced"
    AUTO_CANCEL = "auto_cancel"  #: a time stands, and no request is open
    WAITING = "waiting"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    LET_RUN = "let_run"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REFUSED = "refused"
    CHANGED = "changed"
    FAILED = "failed"
    ENDED = "ended"


class Button(StrEnum):
    CANCEL = "cancel"  #: Cancel this download
    APPROVE = "approve"  #: Approve cancelling
    LET_RUN = "let_run"  #: Let it run


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A download with its requests, the open one or the last one first."""

    download: Download
    request: Request | None
    policy: Policy
    phase: Phase
    auto_cancel_at: datetime | None  #: where the time stands
    has_sent: bool  #: whether a DELETE of the bot may have taken effect, of any request

    @property
    def was_let_run(self) -> bool:
        """Whether the last decision was that the download goes on."""
        if self.request is not None and self.request.state is State.DENIED:
            return True
        return _stays_let_run(self.download, self.request)

    @property
    def buttons(self) -> tuple[Button, ...]:
        """The buttons of the message; a read-only project has none."""
        if self.policy.read_only or self.download.ended or not is_download(self.download.shown):
            return ()
        if self.phase is Phase.WAITING:
            return Button.APPROVE, Button.LET_RUN
        if self.phase is Phase.CANCELLING:
            return ()
        return (Button.CANCEL, Button.LET_RUN) if self.auto_cancel_at else (Button.CANCEL,)

    @property
    def state(self) -> str:
        """The state in the message's metadata, by which programs follow a download."""
        request = self.request
        if request and (request.is_open or request.state in _ENDED_IT):
            return str(request.state)
        if self.download.ended:
            return str(Phase.ENDED)
        if self.phase is Phase.AUTO_CANCEL or request is None:
            return str(self.phase)
        decision = self.download.let_run
        is_later = decision is not None and decision.at > request.changed_at
        return str(Phase.LET_RUN if is_later else request.state)


#: The states of requests whose download has ended.
_ENDED_IT = frozenset({State.CANCELLED, State.OVER})
_PHASES = {
    State.CANCELLED: Phase.CANCELLED,
    State.DENIED: Phase.LET_RUN,
    State.WITHDRAWN: Phase.WITHDRAWN,
    State.EXPIRED: Phase.EXPIRED,
    State.REFUSED: Phase.REFUSED,
    State.CHANGED: Phase.CHANGED,
    State.FAILED: Phase.FAILED,
    State.OVER: Phase.ENDED,
}


def facts_of(download: Download, requests: Sequence[Request], policy: Policy) -> Facts:
    """Return the facts; `requests` are those about the download, newest first."""
    opened = next((request for request in requests if request.is_open), None)
    request = opened or next(iter(requests), None)
    return Facts(
        download=download,
        request=request,
        policy=policy,
        phase=_phase(download, request, policy),
        auto_cancel_at=download.auto_cancel(policy),
        has_sent=any(item.attempts.may_have_taken_effect for item in requests),
    )


def _phase(download: Download, request: Request | None, policy: Policy) -> Phase:
    if request and request.state in RUNNING:
        return Phase.CANCELLING
    if download.ended:
        is_ours = request is not None and request.state is State.CANCELLED
        return Phase.CANCELLED if is_ours else Phase.ENDED
    if request and request.state is State.AWAITING:
        return Phase.WAITING
    if download.auto_cancel(policy):
        return Phase.AUTO_CANCEL
    if _stays_let_run(download, request):
        return Phase.LET_RUN
    return _PHASES[request.state] if request else Phase.ANNOUNCED


def _stays_let_run(download: Download, request: Request | None) -> bool:
    """Whether the download was let run, and no later request ended since."""
    decision = download.let_run
    return decision is not None and (request is None or request.changed_at <= decision.at)


def list_fields(
    facts: Facts, *, project: str, kind: str, why_not: str | None, now: datetime
) -> dict[str, Any]:
    """Return the fields of a line of `list`: JSON values, null where something is not known."""
    download, link = facts.download, facts.download.link(now)
    names = download.starters.names
    to_come = link.phase in {LinkPhase.EXPECTED, LinkPhase.ANY_MOMENT}
    is_download_job = is_download(download.shown)
    request = facts.request
    return {
        "project": project,
        "cluster": download.ref.cluster_name,
        "job": download.ref.job_id,
        "type": kind,
        "state": state_word(download),
        "snapshot": _iso(download.shown.snapshot_time),
        "snapshot_id": download.shown.snapshot_id or None,
        "started": _iso(download.started_at),
        "started_by": names[0] if len(names) == 1 else None,
        "started_by_candidates": list(names) if len(names) > 1 else None,
        "link_expected": _iso(link.expected) if to_come and is_download_job else None,
        "link_live_since": _iso(link.since),
        "link_until": _iso(link.until),
        "auto_cancel_at": _iso(facts.auto_cancel_at),
        "cancellable": why_not is None,
        "why_not": why_not,
        "note": facts.policy.note or None,
        "request": request.id if request and request.is_open else None,
    }


def state_word(download: Download) -> str:
    """Return the state of a job in one word, for JSON."""
    if download.ended:
        return str(download.ended)
    if download.link_existed:
        return "link_live" if download.has_link else "link_used"
    return "in_progress"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
