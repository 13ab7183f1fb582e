"""Says that the process is about to end, so that nothing new is sent to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


class ShutdownState:
    """Whether the end has begun; from then on `/readyz` and each answer say so.

    A load balancer takes the replica out by its readiness. Connections that it keeps open end with
    the answer they are at, so that what comes next goes to another replica.
    """

    def __init__(self) -> None:
        self._begun = False

    def begin(self) -> None:
        self._begun = True

    @property
    def trouble(self) -> str | None:
        """The sentence for `/readyz`, or nothing."""
        return "The bot is stopping: another replica takes over." if self._begun else None

    def watch(self, app: web.Application) -> None:
        """End the connections of `app` with their next answer, once the end has begun."""

        async def close(_request: web.BaseRequest, response: web.StreamResponse) -> None:
            if self._begun:
                response.force_close()
                response.headers["Connection"] = "close"

        app.on_response_prepare.append(close)
