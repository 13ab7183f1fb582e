"""Options of a campaign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Amount, duration and seed.

    Attributes:
        seed: the same seed gives the same scenarios, and nearly the same faults.
        minutes: duration of the load, without settling.
        requests: number of scenarios.
        folder: folder of the evidence.
    """

    seed: int
    minutes: float
    requests: int
    folder: Path

    @property
    def line(self) -> str:
        """The command-line options that repeat this run."""
        return f"--seed {self.seed} --minutes {self.minutes:g} --requests {self.requests}"

    @property
    def seconds(self) -> float:
        return self.minutes * 60
