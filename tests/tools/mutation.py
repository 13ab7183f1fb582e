"""Runs the tests against each mutant of the security core, in a process for each of them.

This process imports the libraries and never the bot: a fork of it then loads the mutant at once.
"""

import importlib
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import sys
import tempfile
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path

import coverage
import pytest

from tests.tools.mutants import Mutant, mutants_of

MODULES = (
    *(f"bot/cancellation/{name}.py" for name in ("decisions", "policy", "people", "request")),
    *(f"bot/cancellation/{name}.py" for name in ("run", "download", "starter")),
    *(f"bot/storage/{name}.py" for name in ("request_rows", "request_store", "run_store")),
    *(f"bot/services/{name}.py" for name in ("requests", "rights", "runner", "deadlines")),
)
#: On SQLite alone; the model of all of it would take a minute for each mutant.
#: In the order in which they find mutants fastest.
TESTS = ("tests/unit/cancellation", "tests/unit/services", "tests/integration/storage")
OPTIONS = (
    *("-q", "-x", "-o", "addopts=", "--import-mode=importlib", "--timeout=0"),
    *("-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not postgresql and not life_cycle"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # the libraries below have plugins
)
LIBRARIES = (
    *("hypothesis", "sqlalchemy", "pydantic", "structlog", "httpx", "anyio", "aiohttp"),
    *("slack_sdk.web.async_client", "slack_bolt.async_app", "typer", "alembic"),
)
#: Seconds after which a mutant that never ends counts as found; its tests take a few.
LIMIT = 60
MEMORY = 4 << 30
PASSED, FAILED, NO_TESTS = 0, 1, 5


@dataclass(frozen=True, slots=True)
class Result:
    """How many mutants a module has, and those that no test notices."""

    module: str
    count: int
    survivors: Sequence[str]


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from other source than its file has."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        self.name = path.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self.path)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__file__ = self.path
        exec(compile(self.source, self.path, "exec"), module.__dict__)  # noqa: S102 - a mutant is source


class _Contexts:
    """A plugin that notes which test runs each line."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured = measured

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.measured.switch_context(nodeid)


def tests_by_line(modules: Sequence[str]) -> Mapping[str, Mapping[int, Sequence[str]]]:
    """Run the tests once; return those that run each line of each module."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "lines.json"

        def run() -> int:
            measured = coverage.Coverage(None, include=list(modules), config_file=False)
            with measured.collect():
                code = pytest.main([*OPTIONS, *TESTS], plugins=[_Contexts(measured)])
            data = measured.get_data()
            lines = {
                module: data.contexts_by_lineno(str(Path(module).absolute())) for module in modules
            }
            found.write_text(json.dumps(lines), encoding="utf-8")
            return int(code)

        if os.waitstatus_to_exitcode(os.waitpid(_fork(run, 600, quiet=False), 0)[1]) != PASSED:
            raise SystemExit("The tests fail without any mutant.")
        read = json.loads(found.read_text(encoding="utf-8"))
    return {
        module: {int(line): sorted(filter(None, tests), key=_cost) for line, tests in lines.items()}
        for module, lines in read.items()
    }


def _cost(test: str) -> tuple[int, str]:
    """Order the tests of rules before those of services, and these before those of stores."""
    place = next(index for index, folder in enumerate(TESTS) if test.startswith(folder))
    return place, test


def mutate(modules: Sequence[str] = MODULES, jobs: int | None = None) -> Iterator[Result]:
    """Yield the result of each module."""
    for library in LIBRARIES:
        importlib.import_module(library)
    lines = tests_by_line(modules)
    for module in modules:
        found = list(mutants_of(Path(module).read_text(encoding="utf-8")))
        survivors = _survivors(module, found, lines[module], jobs or os.cpu_count() or 1)
        yield Result(module, len(found), sorted(survivors))


def _survivors(
    module: str, found: Iterable[Mutant], lines: Mapping[int, Sequence[str]], jobs: int
) -> Iterator[str]:
    """Yield what was changed where all tests still pass."""
    running: dict[int, Mutant] = {}
    for mutant in found:
        tests = lines.get(mutant.line, ()) if mutant.line else TESTS
        if not tests:
            yield f"{mutant.what} (no test runs it)"
            continue
        while len(running) >= jobs:
            yield from _ended(running)
        running[_fork(partial(_test, module, mutant, tests), LIMIT)] = mutant
    while running:
        yield from _ended(running)


def _ended(running: dict[int, Mutant]) -> Iterator[str]:
    process, status = os.wait()
    mutant, code = running.pop(process), os.waitstatus_to_exitcode(status)
    if code == NO_TESTS:
        raise SystemExit(f"No test was found for {mutant.what}.")
    if code == PASSED:
        yield mutant.what


def _test(module: str, mutant: Mutant, tests: Sequence[str]) -> int:
    sys.meta_path.insert(0, _Loader(module, mutant.source))
    return int(pytest.main([*OPTIONS, *tests]))


def _fork(work: Callable[[], int], seconds: int, *, quiet: bool = True) -> int:
    """Run work in a child, which a signal ends after that time."""
    process = os.fork()
    if process:
        return process
    code = FAILED
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        if quiet:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
        code = work()
    finally:
        os._exit(code)


if __name__ == "__main__":
    for result in mutate(sys.argv[1:] or MODULES):
        sys.stdout.write(f"{result.module}: {len(result.survivors)} of {result.count} survive\n")
        sys.stdout.writelines(f"  {what}\n" for what in result.survivors)
        sys.stdout.flush()
