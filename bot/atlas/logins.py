"""Logins: HTTP Digest with reused nonces for API keys, OAuth 2 tokens for service accounts."""

import asyncio
import base64
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from http import HTTPStatus

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from bot.atlas.errors import (
    AtlasError,
    KeyRefused,
    OtherRefusal,
    TokenLimit,
    UnreadableAnswer,
    build_error,
    cleaned,
    code_of,
    temporary_leaf,
)
from bot.atlas.protocol import TOKEN_PATH, parse_body

#: OAuth's codes for wrong credentials (RFC 6749, 5.2).
_BAD_CLIENT = frozenset({"invalid_client", "unauthorized_client", "invalid_grant"})
#: Atlas's answer where the service account has 100 live tokens.
_TOKEN_LIMIT = re.compile(r"token limit", re.IGNORECASE)
MAX_NONCES = 64  #: whose counts are known, if the server issues one of them again
#: What httpx raises where it cannot answer a challenge; StopIteration where none is for Digest.
_UNANSWERED = (httpx.ProtocolError, LookupError, NotImplementedError, StopIteration, ValueError)


@dataclass(frozen=True, slots=True)
class Credentials:
    """An id and its secret, both of visible ASCII characters without quotation marks."""

    key_id: str  #: the name of the bot in the activity feed
    secret: SecretStr


class DigestKey(Credentials):
    """An API key pair, used with HTTP Digest."""


class ServiceAccount(Credentials):
    """A service account, used with OAuth 2."""


class UnsupportedChallenge(Exception):
    """The 401 asks for a login that an API key cannot give; the text has its challenge."""


class Nonce:
    """One nonce and the count of its uses; `httpx.DigestAuth` answers the challenge."""

    def __init__(self, key: DigestKey, challenge: str) -> None:
        #: Those of the challenge. A server may bind the nonce to its session, and a load balancer
        #: needs them to find the server that knows the nonce.
        self.cookies = httpx.Cookies()
        self._challenge: str | None = challenge  # until it is answered
        self._digest = httpx.DigestAuth(key.key_id, key.secret.get_secret_value())

    def sign(self, request: httpx.Request) -> None:
        """Set the next Authorization header, or raise UnsupportedChallenge."""
        request.headers.pop("Cookie", None)  # of another nonce
        self.cookies.set_cookie_header(request)
        flow = self._digest.auth_flow(request)
        try:
            next(flow)
            if self._challenge is not None:
                headers = {"WWW-Authenticate": self._challenge}
                flow.send(httpx.Response(401, headers=headers, request=request))
                self._challenge = None
        except _UNANSWERED:
            raise UnsupportedChallenge(cleaned(self._challenge) or "no challenge") from None


class PooledDigestAuth(httpx.Auth):
    """Lends each call a nonce, which comes back after a success only.

    A refused nonce leads to one new handshake. Where a call gets no answer after its handshake, the
    next one has its nonce: a slow Atlas may leave a handshake no time for the call itself.
    """

    def __init__(self, key: DigestKey) -> None:
        self._free: list[Nonce] = []  # the one that was used last expires last
        # Calls that get the same challenge continue its count.
        self._nonce_of = lru_cache(MAX_NONCES)(partial(Nonce, key))

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign the request and answer one challenge; httpx calls this for each request."""
        nonce = self._free.pop() if self._free else None
        for attempt in (1, 2):
            if nonce:
                nonce.sign(request)
            try:
                response = yield request
            except GeneratorExit:  # no answer came
                if nonce and attempt > 1:
                    self._free.append(nonce)
                raise
            if response.status_code != httpx.codes.UNAUTHORIZED:
                if nonce:
                    self._free.append(nonce)
                return
            challenge = response.headers.get("WWW-Authenticate", "")
            if attempt > 1 and "stale=true" in challenge.lower():
                raise UnsupportedChallenge("it calls a nonce stale that it has just issued")
            if nonce and (attempt > 1 or not challenge):
                return  # without a challenge, the login was accepted: it has another cause
            nonce = self._nonce_of(challenge)
            nonce.cookies = httpx.Cookies(response.cookies)


RENEWAL_MARGIN = 60.0  #: how early a token is renewed, in seconds; at most a tenth of its life
#: Seconds without a renewal after a new token was refused: it has another cause, and a service
#: account may have at most 100 live tokens.
RENEWAL_BACKOFF = 60.0
_CALL = f"POST {TOKEN_PATH}"


class _Grant(BaseModel):
    """The fields of the token endpoint's response that are used."""

    access_token: str = Field(pattern=r"^[!-~]+$", max_length=16_384)
    expires_in: float = Field(default=3600, gt=0, le=31_536_000)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and when to renew it, in monotonic seconds."""

    value: str = field(repr=False)
    renew_at: float


class ClientCredentialsAuth(httpx.Auth):
    """Signs calls with a service account's token."""

    def __init__(self, account: Credentials, base_url: str, monotonic: Callable[[], float]) -> None:
        self._account = account
        self._url = base_url + TOKEN_PATH
        self._monotonic = monotonic
        self._token: Token | None = None
        self._renewal = asyncio.Lock()
        self._no_renewal_until = float("-inf")

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign the request, and renew a refused token once; httpx calls this for each request."""
        for attempt in (1, 2):
            async with self._renewal:
                token = self._token
                if token is None or self._monotonic() >= token.renew_at:
                    response = yield self._token_request(request)
                    await response.aread()
                    token = self._token = read_token(response, self._monotonic())
            request.headers["Authorization"] = f"Bearer {token.value}"
            response = yield request
            is_refused = response.status_code == httpx.codes.UNAUTHORIZED
            if not (is_refused and self._discard(token, attempt)):
                return

    def _discard(self, token: Token, attempt: int) -> bool:
        """Discard a refused token; return whether to try another one."""
        now = self._monotonic()
        if attempt > 1:
            self._no_renewal_until = now + RENEWAL_BACKOFF
        if now < self._no_renewal_until:
            return False
        if self._token is token:
            self._token = None
        return True

    def _token_request(self, cause: httpx.Request) -> httpx.Request:
        account = f"{self._account.key_id}:{self._account.secret.get_secret_value()}"
        return httpx.Request(
            "POST",
            self._url,
            data={"grant_type": "client_credentials"},
            headers={
                "Accept": "application/json",
                "Authorization": f"Basic {base64.b64encode(account.encode()).decode()}",
                "User-Agent": cause.headers.get("User-Agent", ""),
            },
            extensions=cause.extensions,  # its timeouts
        )


def read_token(response: httpx.Response, now: float) -> Token:
    """Return the token of a response that arrived at `now`; errors do not quote the token."""
    status, payload = response.status_code, parse_body(response.content)
    if not response.is_success:
        raise _token_error(status, response.headers, payload)
    with suppress(ValidationError):
        grant = _Grant.model_validate(payload)
        margin = min(RENEWAL_MARGIN, grant.expires_in / 10)
        return Token(grant.access_token, now + grant.expires_in - margin)
    raise UnreadableAnswer(status=status, call=_CALL, detail="no token in it")


def _token_error(status: int, headers: Mapping[str, str], payload: object) -> AtlasError:
    """Return the error for a refusal of the OAuth token endpoint."""
    fields = payload if isinstance(payload, Mapping) else {}
    named = {"errorCode": fields.get("error"), "detail": fields.get("error_description")}
    refused = status == HTTPStatus.UNAUTHORIZED or code_of(headers, named) in _BAD_CLIENT
    leaf = temporary_leaf(status) or (KeyRefused if refused else OtherRefusal)
    if _TOKEN_LIMIT.search(str(named["detail"])):
        leaf = TokenLimit
    return build_error(leaf, status, headers, named, _CALL)
