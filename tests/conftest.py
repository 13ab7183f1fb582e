"""Settings for every test: a clean environment, random examples, no skip in CI."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import settings

import bot
from bot.log_config import AUDIT_LOGGER

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.support.postgres import PostgresServer

# Only `tests` comes from here: what is installed comes first, so that a wheel is what is tested.
sys.path.append(str(Path(__file__).parents[1]))

#: Variables by which the surroundings could change what the bot does. Slack's SDK takes a proxy
#: from the environment and ignores NO_PROXY, so that calls to loopback would leave the machine.
PREFIXES = ("SLACK_", "MONGODB_", "BOT_", "LOG_")
NAMES = frozenset({"DATABASE_URL", "HOST", "PORT"})
#: The folder whose tests wait for other processes most of the time.
WAITING = Path(__file__).parent / "acceptance" / "serve"

# A shell lets what it starts in the background ignore SIGINT, and programs inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without this, structlog draws each traceback with its locals, which takes a second.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)
# In CI too, other examples each time, which find more; a failing one is printed so that it can be
# repeated. Hypothesis itself would take the same ones in CI.
settings.register_profile("suite", derandomize=False, deadline=None, print_blob=True)
settings.load_profile("suite")


def pytest_report_header() -> str:
    return f"bot: {Path(bot.__file__).parent}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the tests that wait for other processes: meanwhile others use the processors."""
    waiting = [item for item in items if item.path.is_relative_to(WAITING)]
    others = [item for item in items if not item.path.is_relative_to(WAITING)]
    count = len(waiting) or 1
    items.clear()
    for number in range(count):
        items += waiting[number : number + 1]
        items += others[number * len(others) // count : (number + 1) * len(others) // count]


def pytest_collection_finish() -> None:
    """Leave what was imported out of each later collection of garbage: that takes a tenth."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(PREFIXES) or name in NAMES or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _clean_log() -> Iterator[None]:
    """Undo what commands that run in this process configure."""
    before = structlog.get_config()
    yield
    structlog.reset_defaults()
    structlog.configure(**before)
    logging.getLogger(AUDIT_LOGGER).setLevel(logging.NOTSET)
    # Bolt gives its loggers the level that the root has when an app is built.
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("slack_bolt") and isinstance(logger, logging.Logger):
            logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One PostgreSQL server for all tests of this process."""
    from tests.support.postgres import PostgresServer  # noqa: PLC0415 - found by the line above

    with PostgresServer() as server:
        yield server


@pytest.fixture
def on_postgres(postgres: PostgresServer) -> str:
    """The URL of an empty database on PostgreSQL."""
    return postgres.new_database()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _fail_skipped(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _fail_skipped(report)
    return report


def _fail_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI nothing may be skipped: what was not run is not known to work."""
    expected = hasattr(report, "wasxfail")
    if os.environ.get("CI") and report.outcome == "skipped" and not expected:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not allow: {report.longrepr}"
