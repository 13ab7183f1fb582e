"""A stream that is a terminal, for tests of output."""

import io


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True
