"""OAuth 2 client credentials of a service account: one token for all calls, renewed in time."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from pydantic import BaseModel, Field, ValidationError

from bot.atlas.error_mapping import token_error_for
from bot.atlas.errors import UnreadableAnswer
from bot.atlas.protocol import TOKEN_PATH, parse_body

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from bot.atlas.credentials import ServiceAccount

#: Seconds before its end at which a token is renewed; a tenth of its life where that is less.
MARGIN = 60.0
#: Seconds for which a token that was refused right after it came is not renewed again: the cause
#: is another, and a service account may have at most 100 live tokens.
NOT_AGAIN = 60.0

_ASKED = f"POST {TOKEN_PATH}"


class _Granted(BaseModel):
    """The token endpoint's answer, as far as it is used."""

    access_token: str = Field(pattern=r"^[!-~]+$", max_length=16_384)
    expires_in: float = Field(default=3600, gt=0, le=31_536_000)


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token and the moment (monotonic seconds) from which it is to be renewed."""

    value: str
    renew_at: float

    def __repr__(self) -> str:
        return f"Token(renew_at={self.renew_at})"


class ClientCredentialsAuth(httpx.Auth):
    """Signs calls with a service account's token.

    Args:
        account: the service account.
        base_url: where the token endpoint is.
        refused: says whether an answer is a 401, wherever its status is written.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        account: ServiceAccount,
        base_url: str,
        refused: Callable[[httpx.Response], Awaitable[bool]],
        monotonic: Callable[[], float],
    ) -> None:
        self._account = account
        self._url = base_url + TOKEN_PATH
        self._refused = refused
        self._monotonic = monotonic
        self._token: Token | None = None
        self._renewing = asyncio.Lock()
        self._no_renewal_until = float("-inf")

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign, and renew the token once if it is refused (httpx calls this for every request).

        Raises:
            AtlasError: no token could be had.
        """
        for attempt in (1, 2):
            async with self._renewing:
                token = self._good()
                if token is None:
                    granted = yield self._token_request(request)
                    await granted.aread()
                    token = self._token = read_token(granted, self._monotonic())
            request.headers["Authorization"] = f"Bearer {token.value}"
            response = yield request
            if not await self._refused(response) or not self._forget(token, attempt):
                return

    def _good(self) -> Token | None:
        token = self._token
        return token if token and self._monotonic() < token.renew_at else None

    def _forget(self, token: Token, attempt: int) -> bool:
        """Let go of a refused token; say whether another one is worth a try."""
        now = self._monotonic()
        if attempt > 1:
            self._no_renewal_until = now + NOT_AGAIN
        if now < self._no_renewal_until:
            return False
        if self._token is token:
            self._token = None
        return True

    def _token_request(self, cause: httpx.Request) -> httpx.Request:
        account = f"{self._account.client_id}:{self._account.client_secret.get_secret_value()}"
        return httpx.Request(
            "POST",
            self._url,
            data={"grant_type": "client_credentials"},
            headers={
                "Accept": "application/json",
                "Authorization": f"Basic {base64.b64encode(account.encode()).decode()}",
                "User-Agent": cause.headers.get("User-Agent", ""),
            },
            extensions=cause.extensions,  # its time-outs
        )


def read_token(answer: httpx.Response, now: float) -> Token:
    """Read the token endpoint's answer that came at `now`.

    Raises:
        AtlasError: it is a refusal, or cannot be read; nothing of a token is in the error.
    """
    if not answer.is_success:
        raise token_error_for(
            answer.status_code, answer.headers, parse_body(answer.content), _ASKED
        )
    granted = _granted(answer.content)
    if granted is None:
        raise UnreadableAnswer(status=answer.status_code, asked=_ASKED, detail="no token in it")
    margin = min(MARGIN, granted.expires_in / 10)
    return Token(granted.access_token, now + granted.expires_in - margin)


def _granted(body: bytes) -> _Granted | None:
    try:
        return _Granted.model_validate(parse_body(body))
    except ValidationError:
        return None
