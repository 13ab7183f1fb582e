"""People and user groups as Slack has them, from one cache of 30 s."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.errors import RightsNotChecked
from bot.cancellation.people import ActingPerson, Kind, People, Person
from bot.slack.client import Identity
from bot.slack.errors import RateLimited, SlackError, UnknownPerson
from bot.tasks import log_errors

MAX_AGE = 30.0  #: seconds for which an answer counts as current
#: Seconds for which the last answer counts while Slack does not answer.
LAST_ANSWER_HOLDS = 600.0
TIMEOUT = 1.5  #: seconds to wait for an answer: the click itself must be acked within 3
#: The background reads groups again after this time, so that a click does not wait for Slack.
GROUPS_AFTER = 20.0
GROUP_PAUSE = 4.0  #: seconds between two reads: Slack allows 20 a minute, clicks need some
#: People are read again after this time: then a last answer is there while Slack does not answer.
PEOPLE_AFTER = 240.0
PERSON_PAUSE = 1.5  #: seconds between two reads: Slack allows 100 a minute
MOST_PEOPLE = 150  #: who are kept: at this pace all of them within `PEOPLE_AFTER`
NO_ANSWER = "Slack did not answer in time."

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry(Generic[T]):
    """The last answer about one id, and the read that is on its way."""

    value: T | None = None
    read_at: float = float("-inf")  # when the read began
    reading: "asyncio.Task[T] | None" = None


@dataclass(eq=False)
class _Cache(Generic[T]):
    """Answers of one method of Slack, by id; simultaneous readers share one call."""

    read: Callable[[str], Awaitable[T]]
    monotonic: Callable[[], float]
    _entries: dict[str, _Entry[T]] = field(default_factory=dict)
    _paused_until: float = float("-inf")  # Slack limits the calls of this method

    async def get(self, key: str, *, max_age: float = MAX_AGE) -> T:
        """Return an answer of at most this age, else the last one; raises `RightsNotChecked`."""
        entry = self._entries.setdefault(key, _Entry())
        if entry.value is not None and self._age(entry) <= max_age:
            return entry.value
        try:
            async with asyncio.timeout(TIMEOUT):
                return await asyncio.shield(self._start(key, entry))
        except (SlackError, TimeoutError) as error:
            if entry.value is not None and self._age(entry) <= LAST_ANSWER_HOLDS:
                return entry.value
            raise RightsNotChecked(str(error) or NO_ANSWER) from error

    def _age(self, entry: _Entry[T]) -> float:
        return self.monotonic() - entry.read_at

    def _start(self, key: str, entry: _Entry[T]) -> "asyncio.Task[T]":
        if entry.reading is None:
            began = self.monotonic()
            if began < self._paused_until:
                raise RateLimited
            entry.reading = asyncio.create_task(self._load(key))
            entry.reading.add_done_callback(lambda task: self._store(entry, task, began))
        return entry.reading

    async def _load(self, key: str) -> T:
        return await self.read(key)

    def _store(self, entry: _Entry[T], task: "asyncio.Task[T]", began: float) -> None:
        entry.reading = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, RateLimited):
            self._paused_until = self.monotonic() + error.seconds
        elif error is None and not task.cancelled():
            entry.value, entry.read_at = task.result(), began


@dataclass(eq=False)
class Directory:
    """Looks up people by `users.info`, and groups by `usergroups.users.list`."""

    client: AsyncWebClient
    identity: Identity
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._people: _Cache[Person] = _Cache(self._read_person, self.monotonic)
        self._groups: _Cache[frozenset[str]] = _Cache(self._read_group, self.monotonic)

    async def run(self, groups: Collection[str], users: Collection[str] = ()) -> None:
        """Keep those whom policies name in the cache, at a pace within Slack's limits."""
        names = sorted(groups)
        await self._read_groups(names, GROUP_PAUSE)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_groups(names))
            tasks.create_task(self._keep_people(names, frozenset(users)))

    async def _keep_groups(self, groups: Collection[str]) -> None:
        while groups:
            await self._read_groups(groups, max(GROUP_PAUSE, GROUPS_AFTER / len(groups)))

    async def _read_groups(self, groups: Collection[str], pause: float) -> None:
        for group in groups:
            with log_errors("user group not read", group=group):
                await self._groups.get(group, max_age=GROUPS_AFTER / 2)
            await asyncio.sleep(pause)

    async def _keep_people(self, groups: Collection[str], named: frozenset[str]) -> None:
        """Keep the named users and the members of groups."""
        while groups or named:
            users = set(named)
            for group in groups:
                with log_errors("user group not read", group=group):
                    users |= await self._groups.get(group, max_age=LAST_ANSWER_HOLDS)
            for user in sorted(users)[:MOST_PEOPLE]:
                with log_errors("person not read", user=user):
                    await self._people.get(user)
                await asyncio.sleep(PERSON_PAUSE)
            await asyncio.sleep(max(PERSON_PAUSE, PEOPLE_AFTER - PERSON_PAUSE * len(users)))

    async def acting(self, body: Mapping[str, Any], people: People) -> ActingPerson:
        """Return who sent a payload, with the groups of `people`; raises `RightsNotChecked`."""
        user = str((body.get("user") or {}).get("id") or body.get("user_id") or "")
        team = str((body.get("user") or {}).get("team_id") or body.get("team_id") or "")
        person = await self.person(user, people.groups)
        if team and team != self.identity.team and person.kind in {Kind.MEMBER, Kind.GUEST}:
            # Slack Connect: somebody of another organization, who is in no group of ours.
            person = replace(person, team=team, kind=Kind.OUTSIDER, groups=frozenset())
        return ActingPerson(person)

    async def person(self, user: str, groups: Iterable[str]) -> Person:
        """Return a person with those of these groups that they are in."""
        found, member_of = await asyncio.gather(
            self._people.get(user), self._groups_of(user, groups)
        )
        return replace(found, groups=member_of)

    async def resolve(
        self, users: Collection[str], groups: Collection[str]
    ) -> Mapping[str, Person]:
        """Return people as they are now, for the check before a DELETE."""
        found = await asyncio.gather(*(self.person(user, groups) for user in users))
        return {person.id: person for person in found}

    async def _groups_of(self, user: str, groups: Iterable[str]) -> frozenset[str]:
        names = sorted(groups)
        members = await asyncio.gather(*(self._groups.get(group) for group in names))
        return frozenset(name for name, users in zip(names, members, strict=True) if user in users)

    async def _read_person(self, user: str) -> Person:
        try:
            answer = await self.client.users_info(user=user)
        except UnknownPerson:
            return Person(id=user, team="", kind=Kind.DEACTIVATED)
        return read_person(user, answer.get("user") or {}, self.identity)

    async def _read_group(self, group: str) -> frozenset[str]:
        try:
            answer = await self.client.usergroups_users_list(usergroup=group)
        except UnknownPerson as error:
            log.warning("user group does not exist", group=group, why=error.code)
            return frozenset()
        return frozenset(map(str, answer.get("users") or ()))


def read_person(user: str, account: Mapping[str, Any], identity: Identity) -> Person:
    """Return the person of an answer of `users.info`, without groups."""
    profile = account.get("profile") or {}
    email = profile.get("email")
    team = str(account.get("team_id") or identity.team)
    return Person(
        id=user,
        team=team,
        kind=_kind(account, team, identity),
        email=str(email) if email else None,
        name=str(profile.get("display_name") or account.get("real_name") or user),
    )


def _kind(account: Mapping[str, Any], team: str, identity: Identity) -> Kind:
    if account.get("deleted"):
        return Kind.DEACTIVATED
    if account.get("is_bot") or account.get("id") == "USLACKBOT":
        return Kind.BOT
    if account.get("is_stranger") or team != identity.team:
        return Kind.OUTSIDER
    is_guest = account.get("is_restricted") or account.get("is_ultra_restricted")
    return Kind.GUEST if is_guest else Kind.MEMBER
