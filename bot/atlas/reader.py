"""Reads from the Atlas Administration API: restore jobs, clusters, projects, events, keys."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import TypeVar

from pydantic import ValidationError

from bot.atlas.errors import (
    AtlasUnavailable,
    ClusterNotFound,
    JobNotFound,
    ProjectNotFound,
    UnreadableAnswer,
)
from bot.atlas.http import AtlasHttp
from bot.atlas.key_access import AccessListEntry, KeyAccess, ServiceAccountDetails, SystemStatus
from bot.atlas.logins import Credentials, DigestKey
from bot.atlas.models import (
    RESTORE_REQUESTED,
    ActivityEvent,
    AtlasModel,
    Cluster,
    JobRef,
    Project,
    ReadItems,
    RestoreJob,
    is_object_id,
    parse_event,
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
from bot.atlas.transport import CallRecord
from bot.timings import backoff

_T = TypeVar("_T")
_M = TypeVar("_M", bound=AtlasModel)

FIRST_BACKOFF = 0.3  #: seconds between the first two attempts; doubled for each later one
LONGEST_BACKOFF = 5.0  #: seconds between two attempts, at most
#: Seconds: a try that has less, and gets no answer, does not explain why the read fails.
SHORT_TRY = 1.0
MAX_PAGES = 20  #: pages of one list, 10,000 items; Atlas has no list as long as that
ENDLESS = "Atlas's answer is a list without an end: check that the address is Atlas's."
SLOWEST = 0.999  #: seconds of Atlas's clock in one of the monotonic clock, at least
MAX_EVENT_PAGES = 5  #: pages of events that are read at most, newest first


@dataclass(slots=True)
class AtlasClock:
    """What Atlas's clock showed at least: the bot's own clock may differ, and be set."""

    _ahead: float = 0.0  #: seconds ahead of the monotonic clock

    def saw(self, moment: datetime, read_at: float) -> None:
        """Add the time of an event or a job that was read by `read_at` of the monotonic clock."""
        self._ahead = max(self._ahead, moment.timestamp() - read_at * SLOWEST)

    def at(self, monotonic: float) -> datetime:
        return datetime.fromtimestamp(self._ahead + monotonic * SLOWEST, UTC)


class AtlasReader:
    """Reads with retries; it holds no way to send anything but a GET.

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
        self.credentials, self.key_id = http.credentials, http.credentials.key_id
        self.version, self._get, self._monotonic = http.version, http.get, http.monotonic
        self._timeout, self._sleep, self._jitter = timeout, sleep, jitter

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        """Read one job within `timeout` seconds."""
        call = ApiCall(job_path(ref), JobNotFound)

        def parse(payload: object) -> RestoreJob:
            job = self._parse(RestoreJob, call, payload)
            if job.id != ref.job_id:
                raise self._unreadable(call, "it is another job than the requested one")
            return job

        return await self._read(call, parse, self._deadline(timeout))

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
        self, project_id: str, *, timeout: float | None = None
    ) -> ReadItems[Cluster]:
        """Read clusters, in v2 also deleted ones with snapshots."""
        path = f"{project_path(project_id)}/clusters"
        is_v2 = self.version is ApiVersion.V2
        query = {"includeDeletedWithRetainedBackups": "true"} if is_v2 else {}
        call = ApiCall(path, ProjectNotFound, "2024-08-05", parameters=query)
        return await self._read_all(Cluster, call, attrgetter("name"), timeout=timeout)

    async def projects(self) -> ReadItems[Project]:
        return await self._read_all(Project, ApiCall("/groups"), attrgetter("id"))

    async def project(self, project_id: str) -> Project:
        call = ApiCall(project_path(project_id), ProjectNotFound)
        return await self._read_one(Project, call)

    async def key_access(self, project_id: str) -> KeyAccess:
        if isinstance(self.credentials, DigestKey):
            root = await self._read_one(SystemStatus, ApiCall(""))  # of the key that asks
            return root.access_in(project_id)
        path = account_path(project_id, self.key_id)
        call = ApiCall(path, resource_version="2024-08-05")
        account = await self._read_one(ServiceAccountDetails, call)  # without its access list
        return account.access_with(self.credentials.secret.get_secret_value())

    async def account_addresses(self, project_id: str) -> tuple[str, ...]:
        """Read the access list of the client's service account."""
        path = f"{account_path(project_id, self.key_id)}/accessList"
        call = ApiCall(path, resource_version="2024-08-05")
        entries = await self._read_all(AccessListEntry, call, attrgetter("address"))
        return tuple(entry.address for entry in entries)

    async def events(self, project_id: str, since: datetime) -> list[ActivityEvent]:
        """Read the requests of restores since then, newest first.

        Each page is tried once, for callers that poll. Unreadable events are left out.
        """
        # Without the count, which Atlas would compute over all events; the pages then have no link.
        query = {"eventType": RESTORE_REQUESTED, "minDate": instant(since), "includeCount": "false"}
        call = ApiCall(f"{project_path(project_id)}/events", parameters=query)
        events: dict[str, ActivityEvent] = {}
        async for items in self._pages(call, parse_event, retry=False, linked=False):
            events |= {event.id: event for event in items if event}
        return [each for each in events.values() if each.event_type_name == RESTORE_REQUESTED]

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
        """Read all pages of a list, whose items differ in `key`.

        Raises `UnreadableAnswer` where a page with nothing new is not the last one.
        """
        # By key: an item created between two pages moves another one to the next page, which
        # repeats it.
        found: dict[str, _M] = {}
        unread: list[str] = []
        parse, known = partial(self._parse_item, model, call), -1
        async for items in self._pages(call, parse, retry=retry, timeout=timeout):
            if known == (known := len({*found, *unread})):
                raise self._endless(call)
            found |= {key(item): item for item in items if not isinstance(item, str)}
            unread += [item for item in items if isinstance(item, str)]
        return ReadItems(found.values(), unread)

    async def _pages(
        self,
        call: ApiCall,
        parse: Callable[[object], _T],
        *,
        retry: bool,
        timeout: float | None = None,
        linked: bool = True,
    ) -> AsyncIterator[list[_T]]:
        """Yield the parsed items of each page; where pages have no links, a short one is the last.

        Raises `UnreadableAnswer` after `MAX_PAGES`. Pages without links end at `MAX_EVENT_PAGES`.
        """

        def parse_page(payload: object) -> tuple[list[_T], bool]:
            results = payload.get("results") if isinstance(payload, Mapping) else None
            if not isinstance(payload, Mapping) or not isinstance(results, list):
                raise self._unreadable(call, "it is not a page of a list")
            return [parse(item) for item in results], has_next(payload)

        deadline = self._deadline(timeout)
        for number in range(1, (MAX_PAGES if linked else MAX_EVENT_PAGES) + 1):
            page = replace(call, page=number)
            items, goes_on = await self._read(page, parse_page, deadline, retry=retry)
            yield items
            if not goes_on and (linked or len(items) < ITEMS_PER_PAGE):
                return
        if linked:
            raise self._endless(call)

    def _endless(self, call: ApiCall) -> UnreadableAnswer:
        return UnreadableAnswer(ENDLESS, status=200, call=f"GET {call.path_for(self.version)}")

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
            fields = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
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
