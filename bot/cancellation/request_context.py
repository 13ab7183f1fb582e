"""The request id of the current context: on every log line from the command to the outcome.

The command creates it, the dialog's metadata keeps it, and the request takes it.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bound_contextvars, get_contextvars

_ID = re.compile(r"[0-9a-f]{32}")


@contextmanager
def bind_to_log(request: str | None) -> Iterator[None]:
    """Bind the request's id to every log line within the context; None keeps the current one."""
    with bound_contextvars(**({"request": request} if request else {})):
        yield


def current_request_id() -> str | None:
    return get_contextvars().get("request")


def new_request_id() -> str:
    """Return a new request id: 128 random bits in hex."""
    return secrets.token_hex(16)


def is_request_id(value: object) -> bool:
    return isinstance(value, str) and bool(_ID.fullmatch(value))
