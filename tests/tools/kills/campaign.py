"""One campaign: people and faults at random, then the rules."""

import asyncio
import random
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url

from bot.sandbox.slack import FakeSlackServer, Settings
from tests.support.postgres import open_postgres
from tests.support.serving import CHANNEL, payload, serving
from tests.tools.kills import rules, scene
from tests.tools.kills.calm import Calm
from tests.tools.kills.chaos import Chaos, Size
from tests.tools.kills.people import People, work
from tests.tools.kills.record import LeaseWatcher, Record, Stored
from tests.tools.kills.rules import Evidence, Found
from tests.tools.kills.scene import Messages

#: Seconds after the last fault in which everything that nobody has to decide is done.
SETTLED_WITHIN = 60.0
DOWNLOADS_AT_ONCE = 24
CONTENT_ERRORS = frozenset({"invalid_blocks", "msg_too_long", "invalid_arguments"})


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a campaign."""

    seed: int
    kind: str  #: of the database
    counts: dict[str, int]
    found: Sequence[Found]
    histories: dict[str, list[str]]  #: of each job and process with a finding

    @property
    def table(self) -> dict[str, int]:
        """How often each rule was broken."""
        broken = Counter(item.rule for item in self.found)
        return {rule: broken[rule] for rule in (*rules.RULES, *rules.SETTLED_RULES, *rules.OTHERS)}


async def run(database_url: str, size: Size, seed: int) -> Report:
    """Run a campaign."""
    began = time.monotonic()
    chance = random.Random(seed)  # noqa: S311 - a seed that can be repeated
    url = make_url(database_url)
    kind = url.get_backend_name()
    if kind == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    engine = create_engine(url)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "projects.toml"
        file.write_text(scene.projects_file(), "utf-8")
        settings = {"BOT_PROJECTS_FILE": str(file), "BOT_WATCH_INTERVAL": "15"}
        async with serving(database_url, settings) as stage:
            scene.fill(stage)
            stage.slack.world.settings = Settings(cut_connection_seconds=size.cut)
            record, calm = Record(), Calm()
            messages = Messages(stage, record)
            people = People(stage, record, messages, calm, chance, size)
            chaos = Chaos(stage, record, calm, random.Random(seed + 1), size)  # noqa: S311 - as above

            def is_enough() -> bool:
                started = len(record.downloads)
                return started >= size.downloads or len(messages.request_ids) >= size.requests

            def evidence() -> Evidence:
                return Evidence(
                    record,
                    Stored.read(engine),
                    rules.deletes(stage.atlas.calls),
                    _shown(stage.slack.state.messages(CHANNEL)),
                    time.time(),
                )

            try:
                await chaos.start()
                with LeaseWatcher(engine, record.leases):
                    lives = [
                        work(people, is_enough)
                        for _ in range(min(DOWNLOADS_AT_ONCE, size.requests))
                    ]
                    living = asyncio.gather(*lives)
                    await chaos.run(living.done)
                    await living
                    await chaos.end_faults()
                    # What differs only for a moment, as a download that ends by itself may at
                    # any time, is no finding.
                    unsettled = await _settle(lambda: rules.check_settled(evidence()))
                    await chaos.stop()
            finally:
                chaos.close()
            verified = await stage.command("audit", "verify")
            if verified.code:
                record.found.append(("audit not verified", "", verified.out + verified.err))
            record.found += [
                ("rule of Slack broken", "", text) for text in _complaints(stage.slack)
            ]
            last = evidence()
    engine.dispose()
    found = [*rules.check(last), *unsettled]
    counts = {
        "downloads": len(record.downloads),
        "requests": len(last.stored.requests),
        **Counter(f"ended as {row['state']}" for row in last.stored.requests),
        "DELETEs": len(last.deletes),
        "lease taken": len({sight.number for sight in record.leases}),
        **record.counts,
        "seconds": int(time.monotonic() - began),
    }
    names = {item.name for item in found}
    return Report(seed, kind, counts, found, {n: rules.history(last, n) for n in names})


async def _settle(check: Callable[[], list[Found]]) -> list[Found]:
    """Wait until nothing is left to be done, seen or shown; return what is, where it lasts."""
    deadline = time.monotonic() + SETTLED_WITHIN
    while (found := check()) and time.monotonic() < deadline:  # noqa: ASYNC110 - of other processes
        await asyncio.sleep(0.5)
    return found


def _shown(messages: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the metadata of the downloads' messages, by job."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for message in messages:
        if (shown := payload(message)) and message.get("thread_ts", message["ts"]) == message["ts"]:
            found[shown["job"]].append(shown)
    return found


def _complaints(slack: FakeSlackServer) -> list[str]:
    """Return what Slack would refuse; a late ack is a fault's effect."""
    broken = [text for text in slack.complaints if not text.startswith("An ack is late")]
    refused = [call for call in slack.calls if call.error in CONTENT_ERRORS]
    return broken + [f"{call.method}: {call.error} {call.args}" for call in refused]


async def play(kind: str, requests: int, seed: int) -> Report:
    """Run a campaign on a new database of this kind."""
    size = Size(requests=requests, downloads=4 * requests)
    if kind == "postgresql":
        async with open_postgres() as server:
            return await run(server.new_database(), size, seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        return await run(f"sqlite:///{folder}/bot.db", size, seed)
