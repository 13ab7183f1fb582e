"""One cancellation at Atlas (GET, DELETE, GET), compared with curl."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from bot.atlas import JobRef
from tests.support.apache import KEY, REF, Apache, running_apache
from tests.support.atlas_client import AtlasClient
from tests.support.required_programs import find
from tests.tools.bench.proxy import with_round_trip
from tests.tools.reporting.report import (
    Goal,
    Missing,
    Row,
    Table,
    in_turn,
    median,
    ratio,
    seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.tools.reporting.report import Scale

    #: Cancels one job, given its cluster.
    Cancels = Callable[[str], Awaitable[object]]

#: Seconds of the added round trip.
ROUND_TRIP = 0.04

#: Goals: time relative to curl, and requests when warm.
OF_CURL = 0.3
WARM_REQUESTS = 3

#: Uncounted rounds; they include the bot's one digest handshake.
WARM = 2

OURS = "the bot's client"
CURL = "curl --digest, one process per call"

COLUMNS = ("ms", "of curl", "requests", "max requests")

NOTES = (
    (
        "Server: Apache httpd with mod_auth_digest, over TLS 1.3 like Atlas, on loopback. Without"
        " TLS the minimum would be 0.33: three round trips against curl's nine."
    ),
    ("curl is called as in Atlas's documentation."),
    (
        f"Warm: the first {WARM} cancellations do not count. The server counts the requests, with"
        " challenges: the median and the maximum of a cancellation."
    ),
)

#: Variables with the certificate authorities of each of these programs.
TRUST = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Apache and its URL."""

    apache: Apache
    url: str
    stack: AsyncExitStack

    def job(self, cluster: str) -> str:
        groups = f"{self.url}/api/atlas/v1.0/groups/{REF.project_id}"
        return f"{groups}/clusters/{cluster}/backup/restoreJobs/{REF.job_id}"


async def measure(scale: Scale) -> list[Table]:
    program = find("apache2")
    titles = {
        0.0: "Without added round-trip time",
        ROUND_TRIP: f"At {ROUND_TRIP * 1000:.0f} ms round trips",
    }
    if program is None or find("openssl") is None:
        missing = Row("all", missing="missing: apt-get install apache2 openssl")
        return [
            Table(title=title, columns=COLUMNS, rows=[missing], goals=_goals(None, None, None))
            for title in titles.values()
        ]
    tables = []
    for round_trip, title in titles.items():
        with running_apache(program, tls=True) as apache, trust_certificate(apache.certificate):
            tables.append(await _table(apache, round_trip, title, scale.pick(5, 40)))
    return tables


@contextmanager
def trust_certificate(certificate: Path) -> Iterator[None]:
    """Let this process and its children trust one more certificate authority."""
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(TRUST, str(certificate)))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _table(apache: Apache, round_trip: float, title: str, rounds: int) -> Table:
    """Measure every installed peer with one round-trip time."""
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(with_round_trip(apache.port, round_trip))
        server = Server(apache=apache, url=f"https://127.0.0.1:{port}", stack=stack)
        peers, missing = await _peers(server)
        timed = {name: _timed(number, each) for number, (name, each) in enumerate(peers.items())}
        seconds = await in_turn(timed, rounds, warm=WARM)
        asked = _asked(await _written(apache))
    curl = seconds.get(CURL)
    rows = [
        Row(name, _cells(seconds[name], curl, asked[number][WARM:]))
        for number, name in enumerate(peers)
    ]
    goals = _goals(seconds[OURS], curl, asked[0][WARM:])
    return Table(title=title, columns=COLUMNS, rows=rows + missing, goals=goals, notes=NOTES)


def _cells(
    seconds: list[float], curl: list[float] | None, asked: list[int]
) -> list[float | int | None]:
    ratio_to_curl = ratio(seconds, curl) if curl else None
    return [median(seconds) * 1000, ratio_to_curl, int(median(asked)), max(asked)]


def _goals(
    bot_seconds: list[float] | None, curl: list[float] | None, asked: list[int] | None
) -> list[Goal]:
    ratio_to_curl = ratio(bot_seconds, curl) if bot_seconds and curl else None
    most = max(asked) if asked else None
    return [
        Goal.at_most(f"≤ {OF_CURL} × curl", ratio_to_curl, OF_CURL),
        Goal.at_most(f"never more than {WARM_REQUESTS} requests when warm", most, WARM_REQUESTS),
    ]


def _timed(number: int, cancels: Cancels) -> Callable[[], Awaitable[float]]:
    """Use another cluster for each cancellation, to distinguish them in the server's log."""
    numbers = count()

    async def run() -> float:
        cluster = f"peer{number}-{next(numbers)}"
        return await seconds_of(lambda: cancels(cluster))

    return run


async def _written(apache: Apache) -> list[str]:
    """Return the server's log once it is complete: Apache writes after the answer."""
    before, until = -1, time.monotonic() + 5
    while len(apache.paths()) != before and time.monotonic() < until:
        before = len(apache.paths())
        await asyncio.sleep(0.2)
    return apache.paths()


def _asked(paths: list[str]) -> dict[int, list[int]]:
    """Count the requests of each cancellation, by peer, in order."""
    clusters = Counter(path.split("/clusters/")[1].split("/")[0] for path in paths)
    asked: dict[int, dict[int, int]] = {}
    for cluster, requests in clusters.items():
        peer, number = cluster.removeprefix("peer").split("-")
        asked.setdefault(int(peer), {})[int(number)] = requests
    return {peer: [counts[n] for n in sorted(counts)] for peer, counts in asked.items()}


async def _peers(server: Server) -> tuple[dict[str, Cancels], list[Row]]:
    peers: dict[str, Cancels] = {}
    missing = []
    for name, build in BUILDERS.items():
        try:
            peers[name] = await build(server)
        except Missing as error:
            missing.append(Row(name, missing=str(error)))
    return peers, missing


async def _bot(server: Server) -> Cancels:
    client = AtlasClient(KEY, base_url=server.url)
    atlas = await server.stack.enter_async_context(client)

    async def cancel(cluster: str) -> None:
        ref = JobRef(REF.project_id, cluster, REF.job_id)
        await atlas.restore_job(ref)
        await atlas.cancel_restore_job(ref)
        await atlas.restore_job(ref)

    return cancel


async def _curl(server: Server) -> Cancels:
    program = _curl_program()

    async def cancel(cluster: str) -> None:
        for method in ([], ["--request", "DELETE"], []):
            await _run(program, *_documented(server.job(cluster), method))

    return cancel


def _curl_program() -> str:
    program = find("curl")
    if program is None:
        raise Missing("curl is missing: apt-get install curl")
    return program


def _documented(url: str, method: list[str]) -> list[str]:
    """Return the arguments that the API's page shows for a cancellation."""
    return [
        *("--user", f"{KEY.key_id}:{KEY.secret.get_secret_value()}"),
        *("--digest", "--include", "--silent", "--fail"),
        *("--header", "Accept: application/json", "--header", "Content-Type: application/json"),
        *(*method, url),
    ]


async def _run(program: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


BUILDERS: dict[str, Callable[[Server], Awaitable[Cancels]]] = {OURS: _bot, CURL: _curl}
