"""The answers of Atlas in tests/data/atlas: what the client and the stand-in are held against."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "data" / "atlas"


@dataclass(frozen=True, slots=True)
class AtlasAnswer:
    """One answer of Atlas, and where we know it from."""

    name: str
    source: str
    certainty: str  #: recorded, documented, reported or assumed
    method: str
    path: str
    status: int
    headers: dict[str, str]  #: those that matter
    body: Any  #: None where there is none

    @property
    def content(self) -> bytes:
        return b"" if self.body is None else json.dumps(self.body).encode()


@cache
def atlas_answers() -> dict[str, AtlasAnswer]:
    """Return all answers by their names."""
    return {path.stem: _load(path) for path in sorted(FOLDER.glob("*.json"))}


def atlas_answer(name: str) -> AtlasAnswer:
    return atlas_answers()[name]


def shape(value: object) -> object:
    """Return the names and types of a JSON value; a list has the shapes that occur in it."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return sorted({json.dumps(shape(item)) for item in value})
    return "null" if value is None else type(value).__name__


def _load(path: Path) -> AtlasAnswer:
    fields = json.loads(path.read_text(encoding="utf-8"))
    request = fields.pop("request")
    return AtlasAnswer(path.stem, **request, **fields)
