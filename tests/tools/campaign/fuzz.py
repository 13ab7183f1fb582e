"""Whatever comes, from people, Slack or Atlas: an answer, in time, and no traceback."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.tools.bench.report import Goal, Row, Table
from tests.tools.campaign.fuzz_play import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.tools.campaign.fuzz_play import Part
    from tests.tools.campaign.options import Options

#: Examples of one part before it is the next one's turn.
ROUND = 200

#: Findings of one part after which it is left alone: the first ones are to be mended first.
ENOUGH = 3


@dataclass(slots=True)
class Score:
    """What one part gave."""

    part: Part
    examples: int = 0
    seconds: float = 0.0
    found: list[str] = field(default_factory=list)


async def run(options: Options) -> list[Table]:
    """Throw for so many minutes; hypothesis waits for each example, so it has its own thread."""
    scores = await asyncio.to_thread(hunt, options.seconds, options.seed)
    folder = options.folder / "fuzz"
    folder.mkdir()
    for number, text in enumerate(text for score in scores for text in score.found):
        (folder / f"finding-{number + 1}.txt").write_text(text)
    return [table(scores)]


def hunt(seconds: float, dice: int) -> list[Score]:
    """Play all parts in turn until the time is over, each round with other dice."""
    until = time.monotonic() + seconds
    with Stage() as stage:
        parts = [*stage.bot(http=True), *stage.bot(http=False), *stage.atlas()]
        scores = [Score(part) for part in parts]
        while time.monotonic() < until:
            for score in scores:
                if len(score.found) < ENOUGH and time.monotonic() < until:
                    dice += 1
                    play(stage, score, dice)
    return scores


def play(stage: Stage, score: Score, dice: int) -> None:
    began = time.monotonic()
    try:
        stage.play(score.part, ROUND, dice)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        notes = "\n".join(getattr(error, "__notes__", ()))
        score.found.append(f"dice {dice}: {type(error).__name__}: {error}\n{notes}")
    score.examples += ROUND
    score.seconds += time.monotonic() - began


def table(scores: Sequence[Score]) -> Table:
    found = sum(len(score.found) for score in scores)
    return Table(
        title="Fuzzing",
        first="thrown",
        columns=["examples", "a second", "findings"],
        rows=[
            Row(score.part.name, [score.examples, rate(score), len(score.found)])
            for score in scores
        ],
        goals=[Goal(text="findings", seen=found, held=found == 0)],
        notes=[text.partition("\n")[0][:300] for score in scores for text in score.found],
    )


def rate(score: Score) -> float | None:
    return score.examples / score.seconds if score.seconds else None
