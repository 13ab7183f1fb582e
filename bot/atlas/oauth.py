"""Service accounts: OAuth 2 tokens, renewed before they expire."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from bot.atlas.error_mapping import token_error_for
from bot.atlas.errors import UnreadableAnswer
from bot.atlas.protocol import TOKEN_PATH, check_visible, parse_body

#: Seconds before its expiry at which a token is renewed; at most a tenth of its life.
RENEWAL_MARGIN = 60.0
#: Seconds without a renewal after a new token was refused: it has another cause, and a service
#: account may have at most 100 live tokens.
RENEWAL_BACKOFF = 60.0

_CALL = f"POST {TOKEN_PATH}"


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account, used with OAuth 2; raises `ValueError` as `check_visible` does."""

    client_id: str
    client_secret: SecretStr

    def __post_init__(self) -> None:
        check_visible("client id", self.client_id)
        check_visible("client secret", self.client_secret.get_secret_value())


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

    def __init__(
        self, account: ServiceAccount, base_url: str, monotonic: Callable[[], float]
    ) -> None:
        self._account = account
        self._url = base_url + TOKEN_PATH
        self._monotonic = monotonic
        self._token: Token | None = None
        self._renewal = asyncio.Lock()
        self._no_renewal_until = float("-inf")

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Sign the request, and renew a refused token once; httpx calls this for each request.

        Raises `AtlasError` if there was no token.
        """
        for attempt in (1, 2):
            async with self._renewal:
                token = self._valid_token()
                if token is None:
                    response = yield self._token_request(request)
                    await response.aread()
                    token = self._token = read_token(response, self._monotonic())
            request.headers["Authorization"] = f"Bearer {token.value}"
            response = yield request
            is_refused = response.status_code == httpx.codes.UNAUTHORIZED
            if not (is_refused and self._discard(token, attempt)):
                return

    def _valid_token(self) -> Token | None:
        token = self._token
        return token if token and self._monotonic() < token.renew_at else None

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
            extensions=cause.extensions,  # its timeouts
        )


def read_token(response: httpx.Response, now: float) -> Token:
    """Return the token from the token endpoint's response, which arrived at `now`.

    Raises `AtlasError`, which does not quote the token, if it is a refusal or cannot be read.
    """
    status, payload = response.status_code, parse_body(response.content)
    if not response.is_success:
        raise token_error_for(status, response.headers, payload, _CALL)
    with suppress(ValidationError):
        grant = _Grant.model_validate(payload)
        margin = min(RENEWAL_MARGIN, grant.expires_in / 10)
        return Token(grant.access_token, now + grant.expires_in - margin)
    raise UnreadableAnswer(status=status, call=_CALL, detail="no token in it")
