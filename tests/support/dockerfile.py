"""Parses the Dockerfile of this project: its instructions, by stages."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, `RUN python -m venv /opt/venv`: its keyword, and the rest."""

    word: str
    rest: str

    def as_list(self) -> list[str]:
        """Read the exec form: a JSON list."""
        items: list[str] = json.loads(self.rest)
        return items


@dataclass(slots=True)
class Stage:
    """The instructions between one FROM and the next."""

    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [each.rest for each in self.instructions if each.word == word]

    def one(self, word: str) -> Instruction:
        (found,) = (each for each in self.instructions if each.word == word)
        return found

    def environment(self) -> dict[str, str]:
        pairs = (pair.partition("=") for rest in self.all("ENV") for pair in shlex.split(rest))
        return {name: value for name, _, value in pairs}


def read_stages(path: Path = Path("Dockerfile")) -> list[Stage]:
    """Return the stages of the Dockerfile at `path`."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    stages: list[Stage] = []
    for line in text.replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append(Stage())
        elif word:
            stages[-1].instructions.append(Instruction(word, " ".join(rest.split())))
    return stages
