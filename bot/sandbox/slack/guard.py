"""Keeps the stand-in to this machine, and says loudly what it is."""

from collections.abc import Awaitable, Callable

from aiohttp import web

BANNER = "This is a sandbox, not Slack. Nothing here is real, and its credentials are public."
_OWN_NAMES = ("127.0.0.1", "localhost")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def own_origin_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses other hosts (DNS rebinding) and other sites' pages (cross-site requests)."""
    own = {f"{name}:{_port(request)}" for name in _OWN_NAMES}
    origin = request.headers.get("Origin")
    if request.headers.get("Host") not in own:
        return web.json_response({"ok": False, "error": "foreign_host"}, status=403)
    if origin is not None and origin not in {f"http://{name}" for name in own}:
        return web.json_response({"ok": False, "error": "foreign_origin"}, status=403)
    return await handler(request)


def _port(request: web.Request) -> int | None:
    address = request.transport.get_extra_info("sockname") if request.transport else None
    return int(address[1]) if address else None


async def banner(_request: web.Request, response: web.StreamResponse) -> None:
    """Marks every answer."""
    response.headers["X-Sandbox"] = BANNER
