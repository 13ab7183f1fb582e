"""Kills processes under load, and checks what must never happen: `python -m tests.tools.kills`."""

import argparse
import asyncio
import resource
import secrets
import sys

from tests.support.sigterm import exit_on_sigterm
from tests.tools.kills.campaign import Report, play


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show(report: Report) -> None:
    """Print the tables, and the history of what was found."""
    write(f"\n{report.kind}, seed {report.seed}")
    for name, count in {**report.counts, **report.table}.items():
        write(f"{count:7} {name}")
    for item in report.found:
        write(f"\n== {item.rule}: {item.name}\n{item.what}")
        write("\n".join(report.histories[item.name]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    arguments = parser.parse_args()
    exit_on_sigterm()
    # Each process has a log and an address of its own.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    is_broken = False
    for kind in arguments.database or ("sqlite", "postgresql"):
        seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
        write(f"{kind}: --requests {arguments.requests} --seed {seed}")
        report = asyncio.run(play(kind, arguments.requests, seed))
        show(report)
        is_broken = is_broken or bool(report.found)
    sys.exit(is_broken)


if __name__ == "__main__":
    main()
