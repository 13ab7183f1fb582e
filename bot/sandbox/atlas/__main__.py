"""Runs the fake Atlas alone: `python -m bot.sandbox.atlas [--port N] [--fault NAME]`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys

from bot.sandbox.atlas.faults import PRESETS
from bot.sandbox.atlas.server import FakeAtlasServer
from bot.sandbox.atlas.world import World


def main(arguments: list[str] | None = None) -> int:
    """Run until a signal; print the address as one JSON line on standard output."""
    parser = argparse.ArgumentParser(prog="python -m bot.sandbox.atlas", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 selects a free port")
    parser.add_argument("--fault", action="append", default=[], choices=sorted(PRESETS))
    chosen = parser.parse_args(arguments)
    return asyncio.run(run(chosen.port, chosen.fault))


async def run(port: int, faults: list[str]) -> int:
    """Serve until SIGINT or SIGTERM; 1 when the port is taken."""
    done = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    # People read the starts of the jobs from their ids, as in Atlas.
    atlas = FakeAtlasServer(World.example(dated_ids=True), port=port)
    for name in faults:
        atlas.faults.preset(name)
    try:
        async with atlas:
            _announce(atlas)
            await done.wait()
    except OSError as error:
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write(f"The server cannot listen on port {port}: {error.strerror}.\n")
        return 1
    return 0


def _announce(atlas: FakeAtlasServer) -> None:
    sys.stdout.write(json.dumps(atlas.about()) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
