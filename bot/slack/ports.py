"""What the Slack side asks of the domain; `bot.services.service.Desk` is the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bot.atlas import JobRef
    from bot.cancellation.lifecycle import Request
    from bot.cancellation.policy import Person, Policy
    from bot.cancellation.projects import Projects
    from bot.services.job_search import JobFinder
    from bot.services.service import JobDetails, Submission
    from bot.storage.history import Past


class History(Protocol):
    """What was asked for, and what waits; `bot.storage.history.History` is the real one."""

    async def last(self, count: int, project_ids: Collection[str]) -> list[Past]:
        """Return the last requests of these projects, newest first; raises `LedgerError`."""

    async def awaiting(self) -> Sequence[Request]:
        """Return the requests that wait for approval; raises `LedgerError`."""


class Desk(Protocol):
    """Everything a person can ask of the domain, one method each."""

    @property
    def projects(self) -> Projects:
        """The projects that the bot knows."""

    @property
    def finder(self) -> JobFinder:
        """Looks around in Atlas."""

    @property
    def history(self) -> History:
        """Reads what was asked for."""

    def policy_of(self, project_id: str) -> Policy | None:
        """Return the rules of a project, or None when the bot does not know it (any more)."""

    async def look_up(self, ref: JobRef, *, timeout: float) -> JobDetails:
        """Read the job as Atlas has it now; raises `AtlasError` or `CancellationError`."""

    async def request(self, request_id: str) -> Request:
        """Read a request; raises `RequestNotFound` or `LedgerError`."""

    async def submit(self, submission: Submission) -> Request:
        """Write the request down and start it; raises `CancellationError`."""

    async def approve(self, request_id: str, person: Person) -> Request:
        """Count one person's yes; raises `CancellationError`."""

    async def deny(self, request_id: str, person: Person, reason: str) -> Request:
        """End a waiting request by an approver's no; raises `CancellationError`."""

    async def withdraw(self, request_id: str, person: Person) -> Request:
        """Take a waiting request back; raises `CancellationError`."""

    async def retry(self, request_id: str, person: Person) -> Request:
        """Let a failed request run again; raises `CancellationError`."""
