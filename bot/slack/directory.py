"""Looks up people and user groups in Slack.

Where Slack does not answer, `RightsNotChecked` is raised, and a person has no rights.
"""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from slack_sdk.web.async_client import AsyncWebClient

from bot.cancellation.errors import RightsNotChecked, StarterNotChecked, StorageError
from bot.cancellation.people import ActingPerson, Kind, People, Person
from bot.cancellation.posts import MAX_RECIPIENTS
from bot.slack.client import Identity
from bot.slack.errors import (
    UNKNOWN_GROUP,
    UNKNOWN_USER,
    CallLimits,
    InvalidToken,
    SlackError,
    not_checked,
)
from bot.slack.payloads import Account, Actor, aliases_of, read_account
from bot.tasks import AsyncCache
from bot.timings import Timings

T = TypeVar("T")

# Seconds
MAX_AGE = 60.0  # for which an answer is reused: Slack allows 20 calls a minute for groups
#: For which one counts as current: a click and its run share it. With the second that a run may
#: take from its read to the DELETE, a right that was lost more than 1.5 s ago does not count.
CURRENT_MAX_AGE = 0.5
LOOKUP_TIMEOUT = 2.0  # to wait for an answer; the click itself must be acked within 3
#: Calls that Slack allows in a minute, by the time at which they arrive; and that minute with the
#: seconds that one may take from its count to its arrival.
MAX_GROUP_READS = 20
GROUP_READS_WINDOW = 60.0 + Timings.slack_timeout + Timings.transaction_timeout
#: People who are looked up for a notice: more than get one, since some may not approve.
MAX_CANDIDATES = 2 * MAX_RECIPIENTS
TWO_TEAMS = "Slack knows this person in another workspace than the click names."


@dataclass(eq=False)
class Directory:
    """People and groups, by `users.info` and `usergroups.users.list`."""

    client: AsyncWebClient
    identity: Identity
    timeout: float = LOOKUP_TIMEOUT
    monotonic: Callable[[], float] = time.monotonic
    limits: CallLimits | None = None  #: those of the process

    def __post_init__(self) -> None:
        self._call = (self.limits or CallLimits(self.monotonic)).call
        self._accounts = AsyncCache(self._read_account, self.monotonic)
        self._members = AsyncCache(self._read_members, self.monotonic)

    async def person(self, actor: Actor, people: People) -> Person:
        """Return the person, with all that decides whether they are one of `people`.

        A person who is named by id needs no lookup, except on Enterprise Grid, where payloads do
        not show whether the person belongs to the organization. An outsider is in no group.
        """
        if actor.is_outsider:
            # A payload could combine a member's id with another team: Slack's team must match.
            named = actor.id in people.users
            if named and (await self.account(actor.id)).kind is not Kind.OUTSIDER:
                raise RightsNotChecked(TWO_TEAMS)
            return Person(id=actor.id, team=actor.team, kind=Kind.OUTSIDER)
        if actor.id in people.users and not self.identity.enterprise:
            return Person(id=actor.id, team=actor.team)
        account, members = await asyncio.gather(
            self.account(actor.id), self._members_by_group(people)
        )
        if self.identity.enterprise and actor.team not in account.teams | self.identity.homes:
            raise RightsNotChecked(TWO_TEAMS)
        ids = account.ids | {actor.id}
        return Person(
            id=actor.id,
            team=actor.team,
            kind=account.kind,
            groups=_groups_with(ids, members),
            aliases=ids - {actor.id},
        )

    async def acting_person(self, actor: Actor, people: People) -> ActingPerson:
        """Return a person whose act is judged again before the DELETE, in the groups of now.

        If Slack's rate limit is reached, the cached answer counts.
        """
        person = await self.person(actor, people)
        if person.groups or not (actor.is_outsider or person in people):
            try:
                return await self.acting_now(actor, people)
            except RightsNotChecked as error:
                if not error.retry_after:
                    raise
        return ActingPerson(person)

    async def acting_now(self, actor: Actor, people: People) -> ActingPerson:
        """Return a person, also one who is named by id, with `current_people`'s answers."""
        groups = () if actor.is_outsider else people.groups  # an outsider is in none
        now = (await self.current_people([actor.id], groups))[actor.id]
        person = await self.person(actor, people)
        kind = person.kind if actor.is_outsider else now.kind
        return ActingPerson(replace(person, kind=kind, groups=now.groups))

    def acting_by_id(self, actor: Actor) -> ActingPerson:
        """Return a person whose ids of user and team decide."""
        kind = Kind.OUTSIDER if actor.is_outsider else Kind.MEMBER
        return ActingPerson(Person(id=actor.id, team=actor.team, kind=kind))

    async def current_people(
        self, users: Collection[str], groups: Collection[str], max_age: float = CURRENT_MAX_AGE
    ) -> dict[str, Person]:
        """Return people as Slack has them now, also those who are named by id.

        A cached answer older than `max_age` does not count, not even at Slack's rate limit.
        """
        since = self.monotonic() - max_age
        # A user that is gone has no rights, and a group that is gone has no members.
        found, in_groups = await asyncio.gather(
            self._current(self._accounts, users, since, Account(kind=Kind.DEACTIVATED)),
            self._current(self._members, groups, since, ()),
        )
        return {
            user: Person(
                id=user,
                team=self.identity.team,
                kind=account.kind,
                groups=_groups_with(account.ids | {user}, in_groups),
                aliases=aliases_of(user, found),
                name=account.name or user,
            )
            for user, account in found.items()
        }

    async def candidates(self, people: People) -> list[Person]:
        """Return named people, then the groups' members in Slack's order; not all have rights."""
        members = await self._members_by_group(replace(people, everyone=False))
        users = dict.fromkeys(chain(sorted(people.users), *members.values()))
        found = await self.current_people([*users][:MAX_CANDIDATES], [*members], max_age=MAX_AGE)
        return list(found.values())

    async def _current(
        self, cache: AsyncCache[str, T], keys: Collection[str], since: float, gone: T
    ) -> dict[str, T]:
        """Return the answers about users or groups, and `gone` for ids that Slack does not know."""

        async def load(key: str) -> T:
            try:
                return await self._load(cache, key, since)
            except RightsNotChecked as error:
                if error.code in UNKNOWN_USER | UNKNOWN_GROUP:
                    return gone
                raise

        return dict(zip(keys, await asyncio.gather(*map(load, keys)), strict=True))

    async def email_of(self, user: str) -> str | None:
        """Return a user's e-mail address; None where Slack shows none, as without the scope.

        Raises `StarterNotChecked`.
        """
        try:
            return (await self.account(user)).email
        except RightsNotChecked as error:
            raise StarterNotChecked(**vars(error)) from error

    async def member_with_email(self, email: str) -> str | None:
        """Return the full member of the bot's own workspace with this address, in any case.

        Raises `RightsNotChecked`: without the scope it will not pass, with a refused token it may.
        """
        for address in dict.fromkeys((email, email.lower())):
            try:
                async with asyncio.timeout(self.timeout):
                    answer = await self._call(self.client.users_lookupByEmail, email=address)
            except (SlackError, TimeoutError) as error:
                if (refusal := not_checked(error)).code in UNKNOWN_USER:
                    continue
                is_of_token = isinstance(error, InvalidToken)
                refusal.is_temporary |= is_of_token and refusal.code != "missing_scope"
                raise refusal from error
            user = answer.get("user") or {}
            account = read_account(user, self.identity)
            is_theirs = (account.email or "").casefold() == email.casefold()
            return str(user["id"]) if is_theirs and account.kind is Kind.MEMBER else None
        return None

    async def members_of(self, groups: Iterable[str]) -> frozenset[str]:
        lists = await asyncio.gather(*(self._load(self._members, group) for group in groups))
        return frozenset().union(*lists)

    async def account(self, user: str) -> Account:
        return await self._load(self._accounts, user)

    async def _members_by_group(self, people: People) -> dict[str, tuple[str, ...]]:
        everyone = people.everyone and not self.identity.enterprise
        groups = () if everyone else sorted(people.groups)
        lists = await asyncio.gather(*(self._load(self._members, each) for each in groups))
        return dict(zip(groups, lists, strict=True))

    async def _load(self, cache: AsyncCache[str, T], key: str, since: float = -math.inf) -> T:
        try:
            return await cache.get(key, max_age=MAX_AGE, timeout=self.timeout, since=since)
        except (SlackError, TimeoutError, StorageError) as error:
            raise not_checked(error) from error

    async def _read_account(self, user: str) -> Account:
        answer = await self._call(self.client.users_info, user=user)
        return read_account(answer.get("user") or {}, self.identity)

    async def _read_members(self, group: str) -> tuple[str, ...]:
        read, budget = self.client.usergroups_users_list, (MAX_GROUP_READS, GROUP_READS_WINDOW, 0)
        answer = await self._call(read, budget, usergroup=group)
        return tuple(answer.get("users") or ())


def _groups_with(ids: frozenset[str], members: Mapping[str, Collection[str]]) -> frozenset[str]:
    return frozenset(group for group, users in members.items() if not ids.isdisjoint(users))
