"""The trail of a request: one id leads from the command to the outcome.

The id is made at the command, kept in the dialog, and taken by the request that comes of it. It is
on every line that is logged meanwhile, by the libraries too, in whatever task.
"""

from __future__ import annotations

import re
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from structlog.contextvars import bound_contextvars, get_contextvars

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

_ID = re.compile(r"[0-9a-f]{32}")


class RequestTracer(Protocol):
    """Follows what is done for a request; whoever traces gives another than `bind_to_log`."""

    def __call__(self, name: str, request: str | None, /) -> AbstractContextManager[None]:
        """Follow `name` until the end of the context.

        Args:
            name: what is done.
            request: the request's id; None stays with the one at hand.
        """


@contextmanager
def bind_to_log(_name: str, request: str | None) -> Iterator[None]:
    """Put the request's id on every line that is logged meanwhile."""
    with bound_contextvars(**({"request": request} if request else {})):
        yield


def current_request_id() -> str | None:
    """Return the id of the request for which something is done here."""
    return get_contextvars().get("request")


def new_request_id() -> str:
    """Make up the id of a request: 128 random bits in hex, as good for the id of a trace."""
    return secrets.token_hex(16)


def is_request_id(value: object) -> bool:
    """Say whether this may become the id of a request."""
    return isinstance(value, str) and bool(_ID.fullmatch(value))
