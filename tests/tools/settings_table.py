"""Update docs/settings.md, its table and its example: `python -m tests.tools.settings_table`."""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from bot.settings.load import VARIABLES
from bot.settings.reading import extra

PAGE = Path("docs/settings.md")
EXAMPLE = Path("docs/projects.example.toml")
#: The order of the rows, by the beginnings of variables.
ORDER = ("SLACK_", "MONGODB_", "BOT_")


def lines() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| variable | meaning | default |"
    yield "|---|---|---|"
    for variable in sorted(VARIABLES, key=_place):
        field = VARIABLES[variable]
        yield f"| `{variable}` | {field.description} | {_default(field)} |"


def _place(variable: str) -> int:
    places = (n for n, beginning in enumerate(ORDER) if variable.startswith(beginning))
    return next(places, len(ORDER))


def _default(field: FieldInfo) -> str:
    """Return the default as a person would type it, or the text that explains it."""
    if shown := extra(field, "shown"):
        return shown
    match field.default:
        case SecretStr():
            return f"`{field.default.get_secret_value()}`"
        case bool():
            return f"`{str(field.default).lower()}`"
        case Enum():
            return f"`{field.default.value}`"
    return f"`{field.default}`"


def updated(page: str) -> str:
    """Return the page with the table of the code and the example of a projects file."""
    table = "".join(f"{line}\n" for line in lines())
    example = f"```toml\n{EXAMPLE.read_text(encoding='utf-8')}```\n"
    page = re.sub(r"^\| variable .*\n(\|.*\n)+", lambda _: table, page, flags=re.MULTILINE)
    return re.sub(r"^```toml\n[^`]*```\n", lambda _: example, page, flags=re.MULTILINE)


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
