"""Service accounts: OAuth 2 client credentials, and the expiry of tokens."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bot.sandbox.atlas.auth.credentials import Credential

FORM = "application/x-www-form-urlencoded"
TOKEN_LIFETIME = timedelta(hours=1)
TOKEN_LIMIT = 100


class OAuthRefused(Exception):
    """An OAuth error: `error` and `error_description`, unlike Atlas's error body."""

    def __init__(self, status: int, error: str, description: str) -> None:
        self.status = status
        self.document = {"error": error, "error_description": description}
        super().__init__(error)


@dataclass(frozen=True)
class Token:
    """A valid token: its client, and its expiry."""

    client_id: str
    ends: datetime


@dataclass
class TokenIssuer:
    """Issues and checks bearer tokens."""

    live: dict[str, Token] = field(default_factory=dict)

    def grant(
        self, client: Credential, form: Mapping[str, str], now: datetime
    ) -> dict[str, object]:
        """Return the response to a token request of a known client; raise OAuthRefused."""
        if "grant_type" not in form:
            raise OAuthRefused(400, "invalid_request", "grant_type is missing.")
        if form["grant_type"] != "client_credentials":
            raise OAuthRefused(400, "unsupported_grant_type", "Only client_credentials is given.")
        self._drop_ended(now)
        held = [token for token in self.live.values() if token.client_id == client.identifier]
        if len(held) >= TOKEN_LIMIT:
            raise OAuthRefused(403, "access_denied", "Access Token limit reached.")
        name = f"mdb_sandbox_at_{secrets.token_urlsafe(32)}"
        self.live[name] = Token(client.identifier, now + TOKEN_LIFETIME)
        seconds = int(TOKEN_LIFETIME.total_seconds())
        return {"access_token": name, "expires_in": seconds, "token_type": "Bearer"}

    def owner(self, bearer: str, now: datetime) -> str | None:
        """Return the client id of a valid token, or None."""
        self._drop_ended(now)
        token = self.live.get(bearer)
        return token.client_id if token else None

    def _drop_ended(self, now: datetime) -> None:
        self.live = {name: token for name, token in self.live.items() if token.ends > now}


def authenticate(authorization: str, accounts: Mapping[str, Credential]) -> Credential:
    """Return the client of a token request; raise OAuthRefused for invalid credentials."""
    client_id, secret = _basic(authorization)
    client = accounts.get(client_id)
    if client is None or not hmac.compare_digest(client.secret.encode(), secret.encode()):
        raise OAuthRefused(401, "invalid_client", "Invalid credentials provided.")
    return client


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # binascii's and the decoder's own errors are such, too
        return "", ""
    return client_id, secret
