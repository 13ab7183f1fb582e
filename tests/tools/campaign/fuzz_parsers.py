"""Coverage-guided fuzzing of the parsers, by atheris; each target in a process of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.process import surroundings
from tests.tools.campaign.fuzzing.targets import TARGETS
from tests.tools.reporting.report import Goal, Missing, Row, Table

if TYPE_CHECKING:
    from tests.tools.campaign.options import Options

NEEDED = "atheris is not installed: python -m pip install -r tests/tools/campaign/requirements.txt"

#: Bytes of one input at most, and seconds that one may take.
LONGEST = 8192
SLOWEST = 10

_RUNS = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(rb"cov: (\d+)")


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one target; `found` is the end of the fuzzer's own output."""

    name: str
    runs: int
    covered: int
    found: str


async def run(options: Options) -> list[Table]:
    """Give each target its share of the minutes; raises `Missing` without atheris."""
    if importlib.util.find_spec("atheris") is None:
        raise Missing(NEEDED)
    seconds = max(5, round(options.seconds / len(TARGETS)))
    folder = options.folder / "parsers"
    return [table([await fuzz(name, folder, seconds, options.seed) for name in TARGETS], seconds)]


async def fuzz(name: str, folder: Path, seconds: int, seed: int) -> Score:
    """Run one target; its findings are then in `folder`."""
    corpus = folder / name / "corpus"
    corpus.mkdir(parents=True)
    for number, whole in enumerate(TARGETS[name][1]):
        (corpus / f"seed-{number}").write_bytes(whole)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.tools.campaign.fuzzing.driver", name),
        *(f"-max_total_time={seconds}", f"-max_len={LONGEST}", f"-timeout={SLOWEST}"),
        *(f"-seed={seed % 2**31}", "-print_final_stats=1", "-rss_limit_mb=2048"),
        *(f"-artifact_prefix={folder / name}/", str(corpus)),
        env=surroundings() | {"PYTHONPATH": ":".join(filter(None, sys.path))},
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    (folder / name / "log.txt").write_bytes(output)
    return Score(
        name, _last(_RUNS, output), _last(_COVERED, output), _found(output, process.returncode)
    )


def _last(pattern: re.Pattern[bytes], output: bytes) -> int:
    return int((pattern.findall(output) or [0])[-1])


def _found(output: bytes, code: int | None) -> str:
    if not code:
        return ""
    _, _, message = output.rpartition(b"Uncaught Python exception")
    return message.decode(errors="replace")[:400]


def table(scores: list[Score], seconds: int) -> Table:
    found = [score for score in scores if score.found]
    return Table(
        title=f"Parsers under atheris, {seconds} s each",
        first="parser",
        columns=["executions", "edges covered", "findings"],
        rows=[Row(s.name, [s.runs, s.covered, int(bool(s.found))]) for s in scores],
        goals=[Goal(text="findings", seen=len(found), held=not found)],
        notes=[f"{score.name}: {score.found}" for score in found],
    )
