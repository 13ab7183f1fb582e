"""The facts of a download for people: its phase, and the buttons and labels that follow (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.cancellation.download import Download, Ended, LinkPhase, is_download
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request, State


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
    def request_id(self) -> str:
        return self.request.id if self.request else ""

    @property
    def state(self) -> str:
        """The state in the message's metadata."""
        if self.phase is Phase.AUTO_CANCEL:
            return str(Phase.AUTO_CANCEL)
        if self.phase is Phase.ENDED:
            ended_it = self.request and self.request.state is State.OVER
            return str(State.OVER) if ended_it else str(Phase.ENDED)
        if self.phase is Phase.LET_RUN and not _is_denied_last(self.download, self.request):
            return str(Phase.LET_RUN)
        return str(self.request.state) if self.request else str(self.phase)


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
    )


def _phase(download: Download, request: Request | None, policy: Policy) -> Phase:
    if request and request.is_open:
        return Phase.WAITING if request.state is State.AWAITING else Phase.CANCELLING
    if download.ended:
        is_ours = request is not None and request.state is State.CANCELLED
        return Phase.CANCELLED if is_ours else Phase.ENDED
    if download.auto_cancel(policy):
        return Phase.AUTO_CANCEL
    if download.let_run and not _is_after_let_run(download, request):
        return Phase.LET_RUN
    return _PHASES[request.state] if request else Phase.ANNOUNCED


def _is_after_let_run(download: Download, request: Request | None) -> bool:
    decision = download.let_run
    return bool(request and decision and request.changed_at > decision.at)


def _is_denied_last(download: Download, request: Request | None) -> bool:
    """Whether the request's denial is the decision to let the download run."""
    if request is None or request.state is not State.DENIED:
        return False
    return download.let_run is None or request.changed_at >= download.let_run.at


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
    if download.ended is Ended.CANCELLED_AND_FAILED:
        return "cancelled_and_failed"
    if download.ended:
        return str(download.ended)
    if download.link_existed:
        return "link_live" if download.has_link else "link_used"
    return "in_progress"


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="seconds") if moment else None
