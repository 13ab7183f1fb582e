"""The client of the Atlas Administration API: restore jobs, clusters, projects, and one cancel."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from operator import attrgetter
from typing import Self, TypeVar

import httpx
from pydantic import ValidationError

from bot.atlas import protocol
from bot.atlas.activity import ActivityEvent, ActivityFeedLink, parse_event
from bot.atlas.errors import AtlasUnavailable, UnreadableAnswer
from bot.atlas.http import AtlasHttp, Credentials
from bot.atlas.key_access import (
    AccessListEntry,
    KeyAccess,
    ServiceAccountDetails,
    SystemStatus,
)
from bot.atlas.logins import DigestKey
from bot.atlas.models import (
    AtlasModel,
    Cluster,
    JobRef,
    Project,
    ReadItems,
    RestoreJob,
    is_object_id,
)
from bot.atlas.protocol import ApiCall
from bot.atlas.transport import CallRecord
from bot.timings import backoff

_T = TypeVar("_T")
_M = TypeVar("_M", bound=AtlasModel)

#: Pages of one list; Atlas has no list as long as that.
MAX_PAGES = 200
#: Pages of events that are read at most, newest first.
MAX_EVENT_PAGES = 5
#: Attempts of one read, even if the clock stands still.
MAX_ATTEMPTS = 10
#: Seconds between the first two attempts, and at most between later ones.
FIRST_BACKOFF = 0.3
LONGEST_BACKOFF = 5.0


class AtlasClient:
    """Calls the Administration API with one connection pool and one login.

    Safe for concurrent calls in one event loop. An async context manager, or call `aclose`.

    Args:
        credentials: an API key pair or a service account.
        base_url: the address of Atlas; Atlas for Government has https://cloud.mongodbgov.com.
        version: the API version.
        envelope: request enveloped responses, for gateways that hide statuses or headers.
        transport: replaces the network, for tests.
        request_timeout: seconds for one call with its handshake.
        timeout: seconds for one read (all pages of a list) with its retries.
        observe: called with each HTTP exchange, including digest challenges and failures.
        on_login_refused: called when Atlas refuses the key or the service account.

    Raises `ValueError` if `base_url` is not a valid address.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        base_url: str = "https://cloud.mongodb.com",
        version: protocol.ApiVersion = protocol.ApiVersion.V2,
        envelope: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
        request_timeout: float = 8.0,
        timeout: float = 20.0,
        observe: Callable[[CallRecord], None] | None = None,
        on_login_refused: Callable[[], None] = lambda: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        #: The public key or the client id, by which the activity feed names this client.
        self.key_id = (
            credentials.public_key if isinstance(credentials, DigestKey) else credentials.client_id
        )
        self._credentials = credentials
        self._timeout = timeout
        self._sleep = sleep
        self._monotonic = monotonic
        self._jitter = jitter
        self._http = AtlasHttp(
            credentials,
            base_url=base_url,
            version=version,
            envelope=envelope,
            transport=transport,
            request_timeout=request_timeout,
            observe=observe,
            on_login_refused=on_login_refused,
            monotonic=monotonic,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def restore_job(self, ref: JobRef, *, timeout: float | None = None) -> RestoreJob:
        """Read one job within `timeout` seconds; raises as `restore_jobs` does."""
        call = protocol.get_job(ref)

        def parse(payload: object) -> RestoreJob:
            job = self._parse(RestoreJob, call, payload)
            if job.id != ref.job_id:
                raise self._unreadable(call, "it is another job than the requested one")
            return job

        return await self._read(call, parse, self._deadline(timeout))

    async def restore_jobs(
        self, project_id: str, cluster_name: str, *, max_attempts: int = MAX_ATTEMPTS
    ) -> ReadItems[RestoreJob]:
        """Read all restore jobs of a cluster, newest first, including cancelled and old ones.

        An item that cannot be read is left out and counted. Each page is read in at most
        `max_attempts`; 1 is for callers that poll.

        Raises:
            InvalidName: before anything is sent.
            AtlasRejected: Atlas refused.
            AtlasUnavailable: there was no readable response in time.
        """
        call = protocol.list_jobs(project_id, cluster_name)
        return await self._read_all(RestoreJob, call, attrgetter("id"), max_attempts)

    async def clusters(self, project_id: str) -> ReadItems[Cluster]:
        """Read all clusters of a project; raises as `restore_jobs` does."""
        call = protocol.list_clusters(project_id, self._http.version)
        return await self._read_all(Cluster, call, attrgetter("name"))

    async def projects(self) -> ReadItems[Project]:
        """Read all projects that the credentials can access; raises as `restore_jobs` does."""
        return await self._read_all(Project, protocol.list_projects(), attrgetter("id"))

    async def project(self, project_id: str) -> Project:
        """Read one project; raises as `restore_jobs` does."""
        return await self._read_one(Project, protocol.get_project(project_id))

    async def key_access(self, project_id: str) -> KeyAccess:
        """Read what the client's credentials may do; raises as `restore_jobs` does.

        The access list of a service account is not read.
        """
        if isinstance(self._credentials, DigestKey):
            root = await self._read_one(SystemStatus, protocol.get_root())
            return root.access_in(project_id)
        call = protocol.get_service_account(project_id, self.key_id)
        account = await self._read_one(ServiceAccountDetails, call)
        return account.access_with(self._credentials.client_secret.get_secret_value())

    async def account_addresses(self, project_id: str) -> tuple[str, ...]:
        """Read the access list of the client's service account; raises as `restore_jobs` does."""
        call = protocol.list_account_addresses(project_id, self.key_id)
        entries = await self._read_all(AccessListEntry, call, attrgetter("address"))
        return tuple(entry.address for entry in entries)

    async def events(
        self, project_id: str, event_types: Sequence[str], since: datetime
    ) -> list[ActivityEvent]:
        """Read the events of these types since then, newest first; raises as `restore_jobs` does.

        Each page is tried once, for callers that poll. Unreadable events are left out.
        """
        call = protocol.list_events(project_id, event_types, since)
        deadline = self._deadline()
        events: dict[str, ActivityEvent] = {}
        for number in range(1, MAX_EVENT_PAGES + 1):
            page = replace(call, page=number)
            items, has_next = await self._read_page(page, parse_event, deadline, max_attempts=1)
            events |= {event.id: event for event in items if event}
            if len(items) < protocol.ITEMS_PER_PAGE and not has_next:
                break
        return [event for event in events.values() if event.event_type_name in event_types]

    async def activity_feed_link(
        self, project_id: str, event_types: Sequence[str], since: datetime, until: datetime
    ) -> str:
        """Return the address of these events in Atlas's web interface; raises as `project` does."""
        call = protocol.get_activity_feed(project_id, event_types, since, until)
        return (await self._read_one(ActivityFeedLink, call, max_attempts=1)).link

    async def cancel_restore_job(self, ref: JobRef) -> int:
        """Send exactly one DELETE, without retries, and return the status.

        Any 2xx is accepted, with any body. Only a read of the job shows whether it is cancelled.

        Raises:
            AtlasRejected: Atlas refused; nothing was changed.
            AtlasUnavailable: not settled; check `may_have_taken_effect`, and read the job.
        """
        response = await self._http.send(protocol.cancel_job(ref), self._http.request_timeout)
        return response.status_code

    def _deadline(self, timeout: float | None = None) -> float:
        return self._monotonic() + (self._timeout if timeout is None else timeout)

    async def _read(
        self,
        call: ApiCall,
        parse: Callable[[object], _T],
        deadline: float,
        max_attempts: int = MAX_ATTEMPTS,
    ) -> _T:
        """Send a read until it succeeds; stop when the next pause would pass the deadline.

        Raises `AtlasRejected` at once, and `AtlasUnavailable` from the last attempt.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._http.send(call, deadline - self._monotonic())
                return parse(protocol.parse_body(response.content))
            except AtlasUnavailable as error:
                pause = backoff(
                    attempt,
                    first=FIRST_BACKOFF,
                    longest=LONGEST_BACKOFF,
                    jitter=self._jitter(),
                    retry_after=error.retry_after,
                )
                if attempt >= max_attempts or pause >= deadline - self._monotonic():
                    raise
            await self._sleep(pause)

    async def _read_one(
        self, model: type[_M], call: ApiCall, max_attempts: int = MAX_ATTEMPTS
    ) -> _M:
        parse = partial(self._parse, model, call)
        return await self._read(call, parse, self._deadline(), max_attempts)

    async def _read_all(
        self,
        model: type[_M],
        call: ApiCall,
        key: Callable[[_M], str],
        max_attempts: int = MAX_ATTEMPTS,
    ) -> ReadItems[_M]:
        """Read all pages of a list, whose items differ in `key`."""
        deadline = self._deadline()
        # By key: an item created between two pages moves another one to the next page, which
        # repeats it.
        found: dict[str, _M] = {}
        unread: list[str] = []
        parse = partial(self._parse_item, model, call)
        for number in range(1, MAX_PAGES + 1):
            page = replace(call, page=number)
            items, has_next = await self._read_page(page, parse, deadline, max_attempts)
            found |= {key(item): item for item in items if not isinstance(item, str)}
            unread += [item for item in items if isinstance(item, str)]
            if not has_next:
                return ReadItems(found.values(), unread)
        raise self._unreadable(call, "the list has no end")

    async def _read_page(
        self, call: ApiCall, parse: Callable[[object], _T], deadline: float, max_attempts: int
    ) -> tuple[list[_T], bool]:
        """Return the parsed items of a page, and whether it links to a next one."""

        def parse_page(payload: object) -> tuple[list[_T], bool]:
            results = payload.get("results") if isinstance(payload, Mapping) else None
            if not isinstance(payload, Mapping) or not isinstance(results, list):
                raise self._unreadable(call, "it is not a page of a list")
            return [parse(item) for item in results], protocol.has_next(payload)

        return await self._read(call, parse_page, deadline, max_attempts)

    def _parse_item(self, model: type[_M], call: ApiCall, item: object) -> _M | str:
        """Return the item, or the id of an object that cannot be read."""
        try:
            return self._parse(model, call, item)
        except UnreadableAnswer:
            if not isinstance(item, Mapping):
                raise
            given = item.get("id")
            return given.lower() if isinstance(given, str) and is_object_id(given) else ""

    def _parse(self, model: type[_M], call: ApiCall, payload: object) -> _M:
        try:
            return model.model_validate(payload)
        except ValidationError as error:
            # Without the error itself: it may contain a download link.
            fields = ", ".join(".".join(map(str, each["loc"])) for each in error.errors())
        raise self._unreadable(call, f"unreadable: {fields or model.__name__}"[:200])

    def _unreadable(self, call: ApiCall, why: str) -> UnreadableAnswer:
        return UnreadableAnswer(status=200, detail=why, call=call.name(self._http.version))
