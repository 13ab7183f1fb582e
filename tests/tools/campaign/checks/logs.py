"""Rules for the bots' logs, and for secrets anywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bot.sandbox.atlas.jobs import PLANTED_SECRET
from tests.tools.campaign.checks.rules import Rule
from tests.tools.campaign.worlds import texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.tools.campaign.checks.observations import Observations

#: Marks of an unexpected error; expected errors are log lines with a level.
TRACES = (
    "Traceback (most recent call last)",
    "was never retrieved",
    "was never awaited",
    '"level": "error"',
    '"level": "critical"',
)


def of_logs(observations: Observations) -> Iterator[tuple[Rule, str]]:
    for what in traces_in(observations.logs):
        yield Rule.TRACES, what


def traces_in(logs: Iterable[Path]) -> Iterator[str]:
    """Return the unexpected errors, each line once."""
    for path in logs:
        for line in path.read_text(errors="replace").splitlines():
            if any(trace in line for trace in TRACES):
                yield f"{path.name}: {line[:300]}"


def of_secrets(observations: Observations) -> Iterator[tuple[Rule, str]]:
    places = {path.name: path.read_text(errors="replace") for path in observations.logs}
    places["the audit log"] = json.dumps([str(event) for event in observations.events])
    places["Slack"] = texts(observations.slack)
    for place, text in places.items():
        for number, secret in enumerate((*observations.secrets, PLANTED_SECRET)):
            if secret in text:
                yield Rule.SECRETS, f"secret number {number} is in {place}"
