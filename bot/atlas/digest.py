"""HTTP Digest with the nonce reused: one handshake, then a rising count, for many calls at once."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING

import httpx

from bot.atlas.challenge import Challenge, Unanswerable, is_stale, select_challenge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from bot.atlas.credentials import DigestKey

#: Nonces remembered at most; more calls than this in flight make a handshake each.
KEPT = 64


class Nonce:
    """One nonce of the server and the count of its uses.

    It is lent to one call at a time, so counts reach the server in order: some servers refuse
    others. `httpx.DigestAuth` computes; it is given one challenge for life, and only one that it
    can answer, because it keeps whatever it is given and fails on it ever after.

    Attributes:
        challenge: what the server gave.
        lent: held by the call that uses the nonce.
        fit: whether the server took it the last time.
    """

    def __init__(self, key: DigestKey, challenge: Challenge) -> None:
        self.challenge = challenge
        self.lent = asyncio.Lock()
        self.fit = False
        self._digest = httpx.DigestAuth(key.public_key, key.private_key.get_secret_value())
        self._challenged = False

    def sign(self, request: httpx.Request) -> None:
        """Write the next Authorization header; not fit again until the server has taken it."""
        self.fit = False
        flow = self._digest.auth_flow(request)
        next(flow)
        if not self._challenged:
            headers = {"WWW-Authenticate": str(self.challenge)}
            flow.send(httpx.Response(401, headers=headers, request=request))
            self._challenged = True
        flow.close()


class PooledDigestAuth(httpx.Auth):
    """Signs calls with an API key: warm ones at once, others after one handshake.

    A refused nonce is answered with one new handshake, never with a second one.

    Args:
        key: the key pair.
        refused: says whether an answer is a 401, wherever its status is written.
    """

    def __init__(
        self, key: DigestKey, refused: Callable[[httpx.Response], Awaitable[bool]]
    ) -> None:
        self._key = key
        self._refused = refused
        # Oldest use first. Keyed by challenge: where a server gives the same nonce to several
        # calls, they take turns, and its count goes on instead of beginning again.
        self._nonces: dict[Challenge, Nonce] = {}

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign, and answer one challenge (httpx calls this for every request).

        Raises:
            Unanswerable: the server asks for something else than a digest with this key.
        """
        nonce = self._warm()
        for attempt in (1, 2):
            async with nonce.lent if nonce else nullcontext():
                if nonce:
                    nonce.sign(request)
                response = yield request
                if not await self._refused(response):
                    self._keep(nonce)
                    return
            nonce = self._next(response, nonce, attempt)
            if nonce is None:
                return
            # Where a balancer spreads the calls, the answer belongs to the server that asked.
            httpx.Cookies(response.cookies).set_cookie_header(request)

    def _warm(self) -> Nonce | None:
        """Return the nonce used last that is fit and free, for it lives longest."""
        free = (n for n in reversed(self._nonces.values()) if n.fit and not n.lent.locked())
        return next(free, None)

    def _keep(self, nonce: Nonce | None) -> None:
        """Note that the server took the nonce."""
        if nonce is None:
            return
        nonce.fit = True
        self._nonces.pop(nonce.challenge, None)
        self._nonces[nonce.challenge] = nonce

    def _next(self, response: httpx.Response, nonce: Nonce | None, attempt: int) -> Nonce | None:
        """Return the nonce to try after a refusal; None where the refusal is the last word."""
        offered = response.headers.get_list("WWW-Authenticate")
        if attempt > 1:
            if is_stale(offered):
                raise Unanswerable("it calls the nonce stale that it has just given")
            return None
        if nonce is not None and not offered:
            return None  # the login was good; something else was not
        return self._of(select_challenge(offered))

    def _of(self, challenge: Challenge) -> Nonce:
        known = self._nonces.get(challenge)
        if known is None:
            self._forget_oldest()
            known = self._nonces[challenge] = Nonce(self._key, challenge)
        return known

    def _forget_oldest(self) -> None:
        for challenge, nonce in list(self._nonces.items()):
            if len(self._nonces) < KEPT:
                return
            if not nonce.lent.locked():
                del self._nonces[challenge]
