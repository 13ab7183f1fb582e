"""Injected faults: kinds, the requests they apply to, counts, and presets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """Kinds of faults; after those with an effect a DELETE has cancelled the job."""

    #: The request is handled `seconds` late.
    DELAY = "delay"
    #: The connection is aborted before the request has its effect.
    RESET_BEFORE = "reset_before"
    #: The request has its effect, then the connection is aborted.
    RESET_AFTER = "reset_after"
    #: The request is never handled and never answered.
    HANG = "hang"
    #: The request has its effect, and is never answered.
    HANG_AFTER = "hang_after"
    #: A response with `status` from Atlas or a gateway; no effect.
    STATUS = "status"
    #: The documented error `code`; no effect.
    ERROR = "error"
    #: The request has its effect; the response is 200 with a page of HTML.
    HTML = "html"
    #: The request has its effect; the connection breaks within the response.
    CUT_BODY = "cut_body"
    #: The effect shows only after `reads` more reads of the job.
    STALE_READ = "stale_read"
    #: The key is not accepted: a 401 with a new challenge; no effect.
    REFUSE_KEY = "refuse_key"
    #: Every nonce is forgotten first, so the response is a 401 with stale=true.
    FORGET_NONCES = "forget_nonces"


#: Kinds after which the request has no effect.
WITHOUT_EFFECT = frozenset({Kind.RESET_BEFORE, Kind.HANG, Kind.STATUS, Kind.ERROR, Kind.REFUSE_KEY})


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One fault: its kind, the requests it applies to, and their number (None: all).

    `method` and `path` (a part of the request target) narrow it down. `on` says which legs count:
    calls whose credentials were taken, or any request.
    """

    kind: Kind
    method: str | None = None
    path: str = ""
    times: int | None = 1
    on: Literal["call", "any"] = "call"
    seconds: float = 4.0
    status: int = 500
    retry_after: int | None = None
    code: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    reads: int = 2

    @property
    def has_effect(self) -> bool:
        """Whether the request still changes the world."""
        return self.kind not in WITHOUT_EFFECT

    def hits(self, method: str, path: str, leg: str) -> bool:
        """Whether it applies to this request on this leg (`call` or `challenge`)."""
        named = self.method is None or self.method == method
        return named and self.path in path and self.on in (leg, "any")


@dataclass
class Active:
    """A fault and the number of requests it still applies to."""

    fault: Fault
    left: int | None


@dataclass
class Faults:
    """The pending faults, in the order in which they were added."""

    active: list[Active] = field(default_factory=list)

    def add(self, *faults: Fault) -> None:
        self.active.extend(Active(fault, fault.times) for fault in faults)

    def clear(self) -> None:
        self.active.clear()

    def take(self, method: str, path: str, leg: str, *, early: bool = False) -> list[Fault]:
        """Return the faults that apply to this request, and count them as used.

        `early` selects those that apply before credentials are checked (forgotten nonces); there,
        `call` is the leg of every request with credentials, valid or not.
        """
        faults = [
            item
            for item in self.active
            if (item.fault.kind is Kind.FORGET_NONCES) is early
            and item.fault.hits(method, path, leg)
        ]
        for item in faults:
            item.left = None if item.left is None else item.left - 1
        self.active = [item for item in self.active if item.left != 0]
        return [item.fault for item in faults]


#: Presets for the demo: a sentence and the faults.
PRESETS: Mapping[str, tuple[str, tuple[Fault, ...]]] = {
    "slow": ("Atlas answers each call four seconds late.", (Fault(kind=Kind.DELAY, times=None),)),
    "hang": ("Atlas accepts the next call and never answers.", (Fault(kind=Kind.HANG),)),
    "rate-limited": (
        "Atlas answers the next three calls with 429 and asks to wait two seconds.",
        (Fault(kind=Kind.STATUS, status=429, retry_after=2, times=3),),
    ),
    "down": (
        "Atlas cuts every connection.",
        (Fault(kind=Kind.RESET_BEFORE, times=None, on="any"),),
    ),
    "unavailable": (
        "Atlas answers 503 to everything.",
        (Fault(kind=Kind.STATUS, status=503, retry_after=1, times=None),),
    ),
    "cut-before": (
        "The first DELETE is lost: nothing is cancelled.",
        (Fault(kind=Kind.RESET_BEFORE, method="DELETE"),),
    ),
    "cut-after": (
        "The first DELETE cancels the job, and its response is lost.",
        (Fault(kind=Kind.RESET_AFTER, method="DELETE"),),
    ),
    "garbage": (
        "The next two reads are answered with a page of HTML.",
        (Fault(kind=Kind.HTML, method="GET", times=2),),
    ),
    "maintenance": (
        "Atlas is being upgraded and refuses every DELETE.",
        (
            Fault(
                kind=Kind.ERROR,
                code="WRITES_NOT_ALLOWED_DURING_APP_UPGRADES",
                method="DELETE",
                times=None,
            ),
        ),
    ),
    "stale-read": (
        "A cancelled job shows as cancelled only at the third read.",
        (Fault(kind=Kind.STALE_READ, method="DELETE", times=None),),
    ),
    "stale-nonce": (
        "Atlas forgets its nonces before each of the next three requests.",
        (Fault(kind=Kind.FORGET_NONCES, times=3),),
    ),
    "access-list": (
        "The bot's address is not on the API access list.",
        (
            Fault(
                kind=Kind.ERROR,
                code="IP_ADDRESS_NOT_ON_ACCESS_LIST",
                values={"address": "203.0.113.7"},
                times=None,
            ),
        ),
    ),
    "feed-refused": (
        "The key has no role for the activity feed.",
        (Fault(kind=Kind.ERROR, code="USER_UNAUTHORIZED", path="/events", times=None),),
    ),
    "wrong-key": ("Atlas does not accept the key.", (Fault(kind=Kind.REFUSE_KEY, times=None),)),
}
