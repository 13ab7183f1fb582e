"""What listeners and the command line ask for: submit, approve, let run."""

from collections.abc import Callable
from dataclasses import dataclass

from bot.atlas import JobRef
from bot.cancellation.decisions import LetRunDecision, Submission
from bot.cancellation.people import ActingPerson
from bot.cancellation.request import Request, State
from bot.services.projects import Projects
from bot.storage.request_store import RequestStore, Submitted


@dataclass(frozen=True, slots=True)
class RequestService:
    """Looks up the policy of the job's cluster, lets the store decide, and starts the run.

    Every method raises `CancellationError`.
    """

    store: RequestStore
    projects: Projects
    start_run: Callable[[str], None]  #: called with the id of an approved request
    feed_is_readable: Callable[[str], bool]  #: of a project: whether the last read succeeded

    async def submit(self, person: ActingPerson, submission: Submission) -> Submitted:
        """Create a request, or join or decide the open one."""
        policy = self.projects.policy(submission.ref)
        submitted = await self.store.submit(person, policy, submission)
        self._run_if_approved(submitted.request)
        return submitted

    async def approve(self, request_id: str, person: ActingPerson) -> Request:
        """Record an approval."""
        policy = self.projects.policy((await self.store.get(request_id)).ref)
        request = await self.store.approve(request_id, person, policy)
        self._run_if_approved(request)
        return request

    async def let_run(
        self, ref: JobRef, request_id: str | None, person: ActingPerson, reason: str
    ) -> LetRunDecision:
        """Let a download run; `request_id` is the open request that the person saw, or None."""
        return await self.store.let_run(
            ref,
            request_id,
            person,
            self.projects.policy(ref),
            reason=reason,
            feed_is_readable=self.feed_is_readable(ref.project_id),
        )

    def _run_if_approved(self, request: Request) -> None:
        if request.state is State.APPROVED:
            self.start_run(request.id)
