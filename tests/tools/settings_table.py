"""Print the table of docs/settings.md: `python -m tests.tools.settings_table`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.settings.load import variables


def lines() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| variable | meaning | default |"
    yield "|---|---|---|"
    for name, field in variables().items():
        yield f"| `{name}` | {field.description} | {shown_default(field)} |"


def shown_default(field: FieldInfo) -> str:
    """Return the default as a person would type it, or the text that explains it."""
    extra = field.json_schema_extra
    if isinstance(extra, dict) and extra["shown"]:
        return str(extra["shown"])
    match field.default:
        case SecretStr():
            return f"`{field.default.get_secret_value()}`"
        case bool():
            return f"`{str(field.default).lower()}`"
        case timedelta():
            return f"`{field.default.total_seconds():.0f}`"
        case Enum():
            return f"`{field.default.value}`"
    return f"`{field.default}`"


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in lines())
