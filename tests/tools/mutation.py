"""Runs the tests against each mutant of the security core, in a process for each of them.

One session of pytest collects the tests; for each mutant it is forked, the code of the changed
function is replaced, and the tests that run the changed line are run. A change of what runs when
a module is loaded, such as a constant, needs a new session: there, all tests are run.
"""

import gc
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest

from tests.tools.mutants import Mutant, mutants_of

MODULES = (
    *(f"bot/cancellation/{name}.py" for name in ("decisions", "policy", "people", "request")),
    *(f"bot/cancellation/{name}.py" for name in ("run", "download", "starter")),
    *(f"bot/storage/{name}.py" for name in ("request_rows", "request_store", "run_store")),
    *(f"bot/services/{name}.py" for name in ("requests", "rights", "runner", "deadlines")),
)
TESTS = ("tests/unit/cancellation", "tests/unit/services", "tests/integration/storage")
#: On SQLite alone; the model of all of it would take a minute for each mutant.
OPTIONS = (
    *("-q", "-x", "-o", "addopts=", "--import-mode=importlib", "--timeout=0"),
    *("-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not postgresql and not life_cycle"),
)
#: Seconds of the processor after which a mutant that never ends counts as found, and how many
#: times longer that may take.
LIMIT, PATIENCE = 40, 5
LOAD = "--load"  #: how this program is called for a mutant of what runs when a module is loaded
MEMORY = 4 << 30
PASSED, FAILED, BROKEN = 0, 1, 70  #: of a child; the last one failed to make its mutant


@dataclass(frozen=True, slots=True)
class Result:
    """How many mutants a module has, and those that no test notices."""

    module: str
    count: int
    survivors: Sequence[str]


def mutate(modules: Sequence[str] = MODULES, jobs: int | None = None) -> list[Result]:
    """Return the result of each module, and print it as soon as it is there."""
    session = _Session(modules, jobs or os.cpu_count() or 1)
    code = pytest.main([*OPTIONS, *TESTS], plugins=[session])
    if code != PASSED or len(session.results) != len(modules):
        raise SystemExit("The tests fail without any mutant.")
    return session.results


class _Session:
    """A plugin that runs the collected tests against each mutant, in the place of a normal run."""

    def __init__(self, modules: Sequence[str], jobs: int) -> None:
        self.modules, self.jobs = modules, jobs
        self.results: list[Result] = []
        self.items: dict[str, pytest.Item] = {}
        self._running: dict[int, Mutant] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        session.config.pluginmanager.unregister(name="terminalreporter")
        self.items = {item.nodeid: item for item in session.items}
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / "lines.json"
            measuring = _fork(partial(self._measure, session, found), 900)
            if os.waitstatus_to_exitcode(os.waitpid(measuring, 0)[1]) != PASSED:
                raise pytest.UsageError("The tests fail without any mutant.")
            lines = json.loads(found.read_text(encoding="utf-8"))
        for module in self.modules:  # the other way of running them passes without a change too
            unchanged = Mutant("", 0, "nothing", Path(module).read_text(encoding="utf-8"))
            if _test_module(module, unchanged) != PASSED:
                raise pytest.UsageError("The tests fail in a new session.")
            break
        for module in self.modules:
            mutants = list(mutants_of(Path(module).read_text(encoding="utf-8")))
            survivors = sorted(self._survivors(session, module, mutants, lines[module]))
            self.results.append(Result(module, len(mutants), survivors))
            sys.stderr.write(f"{module}: {len(survivors)} of {len(mutants)} are not noticed\n")
            sys.stderr.writelines(f"  {what}\n" for what in survivors)
        return True

    def _measure(self, session: pytest.Session, found: Path) -> int:
        """Run all tests; write which of them run each line of each module, fast ones first."""
        seconds: dict[str, float] = {}
        measured = coverage.Coverage(None, include=list(self.modules), config_file=False)
        with measured.collect():
            for item in session.items:
                began = time.process_time()
                measured.switch_context(item.nodeid)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                seconds[item.nodeid] = time.process_time() - began
        data = measured.get_data()
        lines = {
            module: {
                line: sorted(filter(None, tests), key=seconds.__getitem__)
                for line, tests in data.contexts_by_lineno(str(Path(module).absolute())).items()
            }
            for module in self.modules
        }
        found.write_text(json.dumps(lines), encoding="utf-8")
        return FAILED if session.testsfailed else PASSED

    def _survivors(
        self,
        session: pytest.Session,
        module: str,
        mutants: Sequence[Mutant],
        lines: Mapping[str, Sequence[str]],
    ) -> Iterator[str]:
        """Yield what was changed where all tests still pass."""
        for mutant in mutants:
            while len(self._running) >= self.jobs:
                yield from self._ended()
            if mutant.function:
                tests = [
                    name for name in self.items if name in set(lines.get(str(mutant.line), ()))
                ]
                work = partial(self._test_function, session, module, mutant, tests)
            else:
                work = partial(_test_module, module, mutant)
            self._running[_fork(work, LIMIT)] = mutant
        while self._running:
            yield from self._ended()

    def _ended(self) -> Iterator[str]:
        process, status = os.wait()
        mutant = self._running.pop(process)
        code = os.waitstatus_to_exitcode(status)
        if code == BROKEN:
            raise pytest.UsageError(f"{mutant.what} could not be tested.")
        if code == PASSED:
            yield mutant.what

    def _test_function(
        self, session: pytest.Session, module: str, mutant: Mutant, tests: Sequence[str]
    ) -> int:
        try:
            _replace_code(module, mutant)
        except ValueError:  # the new code has other variables of the class around it
            return _test_module(module, mutant)
        for name in tests:
            item = self.items[name]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if session.testsfailed:
                return FAILED
        return PASSED


def _replace_code(module: str, mutant: Mutant) -> None:
    """Give the changed function its new code, wherever it is held."""
    new = _code_of(compile(mutant.source, module, "exec"), mutant.function)
    gc.unfreeze()  # `tests/conftest.py` hides what was imported
    found = [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, FunctionType)
        and thing.__code__.co_qualname == mutant.function
        and thing.__code__.co_filename.endswith(module)
    ]
    if not found:
        raise LookupError(mutant.function)
    for function in found:
        function.__code__ = new


def _code_of(code: CodeType, name: str) -> CodeType:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    for candidate in inner:
        if candidate.co_qualname == name:
            return candidate
    return next(_code_of(item, name) for item in inner if name.startswith(f"{item.co_qualname}."))


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Loads one module from other source than its file has."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.source = path, source
        self.name = path.removesuffix(".py").replace("/", ".")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self.path)

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self.path
        exec(compile(self.source, self.path, "exec"), module.__dict__)  # noqa: S102 - a mutant is source


def _test_module(module: str, mutant: Mutant) -> int:
    """Run all tests in a new interpreter, which loads the mutant."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.py"
        path.write_text(mutant.source, encoding="utf-8")
        command = [sys.executable, "-m", "tests.tools.mutation", LOAD, module, str(path)]
        return subprocess.run(command, check=False).returncode


def _load_and_test(module: str, mutant: str) -> int:
    sys.meta_path.insert(0, _Loader(module, Path(mutant).read_text(encoding="utf-8")))
    return int(pytest.main([*OPTIONS, *TESTS]))


def _fork(work: Callable[[], int], seconds: int) -> int:
    """Run work in a child without output, which a signal ends after that time of the processor."""
    process = os.fork()
    if process:
        return process
    code = BROKEN
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE * seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        code = work()
    finally:
        os._exit(code)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [option, path, changed] if option == LOAD:
            sys.exit(_load_and_test(path, changed))
        case paths:
            mutate(paths or MODULES)
