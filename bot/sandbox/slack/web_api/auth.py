"""Authenticates callers of the Web API by token, and checks scopes."""

from dataclasses import dataclass
from typing import Literal

from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.workspace import App

TokenType = Literal["bot", "app"]


@dataclass(frozen=True, kw_only=True)
class Caller:
    token_type: TokenType
    scopes: frozenset[str]


def authenticate(app: App, token: str) -> Caller:
    """Return the caller that a bot token or app-level token identifies.

    Raises:
        ApiError: not_authed, invalid_auth.
    """
    if not token:
        raise ApiError("not_authed")
    if token == app.bot_token:
        return Caller(token_type="bot", scopes=frozenset(app.scopes))
    if token == app.app_token:
        return Caller(token_type="app", scopes=frozenset(app.app_scopes))
    raise ApiError("invalid_auth")


def authorize(caller: Caller, types: tuple[TokenType, ...], any_of: tuple[str, ...]) -> None:
    """Check the token's type, and that one of the scopes is granted.

    Raises:
        ApiError: not_allowed_token_type; missing_scope with `needed` and `provided`.
    """
    if caller.token_type not in types:
        raise ApiError("not_allowed_token_type")
    if any_of and not caller.scopes.intersection(any_of):
        provided = ",".join(sorted(caller.scopes))
        raise ApiError("missing_scope", needed=",".join(any_of), provided=provided)
