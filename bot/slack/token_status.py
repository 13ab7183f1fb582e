"""Whether Slack accepts the bot token, for readiness."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.errors import CALL_ERRORS, InvalidToken, SlackUnavailable, translate_error

#: The codes by which Slack refuses a token for every call.
TOKEN_CODES = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"}
)

# Seconds
TOKEN_RETEST_INTERVAL = 10.0  # between two tests of a token that Slack refused
ANSWER_TIMEOUT = 2.0  # for one call that tests whether Slack answers


class TokenStatus:
    """Whether Slack accepts the bot token, from the last answer to any client that shares it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tested_at = clock()
        self.refused_with: str | None = None  # Slack's error code while it refuses the token

    def record(self, code: str | None) -> None:
        """Take the error code of an answer, or None for one without an error."""
        if code is None or code in TOKEN_CODES:
            self._tested_at, self.refused_with = self._clock(), code

    async def problem(self, client: AsyncWebClient) -> str | None:
        """Return why nothing can be posted; tests a refused token again, by `client`."""
        if self.refused_with and self._clock() - self._tested_at >= TOKEN_RETEST_INTERVAL:
            with suppress(*CALL_ERRORS):  # the client records the answer
                await client.auth_test()
        return InvalidToken(self.refused_with).sentence if self.refused_with else None


async def answers(client: AsyncWebClient) -> bool:
    """Whether Slack answers a call now and accepts the token; a single lost call is repeated."""
    for _ in range(2):
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT):
                await client.auth_test()
                return True
        except CALL_ERRORS as error:
            if type(translate_error(error)) not in {SlackUnavailable, InvalidToken}:
                return True
    return False
