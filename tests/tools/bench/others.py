"""Acks at 200 commands a second, measured with wrk, hey and h2load."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tools.bench.ack import BOT, JS, started
from tests.tools.bench.load_environment import on_core, open_load_environment, pinned
from tests.tools.bench.sign import FORM, SECRET, command, lua, signed
from tests.tools.reporting.report import (
    Goal,
    Missing,
    Row,
    Table,
    in_turn,
    median,
    percentile,
    ratio,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tests.tools.reporting.report import Scale

#: Commands a second, and over how many connections.
RATE = 200
CONNECTIONS = 20
EACH = RATE // CONNECTIONS

#: Limit of the bot's ack, in milliseconds.
LIMIT = 25.0

#: Seconds of rest after each load, in which the bot fills its last dialogs.
REST = 2.0

#: wrk alone can send different commands; those that are sent again, the bot answers as before.
DIFFERENT = "wrk, different commands"
SAME = {"hey": "hey, one command repeated", "h2load": "h2load, one command repeated"}

NOTES = (
    (
        f"{CONNECTIONS} connections, {EACH} commands a second each, after the previous answer. hey"
        " and h2load start all connections simultaneously, so commands come in bursts and queue."
    ),
    "hey and h2load repeat one signed command; wrk's commands all differ.",
)

#: Added to wrk's script: how long a connection waits before its next command, in milliseconds.
DELAY = f"function delay() return {1000 // EACH} end\n"
WRK = {share: re.compile(rf"^ +{share}% +([\d.]+)(us|ms|s)$", re.MULTILINE) for share in (50, 99)}
BAD = re.compile(r"Non-2xx or 3xx responses: (\d+)|Socket errors")
IN_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a tool, in milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> ToolResult:
        return cls(median(values), percentile(values, 0.99))


async def measure(scale: Scale) -> list[Table]:
    """Run each tool against the bot and each peer, in turn."""
    seconds = scale.pick(2, 5)
    async with open_load_environment() as env:
        with ExitStack() as stack:
            peers, missing = started(stack)
            ports = {BOT: env.bot.port}
            for name, program in peers.items():
                ports[name] = int((await program.ready_line())["port"])
            text, rounds = await env.new_job(), scale.pick(1, 2)
            tables = [
                await _table(label, tool, ports, (seconds, text), rounds)
                for label, tool in ((DIFFERENT, wrk), (SAME["hey"], hey), (SAME["h2load"], h2load))
            ]
    rows = [row for table in tables for row in table]
    if missing:
        rows.append(Row(JS, missing=missing))
    return [
        Table(
            title=f"Acks at {RATE} commands a second, measured with common tools, in ms",
            columns=["p50", "p99", "p50 × bolt-js"],
            rows=rows,
            goals=[_goal(tables[0])],
            notes=[*NOTES, pinned()],
        )
    ]


def _goal(rows: Sequence[Row]) -> Goal:
    (seen,) = (None if row.missing else row.cells[1] for row in rows if row.name.startswith(BOT))
    assert not isinstance(seen, str)
    return Goal.at_most(f"ack p99 of different commands under {LIMIT:g} ms", seen, LIMIT)


async def _table(
    label: str,
    tool: Callable[[int, int, str], Awaitable[ToolResult]],
    ports: Mapping[str, int],
    load: tuple[int, str],  # its seconds, and the text of its commands
    rounds: int,
) -> list[Row]:
    if not shutil.which(tool.__name__):
        missing = f"{tool.__name__} is missing: apt-get install {PACKAGES[tool.__name__]}"
        return [Row(f"{BOT}: {label}", missing=missing)]
    variants = {name: partial(_rested, tool, port, *load) for name, port in ports.items()}
    given = await in_turn(variants, rounds, warm=1)
    p50s = {name: [result.p50 for result in each] for name, each in given.items()}
    return [
        Row(
            f"{name}: {label}",
            [
                median(p50s[name]),
                median([result.p99 for result in each]),
                ratio(p50s[name], p50s[JS]) if JS in p50s else None,
            ],
        )
        for name, each in given.items()
    ]


PACKAGES = {"wrk": "wrk", "hey": "hey", "h2load": "nghttp2-client"}


async def _rested(
    tool: Callable[[int, int, str], Awaitable[ToolResult]], port: int, seconds: int, text: str
) -> ToolResult:
    result = await tool(port, seconds, text)
    await asyncio.sleep(REST)
    return result


async def wrk(port: int, seconds: int, text: str) -> ToolResult:
    """Send different commands with wrk; raises `RuntimeError` where one had no good ack."""
    with tempfile.TemporaryDirectory(prefix="signed-") as folder:
        script = Path(folder) / "signed.lua"
        script.write_text(lua([a_command(text, n) for n in range(2 * RATE * seconds)]) + DELAY)
        options = ("-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-s", str(script))
        output = await run_tool("wrk", *options, address(port))
    if bad := BAD.search(output):
        raise RuntimeError(f"not every command had a good ack: {bad[0]}")
    p50, p99 = (WRK[share].search(output) for share in (50, 99))
    assert p50, output
    assert p99, output
    return ToolResult(*(float(found[1]) * IN_MS[found[2]] for found in (p50, p99)))


async def hey(port: int, seconds: int, text: str) -> ToolResult:
    """Send one command repeatedly with hey; raises as `wrk` does."""
    body, headers = a_command(text, 0)
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    pace = ("-z", f"{seconds}s", "-c", f"{CONNECTIONS}", "-q", f"{EACH}", "-o", "csv")
    options = (*pace, "-m", "POST", "-T", FORM, "-d", body.decode(), *given)
    output = await run_tool("hey", *options, address(port))
    rows = [line.split(",") for line in output.splitlines()[1:]]
    return good([(row[6], 1000 * float(row[0])) for row in rows])


async def h2load(port: int, seconds: int, text: str) -> ToolResult:
    """Send one command repeatedly with h2load; raises as `wrk` does."""
    body, headers = a_command(text, 0)
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    with tempfile.TemporaryDirectory(prefix="signed-") as folder:
        log, data = Path(folder) / "log", Path(folder) / "body"
        data.write_bytes(body)
        pace = (f"--rps={EACH}", "-c", f"{CONNECTIONS}", "-D", f"{seconds}", f"--log-file={log}")
        await run_tool("h2load", "--h1", *pace, "-d", str(data), *given, address(port))
        rows = [line.split("\t") for line in log.read_text().splitlines()]
    return good([(row[1], float(row[2]) / 1000) for row in rows])


def good(answers: Sequence[tuple[str, float]]) -> ToolResult:
    if bad := {status for status, _ in answers if status != "200"}:
        raise RuntimeError(f"not every command had a good ack: {bad}")
    return ToolResult.of([ms for _, ms in answers])


def a_command(text: str, number: int) -> tuple[bytes, dict[str, str]]:
    body = command(text, f"{time.time_ns()}.{number}", "http://127.0.0.1:9/answers")
    return body, signed(SECRET, body)


def address(port: int) -> str:
    return f"http://127.0.0.1:{port}/slack/events"


async def run_tool(*program: str) -> str:
    """Run a tool on the cores of the load, and return its output; raises `Missing`."""
    with on_core(1):
        process = await asyncio.create_subprocess_exec(
            *program, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    output, complained = await process.communicate()
    if process.returncode:
        raise Missing(f"{program[0]} ended with {process.returncode}: {complained.decode()}")
    return output.decode()
