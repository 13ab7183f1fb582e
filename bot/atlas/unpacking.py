"""Unpacks compressed answers piece by piece, so that a small one cannot fill the memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is asked for, and all that is unpacked.
ACCEPTED: Final = "gzip"
#: What Content-Encoding calls the same, and nothing.
GZIP = frozenset({"gzip", "x-gzip"})
PLAIN = frozenset({"", "identity"})

#: Bytes that are unpacked at a time.
PIECE = 65_536

#: Tells zlib to expect the header of gzip.
_GZIP_HEADER = 16 + zlib.MAX_WBITS


class CannotUnpack(Exception):
    """The body is not packed as its header says, or in a way that was not asked for."""


class Unpacker(Protocol):
    """Unpacks one body: give it every chunk in turn, then say `end`."""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what `chunk` holds; raises `CannotUnpack`."""

    def end(self) -> None:
        """Raise `CannotUnpack` where the body ended too soon."""


class Plain:
    """Nothing is packed."""

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        yield chunk

    def end(self) -> None:
        """Any end is good."""


class Gzip:
    """Unpacks gzip, `PIECE` bytes at most at a time; what follows its end is left out."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(_GZIP_HEADER)

    def pieces(self, chunk: bytes) -> Iterator[bytes]:
        while chunk and not self._zlib.eof:
            try:
                piece = self._zlib.decompress(chunk, PIECE)
            except zlib.error:
                raise CannotUnpack from None
            yield piece
            chunk = self._zlib.unconsumed_tail

    def end(self) -> None:
        if not self._zlib.eof:
            raise CannotUnpack


def unpacker_for(encoding: str) -> Unpacker:
    """Return what unpacks a body; raises `CannotUnpack` for an encoding that is not known."""
    name = encoding.strip().lower()
    if name in PLAIN:
        return Plain()
    if name in GZIP:
        return Gzip()
    raise CannotUnpack
