"""Answers a request that comes again with what was said before, and does nothing anew.

Slack's signature covers the body and the second, and a body names its trigger: two requests with
one signature are one request, repeated by a proxy on the way or by somebody who recorded it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: How many answers are kept; the oldest go first.
REMEMBERED = 1000

#: The only status that is kept: whatever did not work is to be tried again when it comes again.
DONE = 200

#: What was answered, once it is; None where that is not to be said again.
Answer: TypeAlias = "asyncio.Future[web.Response | None]"


class Repeats:
    """Remembers what was said to which signature."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._answers: dict[str, Answer] = {}

    async def answer(
        self, signature: str, ask: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Return what `ask` returns, or what it has returned for the same signature."""
        known = self._answers.get(signature)
        said = await asyncio.shield(known) if known else None
        return _again(said) if said else await self._first(signature, ask)

    async def _first(
        self, signature: str, ask: Callable[[], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        answer: Answer = asyncio.get_running_loop().create_future()
        self._remember(signature, answer)
        try:
            said = await ask()
            if isinstance(said, web.Response) and said.status == DONE:
                answer.set_result(said)
            return said
        finally:
            if not answer.done():
                answer.set_result(None)
                self._answers.pop(signature, None)

    def _remember(self, signature: str, answer: Answer) -> None:
        self._answers[signature] = answer
        while len(self._answers) > self._remembered:
            self._answers.pop(next(iter(self._answers)))


def _again(said: web.Response) -> web.Response:
    """Write an answer anew, for one can be sent only once."""
    headers = {"Content-Type": said.headers["Content-Type"]}
    return web.Response(status=said.status, body=said.body, headers=headers)
