"""The client of the Atlas Administration API: restore jobs, clusters, projects, and one cancel."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self, TypeVar

from pydantic import ValidationError

from bot.atlas import protocol
from bot.atlas.errors import Facts, UnreadableAnswer
from bot.atlas.http import AtlasHttp
from bot.atlas.models import Answer, CancelAccepted, Cluster, Project, RestoreJob
from bot.atlas.retry import MOST_TRIES, Clock, Deadline, retry_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    import httpx

    from bot.atlas.credentials import Credentials
    from bot.atlas.models import JobRef
    from bot.atlas.transport import CallRecord

_T = TypeVar("_T")
_A = TypeVar("_A", bound=Answer)

#: Pages of one list that are read at most; a list without an end is no list of Atlas.
MOST_PAGES = 200


class AtlasClient:
    """Speaks the Administration API with one pool of connections and one login.

    Safe for many calls at once in one event loop. Close it: it is an async context manager.

    Args:
        credentials: an API key pair or a service account.
        base_url: where Atlas is; Atlas for Government is https://cloud.mongodbgov.com.
        version: which API to speak.
        envelope: ask for enveloped answers, for gateways that hide statuses or headers.
        pretty: ask for indented answers.
        transport: instead of the network, for tests.
        request_timeout: seconds for one call with its handshake.
        timeout: seconds in all for one read (all pages of a list) with what is tried again.
        observe: told of every HTTP exchange, digest challenges and failures included.
        sleep: waits seconds.
        monotonic: seconds that never jump.
        jitter: a number from 0 to 1, by chance.

    Raises:
        ValueError: `base_url` is no address.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str = "https://cloud.mongodb.com",
        version: protocol.ApiVersion = protocol.ApiVersion.V2,
        envelope: bool = False,
        pretty: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        request_timeout: float = 8.0,
        timeout: float = 20.0,
        observe: Callable[[CallRecord], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._dialect = protocol.ApiOptions(version=version, envelope=envelope, pretty=pretty)
        self._request_timeout = request_timeout
        self._timeout = timeout
        self._clock = Clock(sleep, monotonic, jitter)
        self._exchange = AtlasHttp(
            credentials,
            base_url=base_url,
            dialect=self._dialect,
            transport=transport,
            request_timeout=request_timeout,
            observe=observe,
            monotonic=monotonic,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._exchange.aclose()

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        """Read one job.

        Raises:
            AtlasRejected: Atlas said no.
            AtlasUnavailable: there was no readable answer within `timeout` seconds.
        """
        ask = protocol.get_job(ref)

        def read(payload: object) -> RestoreJob:
            job = self._one(RestoreJob, ask, payload)
            if job.id != ref.job_id:
                raise self._unreadable(ask, "it is another job than the one asked for")
            return job

        return await self._read(ask, read, self._budget(timeout))

    async def restore_jobs(
        self, project_id: str, cluster_name: str, *, tries: int = MOST_TRIES
    ) -> list[RestoreJob]:
        """Read all restore jobs of a cluster, newest first; cancelled and old ones are among them.

        Args:
            project_id: 24 hex digits.
            cluster_name: the cluster.
            tries: of each page, at most; 1 for whoever looks again later anyway.

        Raises:
            InvalidName: before anything is sent.
            AtlasRejected: Atlas said no.
            AtlasUnavailable: there was no readable answer in time.
        """
        ask = protocol.list_jobs(project_id, cluster_name)
        jobs = await self._all(RestoreJob, ask, tries)
        # A job that is created while pages are read moves one job to the next page: seen twice.
        return list({job.id: job for job in jobs}.values())

    async def clusters(self, project_id: str) -> list[Cluster]:
        """Read all clusters of a project; raises as `restore_jobs` does."""
        clusters = await self._all(Cluster, protocol.list_clusters(project_id))
        return list({cluster.name: cluster for cluster in clusters}.values())

    async def projects(self) -> list[Project]:
        """Read all projects that the credentials can see; raises as `restore_jobs` does."""
        projects = await self._all(Project, protocol.list_projects())
        return list({project.id: project for project in projects}.values())

    async def project(self, project_id: str) -> Project:
        """Read one project; raises as `restore_jobs` does."""
        ask = protocol.get_project(project_id)
        return await self._read(
            ask, lambda payload: self._one(Project, ask, payload), self._budget(None)
        )

    async def cancel_restore_job(self, ref: JobRef) -> CancelAccepted:
        """Send one DELETE, never a second one by itself.

        Any 2xx is taken, with any body. Only a read of the job tells whether it is cancelled.

        Raises:
            AtlasRejected: Atlas said no; nothing was changed.
            AtlasUnavailable: not settled; see its `may_have_taken_effect`, and read the job.
        """
        reply = await self._exchange.send(protocol.cancel_job(ref), self._request_timeout)
        return CancelAccepted(reply.status)

    def _budget(self, timeout: float | None, tries: int = MOST_TRIES) -> Deadline:
        seconds = self._timeout if timeout is None else timeout
        return Deadline.of(seconds, self._clock, tries)

    async def _read(
        self, ask: protocol.ApiCall, read: Callable[[object], _T], budget: Deadline
    ) -> _T:
        async def attempt(seconds: float) -> _T:
            return read((await self._exchange.send(ask, seconds)).payload)

        return await retry_until(attempt, budget)

    async def _all(
        self, model: type[_A], ask: protocol.ApiCall, tries: int = MOST_TRIES
    ) -> list[_A]:
        """Read page after page until one has no next."""
        budget = self._budget(None, tries)
        items: list[_A] = []
        for number in range(1, MOST_PAGES + 1):
            page = replace(ask, page=number)

            def read(payload: object, page: protocol.ApiCall = page) -> tuple[list[_A], bool]:
                return self._page(model, page, payload)

            more, goes_on = await self._read(page, read, budget)
            items += more
            if not goes_on:
                return items
        raise self._unreadable(ask, "the list has no end")

    def _page(
        self, model: type[_A], ask: protocol.ApiCall, payload: object
    ) -> tuple[list[_A], bool]:
        results = payload.get("results") if isinstance(payload, Mapping) else None
        if not isinstance(payload, Mapping) or not isinstance(results, list):
            raise self._unreadable(ask, "it is not a page of a list")
        return [self._one(model, ask, item) for item in results], protocol.has_next(payload)

    def _one(self, model: type[_A], ask: protocol.ApiCall, payload: object) -> _A:
        try:
            return model.model_validate(payload)
        except ValidationError as error:
            # Not the error itself: it carries what was read, a download link perhaps.
            wrong = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise self._unreadable(ask, f"unreadable: {wrong or model.__name__}"[:200])

    def _unreadable(self, ask: protocol.ApiCall, why: str) -> UnreadableAnswer:
        asked = f"{ask.method} {ask.target(self._dialect)}"
        return UnreadableAnswer(**Facts(status=200, detail=why, asked=asked))
