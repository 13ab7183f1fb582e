"""The replies in a download's thread, and whom each of them notifies (pure)."""

from dataclasses import dataclass
from enum import StrEnum

from bot.cancellation.download import Download
from bot.cancellation.people import NO_ONE, People, is_operator
from bot.cancellation.policy import Policy
from bot.cancellation.request import Request, State


class ReplyKind(StrEnum):
    """What a reply says; each has one sentence in the table of words."""

    WAITS = "waits"  #: a request waits for approvals
    WAITS_AGAIN = "waits_again"  #: for approvals that do not count any more, or for more
    REMINDER = "reminder"
    ACTED_ALONE = "acted_alone"
    APPROVAL = "approval"
    LINK_LIVE = "link_live"  #: nobody has decided yet
    TROUBLE = "trouble"  #: a run has been trying for ten minutes
    LET_RUN = "let_run"  #: it ended the auto-cancel time; no request was open
    ENDED = "ended"  #: the request or the download ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Whom a reply mentions, and whether the channel shows it too."""

    people: People = NO_ONE
    is_broadcast: bool = False


_TO_APPROVERS = frozenset(
    {
        ReplyKind.WAITS,
        ReplyKind.WAITS_AGAIN,
        ReplyKind.REMINDER,
        ReplyKind.ACTED_ALONE,
        ReplyKind.LINK_LIVE,
    }
)
_QUIET_ENDS = frozenset({State.DENIED, State.WITHDRAWN})
_LOUD_ENDS = frozenset({State.FAILED, State.REFUSED, State.CHANGED, State.EXPIRED})


def audience(
    kind: ReplyKind, policy: Policy, download: Download, request: Request | None
) -> Audience:
    """Return whom a reply notifies: an edit of the message notifies nobody."""
    approvers = policy.named_approvers
    if kind in _TO_APPROVERS:
        return Audience(people=approvers, is_broadcast=True)
    if kind is ReplyKind.TROUBLE:
        return Audience(people=_requester(request) | approvers, is_broadcast=True)
    if kind is ReplyKind.ENDED:
        return _audience_of_end(approvers, download, request)
    return Audience()


def _audience_of_end(approvers: People, download: Download, request: Request | None) -> Audience:
    requester = _requester(request)
    state = request.state if request else None
    is_loud = state in _LOUD_ENDS or (download.link_existed and state not in _QUIET_ENDS)
    if is_loud:
        return Audience(people=requester | approvers, is_broadcast=True)
    is_of_bot = request is not None and request.requester is None
    return Audience(people=approvers if is_of_bot else requester)


def _requester(request: Request | None) -> People:
    requester = request.requester if request else None
    if requester is None or is_operator(requester):
        return NO_ONE
    return People(users=frozenset({requester}))


def link_needs_decision(download: Download, last: Request | None) -> bool:
    """Whether the link of a download is live while nobody has decided about it."""
    if download.ended or not download.link_existed:
        return False
    if last and last.state is State.AWAITING:
        return True
    is_undecided = last is None or last.state in {State.EXPIRED, State.WITHDRAWN}
    return is_undecided and download.let_run is None
