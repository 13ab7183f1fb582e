"""The checks of a request, in the order observed in Atlas.

credentials → version → project → rate limit → access list → role → what it asks for
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from bot.sandbox.atlas.api import resources
from bot.sandbox.atlas.api.limits import RATES, Buckets, Rate
from bot.sandbox.atlas.api.request import ApiRequest, Resource, find
from bot.sandbox.atlas.api.resources import RequestContext
from bot.sandbox.atlas.api.response import ApiResponse, from_error
from bot.sandbox.atlas.api.versions import media, resolve, takes_json
from bot.sandbox.atlas.auth.credentials import CANCELLERS, JOB_READERS, Credential, Role
from bot.sandbox.atlas.auth.digest import DigestAuthenticator, DigestRefused
from bot.sandbox.atlas.errors import METHOD_NOT_ALLOWED, NOT_ACCEPTABLE, AtlasError

if TYPE_CHECKING:
    from bot.sandbox.atlas.auth.tokens import TokenIssuer
    from bot.sandbox.atlas.behaviour import Behaviour
    from bot.sandbox.atlas.call_recorder import Scheme
    from bot.sandbox.atlas.world import World

GROUP_ID = re.compile(r"[a-f0-9]{24}")


class Unauthorized(Exception):
    """The 401 of the authenticating layer, always with a new challenge."""

    def __init__(self, why: str, *, stale: bool = False) -> None:
        self.stale = stale
        super().__init__(why)


@dataclass(frozen=True)
class Caller:
    """The authenticated credential, and whether its nonce was used before."""

    who: Credential
    nonce_reused: bool = False


@dataclass
class Pipeline:
    """All checks, with the state they keep between requests."""

    world: World
    behaviour: Behaviour
    digest_auth: DigestAuthenticator
    token_issuer: TokenIssuer
    buckets: Buckets = field(default_factory=Buckets)

    def authenticate(self, request: ApiRequest) -> Caller:
        """Return the caller; raise Unauthorized for missing or rejected credentials."""
        match scheme(request.authorization):
            case "digest":
                return self._digest(request)
            case "bearer":
                return self._bearer(request)
            case "none":
                raise Unauthorized("no credentials")
            case other:
                raise Unauthorized(f"{other} credentials are not taken")

    def respond(self, request: ApiRequest, who: Credential) -> ApiResponse:
        """Respond to an authenticated request, errors included.

        Raises Unauthorized for a key that has no role in the project at all: that response is the
        authenticating layer's too.
        """
        try:
            resource, context = self._enter(request, who)
            rates = self._rate(resource, context)
        except AtlasError as error:
            return from_error(error)
        try:
            self._rights(context)
            response = resources.response(resource.name, context)
        except AtlasError as error:
            response = from_error(error)
        return response.with_headers(rates)

    def _digest(self, request: ApiRequest) -> Caller:
        passwords = {key.identifier: key.secret for key in self.world.keys.values()}
        header = request.authorization
        try:
            taken = self.digest_auth.check(
                header, request.method, request.target, passwords, request.at
            )
        except DigestRefused as refused:
            raise Unauthorized(str(refused), stale=refused.stale) from refused
        return Caller(self.world.keys[taken.username], taken.nonce_reused)

    def _bearer(self, request: ApiRequest) -> Caller:
        client_id = self.token_issuer.owner(
            request.authorization.partition(" ")[2].strip(), request.at
        )
        account = self.world.service_accounts.get(client_id or "")
        if account is None:
            raise Unauthorized("token is unknown or ended")
        return Caller(account)

    def _enter(self, request: ApiRequest, who: Credential) -> tuple[Resource, RequestContext]:
        found = find(request)
        if found is None:
            raise AtlasError("RESOURCE_NOT_FOUND", {"path": request.path})
        resource, values = found
        if request.method not in resource.methods:
            allow = {"Allow": ", ".join(resource.methods)}
            raise AtlasError(METHOD_NOT_ALLOWED, headers=allow)
        version, content_type = self._version(request, resource)
        self._group(values)
        context = RequestContext(
            request=request,
            values=values,
            version=version,
            media=content_type,
            world=self.world,
            behaviour=self.behaviour,
            who=who,
        )
        return resource, context

    def _version(self, request: ApiRequest, resource: Resource) -> tuple[str, str]:
        accept = request.headers.get("accept", "")
        if request.api == "v1.0":
            if not takes_json(accept):
                raise AtlasError(NOT_ACCEPTABLE)
            return "2023-01-01", "application/json"
        version = resolve(accept, resource.versions, request.at.date())
        return version, media(version)

    def _group(self, values: dict[str, str]) -> None:
        if "group" not in values:
            return
        if not GROUP_ID.fullmatch(values["group"]):
            raise AtlasError("INVALID_GROUP_ID", values)
        if values["group"] not in self.world.projects:
            raise AtlasError("GROUP_NOT_FOUND", values)

    def _rate(self, resource: Resource, context: RequestContext) -> dict[str, str]:
        rate = RATES.get(resource.rate, backups_rate(self.behaviour))
        scope = context.values.get("group", context.who.identifier)
        reading = self.buckets.take(resource.rate, scope, rate, context.request.at)
        if reading.wait:
            raise rate_limit_error(context.request, rate, reading.wait)
        return rate_headers(context.request, rate, reading.remaining)

    def _rights(self, context: RequestContext) -> None:
        address = self.behaviour.seen_address or context.request.address
        if context.who.access_list == []:
            raise AtlasError("ORG_REQUIRES_ACCESS_LIST")
        if not context.who.admits(address):
            raise AtlasError("IP_ADDRESS_NOT_ON_ACCESS_LIST", {"address": address})
        if "group" not in context.values:
            return
        held = context.who.roles_in(context.values["group"])
        if not held:
            raise Unauthorized("the key has no role in the project")
        if not self._may(held, context):
            raise AtlasError("USER_UNAUTHORIZED")

    def _may(self, held: set[Role], context: RequestContext) -> bool:
        """Whether the roles suffice; reading and cancelling jobs need different roles."""
        if context.request.method == "DELETE":
            return bool(held & CANCELLERS)
        dedicated_jobs = "/backup/" in context.request.path and "/clusters/" in context.request.path
        return not dedicated_jobs or bool(held & JOB_READERS)


def scheme(authorization: str) -> Scheme:
    """Return the scheme of an Authorization header."""
    name = authorization.partition(" ")[0].lower()
    if name in ("digest", "bearer", "basic"):
        return cast("Scheme", name)
    return "other" if name else "none"


def backups_rate(behaviour: Behaviour) -> Rate:
    return Rate(behaviour.rate_capacity, 500, 60)


def rate_headers(request: ApiRequest, rate: Rate, remaining: int) -> dict[str, str]:
    """Return the rate limit headers of v2; v1.0 has none."""
    if request.api == "v1.0":
        return {}
    return {"RateLimit-Limit": str(rate.capacity), "RateLimit-Remaining": str(remaining)}


def rate_limit_error(request: ApiRequest, rate: Rate, wait: int) -> AtlasError:
    """Return the 429 of the request's API version; v1.0 has an older text and no headers."""
    if request.api == "v1.0":
        values = {
            "path": request.path,
            "requests": rate.refill,
            "minutes": max(1, rate.seconds // 60),
        }
        return AtlasError("RATE_LIMITED", values)
    values = {
        "path": request.path,
        "wait": wait,
        "capacity": rate.capacity,
        "refill": rate.refill,
        "seconds": rate.seconds,
    }
    headers = {**rate_headers(request, rate, 0), "Retry-After": str(wait)}
    return AtlasError("RATE_LIMITED_TOKEN_BUCKET", values, headers=headers)
