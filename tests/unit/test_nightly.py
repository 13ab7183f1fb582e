"""The tools of the night: the changes that mutation makes, and the figures of the page."""

import pytest

from tests.tools.mutants import mutants_of
from tests.tools.nightly import Coverage, coverage_of, updated


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("return a < b", {"return a <= b", "return None"}),
        ("return a is not b", {"return a is b", "return None"}),
        ("return a and b", {"return a or b", "return None"}),
        ("return not a", {"return a", "return None"}),
        ("return a + 1", {"return a - 1", "return a + 2", "return None"}),
        ("if a: send()", {"if not a: send()", "if a: pass"}),
        ("move(state=True)", {"move(state=False)", "move()", "pass"}),
        ("raise Refused", {"pass"}),
        ("count += a", {"pass"}),
        ("log.info('sent', job=a)", set()),
        ("'A docstring.'", set()),
    ],
)
def test_each_change_is_made_alone(line: str, changed: set[str]) -> None:
    mutants = list(mutants_of(f"def f(a: int = b) -> bool:\n    {line}\n"))

    bodies = [mutant.source.split("\n", 1)[1] for mutant in mutants]
    assert {" ".join(body.split()) for body in bodies} == changed
    assert {(mutant.function, mutant.line) for mutant in mutants} <= {("f", 2)}


def test_change_is_named_by_the_outermost_function_or_belongs_to_the_module() -> None:
    source = "class A:\n    n = 1\n    def f(self):\n        def g():\n            return 1 < 2\n"

    found = {(mutant.function, mutant.line) for mutant in mutants_of(source)}

    assert found == {("", 0), ("A.f", 5)}


def test_figures_replace_the_ones_before() -> None:
    page = "# Reliability\n\n## Figures\n\nNot measured yet.\n"

    assert updated(page, iter(["A figure."])) == "# Reliability\n\n## Figures\n\nA figure.\n"


def test_coverage_counts_lines_and_branches_of_all_files_and_of_the_core() -> None:
    summary = {"num_statements": 8, "num_branches": 2, "covered_lines": 8, "covered_branches": 2}
    worse = {**summary, "covered_lines": 3, "covered_branches": 0}
    report = {"files": {"bot/a/x.py": {"summary": summary}, "bot/y.py": {"summary": worse}}}

    assert coverage_of(report, {"a.x"}) == Coverage(bot=65.0, core=100.0)
