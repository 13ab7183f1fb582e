"""Whether Slack answers and accepts the bot token, for readiness."""

import asyncio
import math
import time
from collections.abc import Callable

from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.errors import CALL_ERRORS, InvalidToken, SlackUnavailable, translate_error

#: The codes by which Slack refuses a token for every call.
TOKEN_CODES = frozenset(
    {"invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"}
)

# Seconds
AUTH_TEST_INTERVAL = 30.0  # between two tests in HTTP mode: a failure is noticed in a minute
TOKEN_RETEST_INTERVAL = 10.0  # between two tests of a token that Slack refused
ANSWER_TIMEOUT = 2.0  # for one call that tests whether Slack answers


class TokenStatus:
    """Whether Slack accepts the bot token, from the last answer to any client that shares it.

    `auth.test` is repeated after `max_age` seconds, also if other calls have succeeded since. In
    Socket Mode it is infinite, because the connections show whether Slack answers.
    """

    def __init__(
        self, max_age: float = math.inf, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_age = max_age
        self._clock = clock
        self._tested_at = clock()  # a refusal of any call counts as a test
        self.refused_with: str | None = None  # Slack's error code while it refuses the token

    def record(self, code: str | None) -> None:
        """Take the error code of an answer, or None for one without an error."""
        if code is None:
            self.refused_with = None
        elif code in TOKEN_CODES:
            self._tested_at, self.refused_with = self._clock(), code

    async def problem(self, client: AsyncWebClient) -> str | None:
        """Return why nothing can be posted; `client`, which records the answers, tests again."""
        max_age = TOKEN_RETEST_INTERVAL if self.refused_with else self._max_age
        if self._clock() - self._tested_at >= max_age:
            try:
                await client.auth_test()
            except CALL_ERRORS as error:
                return translate_error(error).sentence
            self._tested_at = self._clock()
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
