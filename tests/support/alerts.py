"""Evaluates the shipped alert rules on what processes serve at `/metrics`."""

import asyncio
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.process import BotProcess
from tests.support.required_programs import needs

MONITORING = Path("docs/monitoring").absolute()
RULES = MONITORING / "alerts.yaml"
SCRAPES = yaml.safe_load((MONITORING / "prometheus.yaml").read_text(encoding="utf-8"))
#: The name that the shipped scrape configuration gives the job.
(JOB,) = [item["job_name"] for item in SCRAPES["scrape_configs"]]

STEP = 15  #: seconds between two figures, as the shipped configuration scrapes
PATIENCE = 30.0  #: seconds for a figure to change on a busy machine
LAST_SUCCESS = "cancel_restore_watch_last_success_timestamp_seconds"
OLDEST_UNPOSTED = "cancel_restore_oldest_unposted_seconds"


def promtool(*arguments: str | Path) -> str:
    result = subprocess.run(
        [needs("promtool", "prometheus"), *arguments], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def alert(name: str, **labels: str) -> str:
    """Return a firing alert as promtool names it."""
    pairs = {"alertname": f"CancelRestore{name}", **labels}
    return "{" + ", ".join(f'{key}="{value}"' for key, value in sorted(pairs.items())) + "}"


async def scrape(process: BotProcess, instance: str) -> dict[str, float]:
    """Return the figures of a process by their series, and `up`, as Prometheus stores them."""
    target = {"job": JOB, "instance": instance}
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{process.url}/metrics") as got:
            text = await got.text()
    except aiohttp.ClientError:
        return {series("up", target): 0.0}
    samples = [item for each in text_string_to_metric_families(text) for item in each.samples]
    figures = {series(item.name, {**target, **item.labels}): item.value for item in samples}
    return figures | {series("up", target): 1.0}


def series(name: str, labels: Mapping[str, str]) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


@dataclass(eq=False)
class Recording:
    """What Prometheus would have stored, in phases that last as long as the rules need.

    The last scrape of a phase is held for minutes. What counts seconds goes on as it did between
    the scrapes: the timestamp of a watch stands still or keeps its age, and the age of what Slack
    does not show grows.
    """

    processes: dict[str, BotProcess]  #: by their instances; also those that have ended
    _values: dict[str, list[str]] = field(default_factory=dict, init=False)
    _steps: int = field(default=0, init=False)
    _figures: dict[str, float] = field(default_factory=dict, init=False)
    #: The last figures as they were scraped, and with what they go on in the recording.
    _next: dict[str, tuple[float, float]] = field(default_factory=dict, init=False)
    _moving: set[str] = field(default_factory=set, init=False)  #: watches that succeed
    _expected: list[dict[str, object]] = field(default_factory=list, init=False)

    async def phase(self, minutes: int, *firing: str, still: float = 0.0) -> None:
        """Scrape twice and hold that; exactly these alerts are to fire at the end.

        Every watch is to have succeeded since the last phase, unless they are to stand `still` for
        these seconds between the two scrapes.
        """
        before = self._figures
        figures = first = self._figures = await self._read()
        self._store(1)
        before = first if still else first | before
        watches = {name for name in first if name.startswith(LAST_SUCCESS)}
        deadline = time.monotonic() + (still or PATIENCE)
        while any(before[name] == figures.get(name) for name in watches):
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.1)
            figures = await self._read()
        self._moving = {name for name in watches if before[name] != figures.get(name)}
        assert not (still and self._moving)
        self._figures = await self._read()
        self.go_on(minutes, *firing)

    def go_on(self, minutes: int, *firing: str) -> None:
        """Hold the last scrape; exactly these alerts are to fire at the end."""
        self._store(minutes * 60 // STEP)
        self._expect(*firing)

    async def shows(self, metric: str) -> None:
        """Wait until a figure of this metric is not 0."""
        async with asyncio.timeout(PATIENCE):
            while not await self._has(metric):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.1)

    async def _has(self, metric: str) -> bool:
        figures = await self._read()
        return any(value for name, value in figures.items() if name.startswith(metric))

    def _expect(self, *firing: str) -> None:
        """Expect exactly these alerts at the end of the recording so far."""
        self._expected.append(
            {
                "expr": 'group by (alertname, project, instance) (ALERTS{alertstate="firing"})',
                "eval_time": f"{(self._steps - 1) * STEP}s",
                "exp_samples": [{"labels": labels, "value": 1} for labels in firing],
            }
        )

    async def _read(self) -> dict[str, float]:
        figures: dict[str, float] = {}
        for instance, process in self.processes.items():
            figures |= await scrape(process, instance)
        return figures

    def _store(self, steps: int) -> None:
        """Write the last scrape down, and how its figures go on for these steps."""
        epoch = time.time() - self._steps * STEP
        for name in self._figures.keys() - self._values.keys():
            self._values[name] = ["_"] * self._steps
        for name, values in self._values.items():
            if name not in self._figures:
                values.extend(["stale"] * steps)
                continue
            value, growth = self._figures[name], self._growth(name)
            scraped, goes_on_at = self._next.get(name, (None, 0.0))
            start = value - (epoch if name.startswith(LAST_SUCCESS) else 0.0)
            start = goes_on_at if value == scraped else start
            values.append(f"{start}+{growth}x{steps - 1}")
            self._next[name] = (value, start + growth * steps)
        self._steps += steps

    def _growth(self, name: str) -> int:
        """Return by how much a figure grows from step to step."""
        is_behind = name.startswith(OLDEST_UNPOSTED) and self._figures[name] > 0
        return STEP if is_behind or name in self._moving else 0

    def evaluate(self, folder: Path) -> None:
        """Let promtool compare the alerts with the expected ones."""
        given = [{"series": name, "values": " ".join(v)} for name, v in self._values.items()]
        test = {
            "interval": f"{STEP}s",
            "input_series": given,
            "promql_expr_test": self._expected,
        }
        file = folder / "recording.yaml"
        file.write_text(
            yaml.safe_dump(
                {
                    "rule_files": [str(RULES)],
                    "evaluation_interval": f"{STEP}s",
                    "tests": [test],
                }
            ),
            encoding="utf-8",
        )
        promtool("test", "rules", file)
