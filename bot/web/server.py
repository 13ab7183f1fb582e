"""Starts and stops the HTTP side."""

from __future__ import annotations

import errno
import os

from aiohttp import web

# The errors of this package:
#
#   WebError
#   ├── PortTaken      another program listens there
#   └── CannotListen   the address is not ours, or may not be used


class WebError(Exception):
    """The HTTP side could not start."""


class PortTaken(WebError):
    """Another program already listens there."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Port {port} of {host} is taken by another program: stop it, or set PORT to another."
        )


class CannotListen(WebError):
    """The address is not one of this machine's, or may not be used."""

    def __init__(self, host: str, port: int, why: str) -> None:
        super().__init__(f"Cannot listen on {host}, port {port} ({why}): check HOST and PORT.")


class WebServer:
    """Serves one aiohttp application.

    Args:
        host: a name or an address of this machine.
        port: 0 takes a free one.
        app: what to serve.
        grace: seconds that requests in flight get to end when the server stops.
    """

    def __init__(self, host: str, port: int, app: web.Application, *, grace: float = 10.0) -> None:
        self._host = host
        self._port = port
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=grace
        )

    @property
    def port(self) -> int:
        """The port it really listens on, once started."""
        for address in self._runner.addresses:
            return int(address[1])
        return self._port

    async def start(self) -> None:
        """Listen.

        Raises:
            PortTaken: another program listens there.
            CannotListen: the address cannot be used.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise PortTaken(self._host, self._port) from error
            raise CannotListen(self._host, self._port, _reason(error)) from error
        except UnicodeError as error:
            await self._runner.cleanup()
            raise CannotListen(self._host, self._port, "it is not a name of a host") from error

    async def stop(self) -> None:
        """Stop listening, let requests in flight end, and close."""
        await self._runner.cleanup()


def _reason(error: OSError) -> str:
    """Return the reason without the address that asyncio repeats in its own words.

    Newer versions of Python pass over addresses that are not of this machine, and raise
    an error without a number when none is left.
    """
    if error.errno is None or error.errno == errno.EADDRNOTAVAIL:
        return "it is not an address of this machine"
    if error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror or "unknown").lower()  # a name that could not be resolved
