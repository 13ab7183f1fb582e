"""People and user groups: what somebody is, and which groups have them; closed when in doubt."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from bot.async_cache import AsyncCache
from bot.cancellation.people import Kind, Person
from bot.slack.errors import CALL_ERRORS, DirectoryError, RateLimited, translate_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from slack_sdk.web.async_client import AsyncWebClient

    from bot.cancellation.people import People
    from bot.slack.identity import Identity
    from bot.slack.payloads import Actor

T = TypeVar("T")

#: Seconds for which an answer holds: the groups' method allows 20 calls a minute.
HOLDS = 60.0

#: Seconds to wait for an answer: the click itself must be answered within 3.
PATIENCE = 2.0

#: Why Slack's answer does not help, by its code.
WHYS: Mapping[str, str] = {
    "missing_scope": "The bot lacks a scope (users:read, usergroups:read).",
    "plan_upgrade_required": "This workspace's Slack plan has no user groups.",
    "no_such_subteam": "A user group of the bot's settings does not exist.",
    "subteam_not_found": "A user group of the bot's settings does not exist.",
    "user_not_found": "Slack does not know this user.",
    "users_not_found": "Slack does not know this user.",
    "user_not_visible": "The bot may not see this user.",
}

#: The codes that say that somebody is none of ours.
UNKNOWN_USER = frozenset({"user_not_found", "users_not_found", "user_not_visible"})

#: How many members of the approving groups are looked up: `users.info` allows 100 calls a minute.
MOST_ASKED = 20

TWO_TEAMS = "Slack knows this person in another workspace than the click names."


class Directory:
    """Who people are, by `users.info` and `usergroups.users.list`.

    Args:
        client: the Web API.
        identity: our own workspace.
        patience: seconds to wait for Slack.
        clock: a monotonic clock, in seconds.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        identity: Identity,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._identity = identity
        self._patience = patience
        self._clock = clock
        self._kinds = AsyncCache(self._read_kind, clock)
        self._members = AsyncCache(self._read_members, clock)

    async def person(self, who: Actor, people: People) -> Person:
        """Say who somebody is, as far as it matters for being one of `people`.

        Whoever is named by id needs no look-up, and whoever is not ours has no group.

        Raises:
            DirectoryError: Slack did not say; the person has no rights.
        """
        if who.is_outsider:
            return await self._outsider(who, people)
        if who.id in people.users:
            return Person(id=who.id, team=who.team)
        kind, groups = await asyncio.gather(self._kind_of(who.id), self._groups_of(who.id, people))
        return Person(id=who.id, team=who.team, kind=kind, groups=groups)

    async def acting(self, who: Actor, people: People) -> Person:
        """Say who somebody is that does something, not only looks.

        A no may come from memory, but a yes that rests on a group is asked of Slack anew: whoever
        was taken out of it a moment ago has lost the right. Where Slack only asks to slow down,
        what it said within the last minute counts.

        Raises:
            DirectoryError: Slack did not say; the person has no rights.
        """
        began = self._clock()
        person = await self.person(who, people)
        if not person.groups or person not in people:
            return person
        groups = await self._groups_of(who.id, people, since=began)
        return replace(person, groups=groups)

    async def _outsider(self, who: Actor, people: People) -> Person:
        # Ids alone could be those of somebody of ours: the team that Slack knows must fit.
        if who.id in people.users and await self._kind_of(who.id) is not Kind.OUTSIDER:
            raise DirectoryError(TWO_TEAMS)
        return Person(id=who.id, team=who.team, kind=Kind.OUTSIDER)

    async def members_of(self, groups: Iterable[str]) -> frozenset[str]:
        """Return the user ids of everybody in these groups; raises `DirectoryError`."""
        lists = await asyncio.gather(*(self._ask(self._members, group) for group in groups))
        return frozenset().union(*lists)

    async def able_in(self, groups: Iterable[str], enough: int) -> frozenset[str]:
        """Return members of these groups that are full members, `enough` of them if there are.

        A big group is not asked through: of its later members nothing bad is assumed.

        Raises:
            DirectoryError: the groups could not be read.
        """
        members = sorted(await self.members_of(groups))
        able: set[str] = set()
        for user in members[:MOST_ASKED]:
            if len(able) >= enough:
                break
            if await self._may_be_able(user):
                able.add(user)
        return frozenset(able).union(members[MOST_ASKED:])

    async def _may_be_able(self, user: str) -> bool:
        try:
            return await self._kind_of(user) is Kind.MEMBER
        except DirectoryError as error:
            # Rights are checked at the click; who cannot be read now may be read then.
            return error.code not in UNKNOWN_USER

    async def _kind_of(self, user: str) -> Kind:
        return await self._ask(self._kinds, user)

    async def _groups_of(
        self, user: str, people: People, since: float = -math.inf
    ) -> frozenset[str]:
        if people.everyone:
            return frozenset()
        groups = sorted(people.groups)
        asking = (self._ask(self._members, group, since) for group in groups)
        lists = await asyncio.gather(*asking)
        return frozenset(group for group, have in zip(groups, lists, strict=True) if user in have)

    async def _ask(self, cache: AsyncCache[str, T], key: str, since: float = -math.inf) -> T:
        try:
            return await cache.get(key, max_age=HOLDS, timeout=self._patience, since=since)
        except CALL_ERRORS as error:
            limited = isinstance(translate_error(error), RateLimited)
            stored = cache.get_stored(key, max_age=HOLDS) if limited else None
            if stored is None:
                raise _trouble(error) from error
            return stored

    async def _read_kind(self, user: str) -> Kind:
        answer = await self._client.users_info(user=user)
        return kind_of(answer.get("user") or {}, self._identity)

    async def _read_members(self, group: str) -> frozenset[str]:
        answer = await self._client.usergroups_users_list(usergroup=group)
        return frozenset(answer.get("users") or ())


def kind_of(user: Mapping[str, Any], identity: Identity) -> Kind:
    """Read a user object of Slack; what is not plainly a full member is none."""
    if user.get("is_stranger") or not _is_ours(user, identity):
        return Kind.OUTSIDER
    if user.get("deleted"):
        return Kind.DEACTIVATED
    if user.get("is_bot") or user.get("is_workflow_bot"):
        return Kind.BOT
    if user.get("is_restricted") or user.get("is_ultra_restricted"):
        return Kind.GUEST
    return Kind.MEMBER if user.get("id") else Kind.OUTSIDER


def _is_ours(user: Mapping[str, Any], identity: Identity) -> bool:
    enterprise = user.get("enterprise_user") or {}
    teams = {user.get("team_id"), enterprise.get("enterprise_id"), *enterprise.get("teams", ())}
    known = {team for team in teams if team}
    return not known or bool(known & identity.homes)


def _trouble(error: BaseException) -> DirectoryError:
    meaning = translate_error(error)
    if meaning.code in WHYS:
        return DirectoryError(WHYS[meaning.code], meaning.code)
    if meaning.code:
        return DirectoryError(f"Slack answered {meaning.code}.", meaning.code)
    return DirectoryError("Slack did not answer in time.")
