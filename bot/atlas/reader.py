"""Reads from the Atlas Administration API: restore jobs, clusters, events, the key's access."""

import asyncio
import copy
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

from pydantic import ValidationError

from bot.atlas.activity import RESTORE_REQUESTED, ActivityEvent, parse_event
from bot.atlas.backoff import backoff
from bot.atlas.errors import (
    AtlasUnavailable,
    ClusterNotFound,
    JobNotFound,
    ProjectNotFound,
    UnreadableAnswer,
)
from bot.atlas.http import AtlasHttp
from bot.atlas.logins import Credentials, DigestKey
from bot.atlas.models import (
    AtlasModel,
    Cluster,
    JobRef,
    Project,
    ReadItems,
    RestoreJob,
    is_object_id,
)
from bot.atlas.protocol import (
    ITEMS_PER_PAGE,
    ApiCall,
    ApiVersion,
    account_path,
    has_next,
    instant,
    job_path,
    jobs_path,
    parse_body,
    project_path,
)
from bot.atlas.roles import ServiceAccountDetails, SystemStatus
from bot.atlas.transport import CallRecord

_T = TypeVar("_T")
_M = TypeVar("_M", bound=AtlasModel)

#: Surrounds each HTTP call with its deadline: what a call waits for, and what follows from it.
Gate: TypeAlias = Callable[[ApiCall, float], AbstractAsyncContextManager[None]]

FIRST_BACKOFF = 0.3  #: seconds between the first two attempts; doubled for each later one
LONGEST_BACKOFF = 5.0  #: seconds between two attempts, at most
#: Seconds: a try that has less, and gets no answer, does not explain why the read fails.
SHORT_TRY = 1.0
MAX_PAGES = 20  #: pages of one list, 10,000 items; Atlas has no list as long as that
ENDLESS = "Atlas's answer is a list without an end: check that the address is Atlas's."
MAX_EVENT_PAGES = 5  #: pages of events that are read at most, newest first


class AtlasReader:
    """Reads with retries; none of its attributes leads to a way to send anything but a GET.

    Each read raises `InvalidName` before anything is sent, `AtlasRejected`, and `AtlasUnavailable`
    where there was no readable response in time.
    """

    def __init__(
        self,
        http: AtlasHttp,
        *,
        timeout: float = 20.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`timeout` is in seconds, for one read (all pages of a list) with its retries."""
        self.key_id = http.credentials.key_id
        self._has_key = isinstance(http.credentials, DigestKey)  # else it is a service account
        self.version, self._get, self._monotonic = http.version, http.getter(), http.monotonic
        self._timeout, self._sleep, self._jitter = timeout, sleep, jitter

    def through(self, gate: Gate) -> "AtlasReader":
        """Return a reader that sends each call within `gate`."""
        reader, get = copy.copy(self), self._get

        async def gated(call: ApiCall, deadline: float) -> bytes:
            async with gate(call, deadline):
                return await get(call, deadline)

        reader._get = gated  # noqa: SLF001 - the copy is of this class
        return reader

    async def restore_job(
        self, ref: JobRef, *, retry: bool = True, timeout: float | None = None
    ) -> RestoreJob:
        """Read one job within `timeout` seconds."""
        call = ApiCall(job_path(ref), JobNotFound)

        def parse(payload: object) -> RestoreJob:
            job = self._parse(RestoreJob, call, payload)
            if job.id != ref.job_id:
                raise self._unreadable(call, "it is another job than the requested one")
            return job

        return await self._read(call, parse, self._deadline(timeout), retry=retry)

    async def restore_jobs(
        self,
        project_id: str,
        cluster_name: str,
        *,
        retry: bool = True,
        timeout: float | None = None,
    ) -> ReadItems[RestoreJob]:
        """Read all restore jobs of a cluster, newest first, including cancelled and old ones.

        An item that cannot be read is left out and counted. Callers that poll need no `retry`.
        """
        call = ApiCall(jobs_path(project_id, cluster_name), ClusterNotFound)
        return await self._read_all(
            RestoreJob, call, attrgetter("id"), retry=retry, timeout=timeout
        )

    async def clusters(
        self, project_id: str, *, retry: bool = True, timeout: float | None = None
    ) -> ReadItems[Cluster]:
        """Read clusters, in v2 also deleted ones with snapshots."""
        path = f"{project_path(project_id)}/clusters"
        is_v2 = self.version is ApiVersion.V2
        query = {"includeDeletedWithRetainedBackups": "true"} if is_v2 else {}
        call = ApiCall(path, ProjectNotFound, "2024-08-05", parameters=query)
        return await self._read_all(Cluster, call, attrgetter("name"), retry=retry, timeout=timeout)

    async def project(self, project_id: str) -> Project:
        call = ApiCall(project_path(project_id), ProjectNotFound)
        return await self._read_one(Project, call)

    async def roles(self, project_id: str) -> frozenset[str]:
        """Read the roles of the bot's own key or service account; none where Atlas omits them."""
        if self._has_key:
            root = await self._read_one(SystemStatus, ApiCall(""))  # of the key that asks
            return root.roles_in(project_id)
        call = ApiCall(account_path(project_id, self.key_id), resource_version="2024-08-05")
        return (await self._read_one(ServiceAccountDetails, call)).roles

    async def events(
        self,
        project_id: str,
        since: datetime,
        *,
        retry: bool = True,
        timeout: float | None = None,
    ) -> ReadItems[ActivityEvent]:
        """Read the requests of restores since then, newest first, from at most five pages."""
        # Without the count, which Atlas would compute over all events; the pages then have no link.
        query = {"eventType": RESTORE_REQUESTED, "minDate": instant(since), "includeCount": "false"}
        call = ApiCall(f"{project_path(project_id)}/events", parameters=query)

        def parse(payload: object) -> ActivityEvent | str:
            return parse_event(payload) or ""

        events = await self._read_pages(
            call, parse, attrgetter("id"), retry=retry, timeout=timeout, has_links=False
        )
        requests = (event for event in events if event.event_type_name == RESTORE_REQUESTED)
        return ReadItems(requests, events.unread)

    def _deadline(self, timeout: float | None = None) -> float:
        return self._monotonic() + (self._timeout if timeout is None else timeout)

    async def _read(
        self,
        call: ApiCall,
        parse: Callable[[object], _T],
        deadline: float,
        *,
        retry: bool = True,
    ) -> _T:
        """Send a read until it succeeds; stop when the next pause would pass the deadline."""
        attempt, before = 0, None
        while True:
            attempt += 1
            seconds = deadline - self._monotonic()
            try:
                content = await self._get(call, deadline)
                return parse(parse_body(content))
            except AtlasUnavailable as error:
                if before and error.status is None and seconds < SHORT_TRY:
                    raise before from None
                before = error
                pause = backoff(
                    attempt,
                    first=FIRST_BACKOFF,
                    longest=LONGEST_BACKOFF,
                    jitter=self._jitter(),
                    retry_after=error.retry_after,
                )
                if not retry or pause >= deadline - self._monotonic():
                    raise
            await self._sleep(pause)

    async def _read_one(self, model: type[_M], call: ApiCall) -> _M:
        return await self._read(call, partial(self._parse, model, call), self._deadline())

    async def _read_all(
        self,
        model: type[_M],
        call: ApiCall,
        key: Callable[[_M], str],
        *,
        retry: bool = True,
        timeout: float | None = None,
    ) -> ReadItems[_M]:
        """Read all pages of a list, whose items differ in `key`."""
        parse = partial(self._parse_item, model, call)
        return await self._read_pages(call, parse, key, retry=retry, timeout=timeout)

    async def _read_pages(
        self,
        call: ApiCall,
        parse: Callable[[object], _T | str],
        key: Callable[[_T], str],
        *,
        retry: bool,
        timeout: float | None,
        has_links: bool = True,
    ) -> ReadItems[_T]:
        """Read pages up to the last one; `parse` returns the id of an item that it cannot read.

        A page with nothing new is the last one: a gateway may link each page to itself. So is a
        short one where pages have no links; of those at most `MAX_EVENT_PAGES` are read. Raises
        `UnreadableAnswer` after `MAX_PAGES`.
        """
        # By key: an item created between two pages moves another one to the next page, which
        # repeats it.
        by_key: dict[str, _T] = {}
        unread: list[str] = []
        deadline, last = self._deadline(timeout), MAX_PAGES if has_links else MAX_EVENT_PAGES
        for number in range(1, last + 1):
            page = replace(call, page=number)
            payload = await self._read(page, partial(self._page, call), deadline, retry=retry)
            count, before = len(by_key) + len(unread), {*unread}
            items = [parse(item) for item in payload["results"]]
            by_key |= {key(item): item for item in items if not isinstance(item, str)}
            unread += [item for item in items if isinstance(item, str) and item not in before]
            goes_on = has_next(payload) if has_links else len(items) >= ITEMS_PER_PAGE
            if count == len(by_key) + len(unread) or not goes_on:
                return ReadItems(by_key.values(), unread)
        if has_links:
            raise UnreadableAnswer(ENDLESS, status=200, call=f"GET {call.path_for(self.version)}")
        return ReadItems(by_key.values(), unread)

    def _page(self, call: ApiCall, payload: object) -> Mapping[str, Any]:
        if isinstance(payload, Mapping) and isinstance(payload.get("results"), list):
            return payload
        raise self._unreadable(call, "it is not a page of a list")

    def _parse_item(self, model: type[_M], call: ApiCall, item: object) -> _M | str:
        """Return the item, or the id of one that cannot be read, if it has one."""
        try:
            return self._parse(model, call, item)
        except UnreadableAnswer:
            given = item.get("id") if isinstance(item, Mapping) else None
            return given.lower() if isinstance(given, str) and is_object_id(given) else ""

    def _parse(self, model: type[_M], call: ApiCall, payload: object) -> _M:
        try:
            return model.model_validate(payload)
        except ValidationError as error:
            # Without the error itself: it may contain a download link.
            fields = ", ".join(".".join(map(str, item["loc"])) for item in error.errors())
        raise self._unreadable(call, f"unreadable: {fields or model.__name__}"[:200])

    def _unreadable(self, call: ApiCall, why: str) -> UnreadableAnswer:
        return UnreadableAnswer(status=200, detail=why, call=f"GET {call.path_for(self.version)}")


@asynccontextmanager
async def open_reader(
    credentials: Credentials,
    *,
    base_url: str,
    version: ApiVersion,
    envelope: bool,
    timeout: float,
    observe: Callable[[CallRecord], None] | None = None,
) -> AsyncIterator[AtlasReader]:
    """Open a reader with connections of its own."""
    async with AtlasHttp(
        credentials, base_url=base_url, version=version, envelope=envelope, observe=observe
    ) as http:
        yield AtlasReader(http, timeout=timeout)
