"""Rejects requests from other hosts and origins, and marks responses as a sandbox's."""

from collections.abc import Awaitable, Callable

from aiohttp import web

BANNER = "This is a sandbox, not Slack. Nothing here is real, and its credentials are public."
_OWN_NAMES = ("127.0.0.1", "localhost")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def own_origin_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Reject other hosts (DNS rebinding) and other sites' pages (cross-site requests).

    Any port of this machine is allowed, since a container or a proxy may forward one.
    """
    host = request.headers.get("Host", "")
    origin = request.headers.get("Origin")
    if host.partition(":")[0] not in _OWN_NAMES:
        return web.json_response({"ok": False, "error": "foreign_host"}, status=403)
    if origin is not None and origin not in {f"http://{name}" for name in _same(host)}:
        return web.json_response({"ok": False, "error": "foreign_origin"}, status=403)
    return await handler(request)


def _same(host: str) -> set[str]:
    """Return the ways to name this host and port."""
    _, colon, port = host.partition(":")
    return {f"{name}{colon}{port}" for name in _OWN_NAMES}


async def add_banner(_request: web.Request, response: web.StreamResponse) -> None:
    """Mark every response."""
    response.headers["X-Sandbox"] = BANNER
