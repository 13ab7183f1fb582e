"""Runs the tests against each mutant of the security core, in a process for each of them.

One session of pytest collects the tests; for each mutant it is forked, the code of the changed
function or the changed constant is replaced, and the tests that run the changed line, or the
module, are run. Any other change of what runs when a module is loaded needs a new session.

`python -m tests.tools.mutation bot/cancellation/run.py …` does it for these modules alone.
"""

import ast
import gc
import importlib.abc
import importlib.util
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import coverage
import pytest

from tests.tools.core_modules import core_modules
from tests.tools.mutants import Mutant, mutants_of

MODULES = tuple(sorted(f"bot/{name.replace('.', '/')}.py" for name in core_modules()))
TESTS = (
    *(f"tests/unit/{name}" for name in ("cancellation", "services", "slack", "settings", "cli")),
    *("tests/unit/atlas/test_client.py", "tests/integration/storage"),
)
#: On SQLite first; the model of all of it would take a minute for each mutant.
OPTIONS = (
    *("-q", "-x", "-o", "addopts=", "--import-mode=importlib", "--timeout=0"),
    *("-p", "no:cacheprovider", "-p", "no:xdist", "-k", "not postgresql and not life_cycle"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # the night has imported plugins before
)
#: What runs where these notice nothing: only PostgreSQL needs locks and a clock of its own.
STORES = "bot/storage/"
ON_POSTGRESQL = ("-k", "postgresql and not life_cycle", "tests/integration/storage")
#: The changes that alter nothing, each with its reason.
EQUIVALENT = Path("tests/tools/equivalent.toml")
#: A mutant that never ends counts as found after these seconds of the processor, and so many times
#: those that its tests take without it; in a session of its own after `LIMIT_OF_SESSION`. One that
#: waits counts after `PATIENCE` seconds.
LIMIT, TIMES, LIMIT_OF_SESSION, PATIENCE = 5, 3, 120, 600
JOBS = "MUTATION_JOBS"  #: the variable with the number of processes; else one for each processor
LOAD = "--load"  #: how this program is called for a mutant of what runs when a module is loaded
MEMORY = 4 << 30
PASSED, FAILED, BROKEN = 0, 1, 70  #: of a child; the last one failed to make its mutant


@dataclass(frozen=True, slots=True)
class Result:
    """How many mutants a module has, and those that no test notices."""

    module: str
    count: int
    survivors: Sequence[str]  #: those without an explanation
    explained: Sequence[tuple[str, str]] = ()  #: the others, each with its reason


class Explanations:
    """Why some changes alter nothing; one that explains no survivor is an error."""

    def __init__(self, path: Path = EQUIVALENT) -> None:
        entries = tomllib.loads(path.read_text(encoding="utf-8")).get("change", ())
        self._reasons = {
            (item["module"], item["function"], item["code"], item["what"]): item["why"]
            for item in entries
        }
        self._used: set[tuple[str, str, str, str]] = set()

    def why(self, module: str, mutant: Mutant) -> str | None:
        """Return why a change that no test notices alters nothing, if that is explained."""
        what = mutant.what.partition(" ")[2]
        key = (module, mutant.function, mutant.code, what)
        self._used.add(key)
        return self._reasons.get(key)

    def unused(self, modules: Iterable[str]) -> list[str]:
        """Return the entries about these modules that explained no survivor."""
        unused = self._reasons.keys() - self._used
        return sorted(" ".join(key) for key in unused if key[0] in set(modules))


def mutate(modules: Sequence[str] = MODULES) -> list[Result]:
    """Return the result of each module; print it, and each survivor, as soon as it is there."""
    session = _Session(modules, int(os.environ.get(JOBS, os.cpu_count() or 1)))
    code = pytest.main([*OPTIONS, *TESTS], plugins=[session])
    if code != PASSED or len(session.results) != len(modules):
        raise SystemExit("The tests fail without any mutant.")
    if unused := session.explanations.unused(modules):
        raise SystemExit("\n".join((f"{EQUIVALENT} explains what a test notices:", *unused)))
    return session.results


class _Session:
    """A plugin that runs the collected tests against each mutant, in the place of a normal run."""

    def __init__(self, modules: Sequence[str], jobs: int) -> None:
        self.modules, self.jobs = modules, jobs
        self.results: list[Result] = []
        self.explanations = Explanations()
        self.items: dict[str, pytest.Item] = {}
        self.seconds: dict[str, float] = {}  #: of the processor, by test
        self._running: dict[int, Mutant] = {}
        self._failures: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failures.append(f"{report.nodeid} ({report.when})\n{report.longreprtext}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        session.config.pluginmanager.unregister(name="terminalreporter")
        self.items = {item.nodeid: item for item in session.items}
        with tempfile.TemporaryDirectory() as folder:
            found = Path(folder) / "lines.json"
            measuring = _fork(partial(self._measure, session, found), 900)
            code = os.waitstatus_to_exitcode(os.waitpid(measuring, 0)[1])
            if code != PASSED:
                why = found.read_text(encoding="utf-8") if code == FAILED else f"exit {code}"
                raise pytest.UsageError(f"The tests fail without any mutant: {why}")
            measured = json.loads(found.read_text(encoding="utf-8"))
            lines, self.seconds = measured["lines"], measured["seconds"]
        for module in self.modules:  # the other way of running them passes without a change too
            unchanged = Mutant("", 0, "nothing", Path(module).read_text(encoding="utf-8"))
            if _test_module(module, unchanged, self._files(lines[module])) != PASSED:
                raise pytest.UsageError("The tests fail in a new session.")
            break
        for module in self.modules:
            self.results.append(self._result(session, module, lines[module]))
        return True

    def _result(
        self, session: pytest.Session, module: str, lines: Mapping[str, Sequence[str]]
    ) -> Result:
        mutants = list(mutants_of(Path(module).read_text(encoding="utf-8")))
        survivors, explained = [], []
        for mutant in self._survivors(session, module, mutants, lines):
            why = self.explanations.why(module, mutant)
            if why is None:
                survivors.append(f"{mutant.what}: {mutant.code}")
                sys.stderr.write(f"{module} {survivors[-1]}\n")
            else:
                explained.append((f"{mutant.what}: {mutant.code}", why))
        result = Result(module, len(mutants), sorted(survivors), sorted(explained))
        sys.stderr.write(f"{module}: {len(survivors)} of {len(mutants)} are not noticed")
        sys.stderr.write(f", {len(explained)} more alter nothing\n" if explained else "\n")
        return result

    def _files(self, lines: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the files of the tests that run a module, those with the most tests first."""
        counts: dict[str, int] = {}
        for name in {name for names in lines.values() for name in names}:
            file = name.partition("::")[0]
            counts[file] = counts.get(file, 0) + 1
        return sorted(counts, key=counts.__getitem__, reverse=True) or list(TESTS)

    def _measure(self, session: pytest.Session, found: Path) -> int:
        """Run all tests; write their seconds, and which run each line of a module, fast ones first.

        Where tests fail, write how instead.
        """
        seconds: dict[str, float] = {}
        measured = coverage.Coverage(None, include=list(self.modules), config_file=False)
        with measured.collect():
            for item in session.items:
                began = time.process_time()
                measured.switch_context(item.nodeid)
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
                seconds[item.nodeid] = time.process_time() - began
        if session.testsfailed:
            found.write_text("\n".join(self._failures), encoding="utf-8")
            return FAILED
        data = measured.get_data()
        lines = {
            module: {
                line: sorted(filter(None, tests), key=seconds.__getitem__)
                for line, tests in data.contexts_by_lineno(str(Path(module).absolute())).items()
            }
            for module in self.modules
        }
        found.write_text(json.dumps({"lines": lines, "seconds": seconds}), encoding="utf-8")
        return PASSED

    def _survivors(
        self,
        session: pytest.Session,
        module: str,
        mutants: Sequence[Mutant],
        lines: Mapping[str, Sequence[str]],
    ) -> Iterator[Mutant]:
        """Yield the mutants with which all tests still pass."""
        files = self._files(lines)
        all_tests = sorted(
            {name for names in lines.values() for name in names}, key=self.seconds.__getitem__
        )
        for mutant in mutants:
            while len(self._running) >= self.jobs:
                yield from self._ended()
            tests = lines.get(str(mutant.line), ()) if mutant.function else all_tests
            if mutant.function:
                work = partial(self._test_function, session, module, mutant, tests, files)
            elif mutant.constant:
                work = partial(self._test_constant, session, module, mutant, tests, files)
            else:
                work = partial(_test_module, module, mutant, files)
            limit = LIMIT + TIMES * sum(self.seconds[name] for name in tests)
            self._running[_fork(work, math.ceil(limit))] = mutant
        while self._running:
            yield from self._ended()

    def _ended(self) -> Iterator[Mutant]:
        process, status = os.wait()
        mutant = self._running.pop(process)
        code = os.waitstatus_to_exitcode(status)
        if code == BROKEN:
            raise pytest.UsageError(f"{mutant.what} could not be tested.")
        if code == PASSED:
            yield mutant

    def _test_function(
        self,
        session: pytest.Session,
        module: str,
        mutant: Mutant,
        tests: Sequence[str],
        files: Sequence[str],
    ) -> int:
        try:
            _replace_code(module, mutant)
        except ValueError:  # the new code has other variables of the class around it
            return _test_module(module, mutant, files)
        # Without a test the line runs when the module is loaded, as that of a decorator, or never.
        result = self._test(session, tests) if tests else _test_module(module, mutant, files)
        if result == PASSED and module.startswith(STORES):
            return _test_module(module, mutant, ON_POSTGRESQL)
        return result

    def _test_constant(
        self,
        session: pytest.Session,
        module: str,
        mutant: Mutant,
        tests: Sequence[str],
        files: Sequence[str],
    ) -> int:
        """Replace the constant; a new session where it was used before, or no test notices."""
        if _replace_constant(module, mutant) and self._test(session, tests) == FAILED:
            return FAILED
        return _test_module(module, mutant, files)

    def _test(self, session: pytest.Session, tests: Sequence[str]) -> int:
        for name in tests:
            item = self.items[name]
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
            if session.testsfailed:
                return FAILED
        return PASSED


def _replace_code(module: str, mutant: Mutant) -> None:
    """Give the changed function, and those that it has made, their new code."""
    new = compile(mutant.source, module, "exec")
    names = re.compile(rf"{re.escape(mutant.function)}(\.<locals>\.\w+)*")
    gc.unfreeze()  # `tests/conftest.py` hides what was imported
    found = [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, FunctionType)
        and thing.__code__.co_filename.endswith(module)
        and names.fullmatch(thing.__code__.co_qualname)
    ]
    if not found:
        raise LookupError(mutant.function)
    for function in found:
        function.__code__ = _code_of(new, function.__code__.co_qualname)


def _code_of(code: CodeType, name: str) -> CodeType:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    for candidate in inner:
        if candidate.co_qualname == name:
            return candidate
    return next(_code_of(item, name) for item in inner if name.startswith(f"{item.co_qualname}."))


def _replace_constant(module: str, mutant: Mutant) -> bool:
    """Give a constant its new value in each module; False where one used it when loaded."""
    home = sys.modules[module.removesuffix(".py").replace("/", ".")]
    old = vars(home)[mutant.constant]
    assigned = _value_of(mutant)
    holders = [
        holder
        for holder in list(sys.modules.values())
        if holder is home
        or (
            (holder.__name__ or "").startswith(("bot.", "tests."))
            and vars(holder).get(mutant.constant) is old
            and not re.search(rf"^{mutant.constant}\b", _source(holder), re.MULTILINE)
        )
    ]
    if any(_is_used_at_load(ast.parse(_source(holder)), mutant.constant) for holder in holders):
        return False
    try:
        new = eval(compile(assigned, module, "eval"), vars(home))  # noqa: S307 - a mutant is source
    except Exception:  # noqa: BLE001 - such as a second table of the same name
        return False
    for holder in holders:
        setattr(holder, mutant.constant, new)
    return True


def _source(module: ModuleType) -> str:
    return Path(module.__file__ or "").read_text(encoding="utf-8")


def _value_of(mutant: Mutant) -> ast.Expression:
    for statement in ast.parse(mutant.source).body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ) if name == mutant.constant:
                return ast.Expression(value)
    raise LookupError(mutant.constant)


def _is_used_at_load(node: ast.AST, name: str) -> bool:
    """Whether loading a module reads a name: outside the bodies of its functions."""
    match node:
        case ast.Name(id=used, ctx=ast.Load()):
            return used == name
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            outside = [*node.decorator_list, node.args]
            return any(_is_used_at_load(child, name) for child in outside)
        case ast.Lambda():
            return False
    return any(_is_used_at_load(child, name) for child in ast.iter_child_nodes(node))


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


def _test_module(module: str, mutant: Mutant, tests: Sequence[str]) -> int:
    """Run tests in a new interpreter, which loads the mutant."""
    signal.alarm(PATIENCE if signal.alarm(0) else 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.py"
        path.write_text(mutant.source, encoding="utf-8")
        command = [sys.executable, "-m", "tests.tools.mutation", LOAD, module, str(path), *tests]
        return subprocess.run(command, check=False).returncode


def _load_and_test(module: str, mutant: str, tests: Sequence[str]) -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_OF_SESSION, LIMIT_OF_SESSION))
    sys.meta_path.insert(0, _Loader(module, Path(mutant).read_text(encoding="utf-8")))
    return int(pytest.main([*OPTIONS, *tests]))


def _fork(work: Callable[[], int], seconds: int) -> int:
    """Run work in a child without output, which a signal ends after that time of the processor."""
    process = os.fork()
    if process:
        return process
    code = BROKEN
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, max(seconds, LIMIT_OF_SESSION)))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        code = work()
    finally:
        os._exit(code)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [option, path, changed, *tests] if option == LOAD:
            sys.exit(_load_and_test(path, changed, tests))
        case paths:
            mutate(paths or MODULES)
