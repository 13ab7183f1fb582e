"""Fuzzes input from people, Slack and Atlas: an answer in time, without a traceback."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.tools.campaign.fuzzing.session import FuzzSession
from tests.tools.reporting.report import Goal, Row, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tools.campaign.fuzzing.session import Part
    from tests.tools.campaign.options import Options

#: Examples per part and round.
ROUND = 200

#: Findings after which a part is skipped.
MAX_FINDINGS = 3


@dataclass(slots=True)
class Score:
    """The results of one part."""

    part: Part
    examples: int = 0
    seconds: float = 0.0
    found: list[str] = field(default_factory=list)


async def run(options: Options) -> list[Table]:
    """Fuzz for this long; hypothesis blocks, so it runs in its own thread."""
    scores = await asyncio.to_thread(run_parts, options.seconds, options.seed)
    folder = options.folder / "fuzz"
    folder.mkdir()
    for number, text in enumerate(text for score in scores for text in score.found):
        (folder / f"finding-{number + 1}.txt").write_text(text)
    return [table(scores)]


def run_parts(seconds: float, seed: int) -> list[Score]:
    """Run all parts in turn until the time is over, each round with another seed."""
    until = time.monotonic() + seconds
    with FuzzSession() as session:
        parts = [*session.bot(http=True), *session.bot(http=False), *session.atlas()]
        scores = [Score(part) for part in parts]
        while time.monotonic() < until:
            for score in scores:
                if len(score.found) < MAX_FINDINGS and time.monotonic() < until:
                    seed += 1
                    run_part(session, score, seed)
    return scores


def run_part(session: FuzzSession, score: Score, seed: int) -> None:
    began = time.monotonic()
    try:
        session.run_part(score.part, ROUND, seed)
    except Exception as error:  # noqa: BLE001 - any error is a finding
        notes = "\n".join(getattr(error, "__notes__", ()))
        score.found.append(f"seed {seed}: {type(error).__name__}: {error}\n{notes}")
    score.examples += ROUND
    score.seconds += time.monotonic() - began


def table(scores: Sequence[Score]) -> Table:
    found = sum(len(score.found) for score in scores)
    return Table(
        title="Fuzzing",
        first="input",
        columns=["examples", "per second", "findings"],
        rows=[
            Row(score.part.name, [score.examples, rate(score), len(score.found)])
            for score in scores
        ],
        goals=[Goal(text="findings", seen=found, held=found == 0)],
        notes=[text.partition("\n")[0][:300] for score in scores for text in score.found],
    )


def rate(score: Score) -> float | None:
    return score.examples / score.seconds if score.seconds else None
