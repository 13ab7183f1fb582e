"""The gates that a request passes, in the order in which Atlas seems to check.

credentials → version → project → rate limit → access list → role → what it asks for
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from bot.sandbox.atlas import resources
from bot.sandbox.atlas.answers import Answer, from_error
from bot.sandbox.atlas.asks import Ask, Resource, find
from bot.sandbox.atlas.credentials import CANCELLERS, JOB_READERS, Credential, Role
from bot.sandbox.atlas.digest import DigestRefused, Gatekeeper
from bot.sandbox.atlas.errors import METHOD_NOT_ALLOWED, NOT_ACCEPTABLE, AtlasError
from bot.sandbox.atlas.limits import RATES, Buckets, Rate
from bot.sandbox.atlas.resources import Visit
from bot.sandbox.atlas.versions import ageing, media, resolve, takes_json

if TYPE_CHECKING:
    from bot.sandbox.atlas.behaviour import Behaviour
    from bot.sandbox.atlas.tokens import TokenOffice
    from bot.sandbox.atlas.wire import Scheme
    from bot.sandbox.atlas.world import World

GROUP_ID = re.compile(r"[a-f0-9]{24}")


class Unauthorized(Exception):
    """The 401 of the layer that authenticates, which always comes with a new challenge."""

    def __init__(self, why: str, *, stale: bool = False) -> None:
        self.stale = stale
        super().__init__(why)


@dataclass(frozen=True)
class Caller:
    """Whose credentials were taken, and whether their nonce had served before."""

    who: Credential
    nonce_reused: bool = False


@dataclass
class Gates:
    """All gates, with what they remember between requests."""

    world: World
    behaviour: Behaviour
    gatekeeper: Gatekeeper
    office: TokenOffice
    buckets: Buckets = field(default_factory=Buckets)

    def authenticate(self, ask: Ask) -> Caller:
        """Return who asks; raise Unauthorized when the credentials are none or not taken."""
        match scheme(ask.authorization):
            case "digest":
                return self._digest(ask)
            case "bearer":
                return self._bearer(ask)
            case "none":
                raise Unauthorized("no credentials")
            case other:
                raise Unauthorized(f"{other} credentials are not taken")

    def pass_through(self, ask: Ask, who: Credential) -> Answer:
        """Answer a request whose credentials were taken, errors included.

        Raises Unauthorized for a key that has no role in the project at all: that answer is the
        authenticating layer's too.
        """
        try:
            resource, visit = self._enter(ask, who)
            rates = self._rate(resource, visit)
        except AtlasError as error:
            return from_error(error)
        try:
            self._rights(visit)
            answer = resources.answer(resource.name, visit)
        except AtlasError as error:
            answer = from_error(error)
        aged = ageing(resource.name, visit.version, ask.at.date())
        return answer.with_headers(
            {**rates, **aged, "X-Java-Method": resource.java_method(ask.method)}
        )

    def _digest(self, ask: Ask) -> Caller:
        passwords = {key.identifier: key.secret for key in self.world.keys.values()}
        header = ask.authorization
        try:
            taken = self.gatekeeper.check(header, ask.method, ask.target, passwords, ask.at)
        except DigestRefused as refused:
            raise Unauthorized(str(refused), stale=refused.stale) from refused
        return Caller(self.world.keys[taken.username], taken.nonce_reused)

    def _bearer(self, ask: Ask) -> Caller:
        client_id = self.office.owner(ask.authorization.partition(" ")[2].strip(), ask.at)
        account = self.world.service_accounts.get(client_id or "")
        if account is None:
            raise Unauthorized("token is unknown, ended or revoked")
        return Caller(account)

    def _enter(self, ask: Ask, who: Credential) -> tuple[Resource, Visit]:
        found = find(ask)
        if found is None:
            raise AtlasError("RESOURCE_NOT_FOUND", {"path": ask.path})
        resource, values = found
        if ask.method not in resource.methods:
            allow = {"Allow": ", ".join(resource.methods)}
            raise AtlasError(METHOD_NOT_ALLOWED, headers=allow)
        version, content_type = self._version(ask, resource)
        self._group(values)
        visit = Visit(
            ask=ask,
            values=values,
            version=version,
            media=content_type,
            world=self.world,
            behaviour=self.behaviour,
            who=who,
        )
        return resource, visit

    def _version(self, ask: Ask, resource: Resource) -> tuple[str, str]:
        accept = ask.headers.get("accept", "")
        if ask.api == "v1.0":
            if not takes_json(accept):
                raise AtlasError(NOT_ACCEPTABLE)
            return "2023-01-01", "application/json"
        today = ask.at.date()
        status = self.behaviour.version_error_status
        version = resolve(accept, resource.versions, today, status)
        ageing(resource.name, version, today)
        return version, media(version)

    def _group(self, values: dict[str, str]) -> None:
        if "group" not in values:
            return
        if not GROUP_ID.fullmatch(values["group"]):
            raise AtlasError("INVALID_GROUP_ID", values)
        if values["group"] not in self.world.projects:
            raise AtlasError("GROUP_NOT_FOUND", values)

    def _rate(self, resource: Resource, visit: Visit) -> dict[str, str]:
        chosen = self.behaviour
        backups = Rate(chosen.rate_capacity, chosen.rate_refill, chosen.rate_seconds)
        rate = RATES.get(resource.rate, backups)
        scope = visit.values.get("group", visit.who.identifier)
        reading = self.buckets.take(resource.rate, scope, rate, visit.ask.at)
        if reading.wait:
            raise too_many(visit.ask, rate, reading.wait)
        return rate_headers(visit.ask, rate, reading.remaining)

    def _rights(self, visit: Visit) -> None:
        address = self.behaviour.seen_address or visit.ask.address
        if visit.who.access_list == []:
            raise AtlasError("ORG_REQUIRES_ACCESS_LIST")
        if not visit.who.admits(address):
            raise AtlasError("IP_ADDRESS_NOT_ON_ACCESS_LIST", {"address": address})
        if "group" not in visit.values:
            return
        held = visit.who.roles_in(visit.values["group"])
        if not held:
            raise Unauthorized("the key has no role in the project")
        if not self._may(held, visit):
            raise AtlasError(self.behaviour.role_refusal)

    def _may(self, held: set[Role], visit: Visit) -> bool:
        """Whether the roles suffice: other roles read restore jobs than cancel them."""
        if visit.ask.method == "DELETE":
            manager = Role.BACKUP_MANAGER in held and self.behaviour.manager_may_cancel
            return manager or bool(held & CANCELLERS)
        dedicated_jobs = "/backup/" in visit.ask.path and "/clusters/" in visit.ask.path
        return not dedicated_jobs or bool(held & JOB_READERS)


def scheme(authorization: str) -> Scheme:
    """Return the scheme of an Authorization header."""
    name = authorization.partition(" ")[0].lower()
    if name in ("digest", "bearer", "basic"):
        return cast("Scheme", name)
    return "other" if name else "none"


def rate_headers(ask: Ask, rate: Rate, remaining: int) -> dict[str, str]:
    """Return what v2 says of the bucket; v1.0 says nothing."""
    if ask.api == "v1.0":
        return {}
    return {"RateLimit-Limit": str(rate.capacity), "RateLimit-Remaining": str(remaining)}


def too_many(ask: Ask, rate: Rate, wait: int) -> AtlasError:
    """Return the 429 of the request's API version: v1.0 has the older words and no headers."""
    if ask.api == "v1.0":
        values = {"path": ask.path, "requests": rate.refill, "minutes": max(1, rate.seconds // 60)}
        return AtlasError("RATE_LIMITED", values)
    values = {
        "path": ask.path,
        "wait": wait,
        "capacity": rate.capacity,
        "refill": rate.refill,
        "seconds": rate.seconds,
    }
    headers = {**rate_headers(ask, rate, 0), "Retry-After": str(wait)}
    return AtlasError("RATE_LIMITED_TOKEN_BUCKET", values, headers=headers)
