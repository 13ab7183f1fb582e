"""What a campaign is told on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much, how long, and by which dice.

    Attributes:
        seed: the same seed gives the same scenarios, and much the same fault injection.
        minutes: how long people keep coming; settling comes after that.
        requests: how many scenarios people play in it.
        rate: cancellations a second, where a campaign goes by that.
        folder: where evidence is kept.
    """

    seed: int
    minutes: float
    requests: int
    rate: float
    folder: Path

    @property
    def line(self) -> str:
        """What to say on the command line for the same again."""
        amount = f"--minutes {self.minutes:g} --requests {self.requests} --rate {self.rate:g}"
        return f"--seed {self.seed} {amount}"

    @property
    def seconds(self) -> float:
        return self.minutes * 60
