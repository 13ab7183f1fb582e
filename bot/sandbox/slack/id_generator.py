"""Generates unique ids and timestamps."""

import itertools
import secrets
from collections.abc import Callable


class IdGenerator:
    """`ts` values follow the clock and increase strictly."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._count = itertools.count(1)

    def ts(self) -> str:
        """`SECONDS.MICROS`, unique over all channels."""
        return f"{int(self._clock())}.{next(self._count):06d}"

    def id(self, letter: str) -> str:
        """Return an id in Slack's form, for example `V0000000007`."""
        return f"{letter}{next(self._count):010d}"

    def hash(self) -> str:
        return f"{int(self._clock())}.{secrets.token_hex(4)}"

    @staticmethod
    def secret() -> str:
        return secrets.token_hex(12)

    @staticmethod
    def block_id() -> str:
        return secrets.token_urlsafe(4)
