"""The desk: everything a person can ask of the domain, one method each. Listeners call only this."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from bot.cancellation import policy as rules
from bot.cancellation.errors import NotCancellableNow
from bot.cancellation.lifecycle import Shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.errors import NotAllowed
    from bot.cancellation.ledger import Ledger
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import Person, Policy
    from bot.cancellation.projects import Projects


class Runs(Protocol):
    """Takes an approved request to its end, in its own time."""

    def start(self, request_id: str) -> None:
        """Begin now, or let somebody else who holds it finish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the dialog shows: the job as Atlas has it, and an open request for it, if there is one."""

    ref: JobRef
    project_name: str
    job: RestoreJob
    open_request: Request | None

    @property
    def can_be_asked(self) -> bool:
        return self.job.can_be_cancelled and self.open_request is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A dialog that was submitted.

    Attributes:
        key: what makes a second delivery the same request (the view's id).
        asked_in: the channel in which the command was typed.
        channel: the channel in which the card is to stand.
        shown: the job as the dialog showed it.
        typed: what was typed to confirm, where the policy wants it.
        approver_members: the user ids of everybody in the approving groups.
    """

    key: str
    person: Person
    ref: JobRef
    project_name: str
    asked_in: str
    channel: str
    shown: Shown
    reason: str = ""
    typed: str = ""
    approver_members: frozenset[str] = frozenset()


class Desk:
    """Checks the rules, writes the ledger, and starts what is ready to run."""

    def __init__(
        self, ledger: Ledger, projects: Projects, runs: Runs, now: Callable[[], datetime]
    ) -> None:
        self._ledger = ledger
        self._runs = runs
        self._now = now
        self.projects = projects

    def policy_of(self, project_id: str) -> Policy | None:
        """Return the rules of a project, or None when the bot does not know it (any more)."""
        project = self.projects.find(project_id)
        return project.policy if project else None

    async def look_up(self, ref: JobRef, *, patience: float) -> Sight:
        """Read the job as Atlas has it now; raises `AtlasRefused` or `AtlasTrouble`."""
        raise NotImplementedError

    async def submit(self, submission: Submission) -> Request:
        """Write the request down and start it; the same key gives the same request.

        Raises:
            NotAllowed: the policy says no.
            JobTaken: another request for this job is open.
            NotRecorded: the ledger did not take it; nothing was done.
            MaybeRecorded: the ledger did not say.
        """
        raise NotImplementedError
