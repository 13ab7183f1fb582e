"""The bot's own ids in Slack, from one `auth.test` at start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slack_sdk.web.async_client import AsyncWebClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The bot's own ids.

    Attributes:
        team: the workspace in which the bot is installed (`T…`).
        enterprise: the organization of the workspace (`E…`), on Enterprise Grid only.
        user: the bot's user id.
        bot: the bot's id (`B…`).
        url: the workspace's address, the base of links to messages.
        posts_anywhere: whether the bot may post in public channels that it has not joined.
    """

    team: str
    user: str
    bot: str | None = None
    enterprise: str | None = None
    url: str = ""
    posts_anywhere: bool = False

    @classmethod
    def of(cls, answer: Mapping[str, Any], scopes: str = "") -> Identity:
        """Read the answer of `auth.test` and its header `x-oauth-scopes`."""
        return cls(
            team=str(answer["team_id"]),
            user=str(answer["user_id"]),
            bot=answer.get("bot_id"),
            enterprise=answer.get("enterprise_id"),
            url=str(answer.get("url") or ""),
            posts_anywhere="chat:write.public" in scopes.replace(",", " ").split(),
        )

    @property
    def homes(self) -> frozenset[str]:
        """The ids by which payloads name the bot's workspace or organization."""
        return frozenset(each for each in (self.team, self.enterprise) if each)

    def link_to(self, channel: str, ts: str) -> str | None:
        """Return the address of a message, as Slack's "Copy link" builds it."""
        if not self.url:
            return None
        return f"{self.url.rstrip('/')}/archives/{channel}/p{ts.replace('.', '')}"


async def read_identity(client: AsyncWebClient) -> Identity:
    """Call `auth.test`; raises `SlackApiError` when the token is invalid."""
    answer = await client.auth_test()
    fields = {name: answer.get(name) for name in _FIELDS}
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return Identity.of(fields, str(headers.get("x-oauth-scopes", "")))


_FIELDS = ("team_id", "user_id", "bot_id", "enterprise_id", "url")
