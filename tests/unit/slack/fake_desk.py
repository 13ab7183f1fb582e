"""A desk in memory: the real rules over a dictionary, and faults on demand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bot.cancellation import policy as rules
from bot.cancellation.errors import (
    AlreadyHandled,
    JobAlreadyRequested,
    RequestExpired,
    RequestNotFound,
    UnknownProject,
)
from bot.cancellation.lifecycle import OPEN, Approval, Card, Outcome, Request, State
from bot.cancellation.policy import Person, Policy
from bot.cancellation.projects import Project, Projects
from bot.services.job_search import JobFinder
from bot.services.service import JobDetails, new_request, refusal_of
from bot.storage.history import Past
from tests.support.domain import NOON, PROJECT_ID, a_job
from tests.support.fake_atlas import FakeAtlas

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from bot.atlas import JobRef, RestoreJob
    from bot.cancellation.errors import NotAllowed
    from bot.services.service import Submission

OPEN_TO_ALL = Policy()


class FakeDesk:
    """Everything that listeners may call, with no database and no Atlas.

    Attributes:
        job: what Atlas says about every job, or the exception that a look-up raises.
        fault: what the next change raises instead of happening.
        atlas: what there is to look around in, by project id.
        gate: when set, nothing happens until somebody sets the event.
    """

    def __init__(
        self,
        policy: Policy = OPEN_TO_ALL,
        *,
        names: tuple[str, ...] = ("shop-prod",),
        now: Callable[[], datetime] = lambda: NOON,
    ) -> None:
        ids = [PROJECT_ID, *(f"{number:024x}" for number in range(1, len(names)))]
        self.atlas = {each: FakeAtlas({"prod-eu": [a_job()]}) for each in ids}
        self.projects = Projects(
            Project(id=each, name=name, policy=policy, atlas=self.atlas[each])
            for each, name in zip(ids, names, strict=True)
        )
        self.requests: dict[str, Request] = {}
        self.finder = JobFinder(self.projects)
        self.history = FakeHistory(self.requests)
        self.job: RestoreJob | Exception = a_job()
        self.fault: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.looked_up: list[JobRef] = []
        self.submissions: list[Submission] = []
        self._now = now

    def policy_of(self, project_id: str) -> Policy | None:
        project = self.projects.find(project_id)
        return project.policy if project else None

    def put(self, request: Request) -> Request:
        self.requests[request.id] = request
        return request

    async def look_up(self, ref: JobRef, *, timeout: float) -> JobDetails:
        self.looked_up.append(ref)
        await self._pass_gate()
        project = self._project(ref.project_id)
        if isinstance(self.job, Exception):
            raise self.job
        taken = next((r for r in self.requests.values() if r.ref == ref and r.state in OPEN), None)
        return JobDetails(ref=ref, project_name=project.name, job=self.job, open_request=taken)

    async def request(self, request_id: str) -> Request:
        if request_id not in self.requests:
            raise RequestNotFound
        return self.requests[request_id]

    async def submit(self, submission: Submission) -> Request:
        self.submissions.append(submission)
        await self._pass_gate()
        project = self._project(submission.ref.project_id)
        _allowed(refusal_of(project.policy, submission))
        for request in self.requests.values():
            if request.key == submission.key:
                return request
            if request.ref == submission.ref and request.state in OPEN:
                raise JobAlreadyRequested(request)
        number = len(self.requests) + 1
        return self.put(new_request(project, submission, f"request-{number}", self._now()))

    async def approve(self, request_id: str, person: Person) -> Request:
        request = await self._waiting(request_id)
        policy = self._project(request.ref.project_id).policy
        _allowed(rules.may_decide(policy, request.requester, person))
        _allowed(rules.may_approve_once(request.approved_by, person))
        approvals = (*request.approvals, Approval(user=person.id, at=self._now()))
        state = State.AWAITING if request.approvals_missing > 1 else State.APPROVED
        return self._change(request, approvals=approvals, state=state)

    async def deny(self, request_id: str, person: Person, reason: str) -> Request:
        request = await self._waiting(request_id)
        policy = self._project(request.ref.project_id).policy
        _allowed(rules.may_deny(policy, request.requester, person))
        outcome = Outcome(sentence=reason, by=person.id)
        return self._change(request, state=State.DENIED, outcome=outcome)

    async def withdraw(self, request_id: str, person: Person) -> Request:
        request = await self._waiting(request_id)
        _allowed(rules.may_withdraw(request.requester, person))
        return self._change(request, state=State.WITHDRAWN, outcome=Outcome(by=person.id))

    async def retry(self, request_id: str, person: Person) -> Request:
        await self._pass_gate()
        request = await self.request(request_id)
        if request.state is not State.FAILED:
            raise AlreadyHandled(request)
        _allowed(rules.may_retry(self._project(request.ref.project_id).policy, person))
        return self._change(request, state=State.APPROVED, outcome=Outcome())

    def post_card(self, request: Request, channel: str, ts: str) -> Request:
        return self._change(request, card=Card(channel=channel, ts=ts))

    async def _waiting(self, request_id: str) -> Request:
        await self._pass_gate()
        request = await self.request(request_id)
        if request.state is not State.AWAITING:
            raise AlreadyHandled(request)
        if request.expires_at <= self._now():
            raise RequestExpired(request)
        return request

    async def _pass_gate(self) -> None:
        if self.gate:
            await self.gate.wait()
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault

    def _project(self, project_id: str) -> Project:
        if project := self.projects.find(project_id):
            return project
        raise UnknownProject

    def _change(self, request: Request, **changes: Any) -> Request:
        return self.put(replace(request, changed_at=self._now(), **changes))


class FakeHistory:
    """What was asked for, out of the desk's own dictionary."""

    def __init__(self, requests: Mapping[str, Request]) -> None:
        self._requests = requests

    async def last(self, count: int, project_ids: Collection[str]) -> list[Past]:
        newest = reversed([r for r in self._requests.values() if r.ref.project_id in project_ids])
        return [past_of(request) for request in newest][:count]

    async def awaiting(self) -> Sequence[Request]:
        return [r for r in self._requests.values() if r.state is State.AWAITING]


def past_of(request: Request) -> Past:
    return Past(
        request=request.id,
        project_id=request.ref.project_id,
        cluster_name=request.ref.cluster_name,
        job_id=request.ref.job_id,
        requester=request.requester,
        reason=request.reason,
        state=request.state,
        asked_at=request.created_at,
        changed_at=request.changed_at,
        by=request.outcome.by,
        card=request.card,
    )


def _allowed(refusal: NotAllowed | None) -> None:
    if refusal:
        raise refusal
