"""The nightly command: what a part that fails leaves of the others."""

import sys
from pathlib import Path

import pytest


def test_part_that_fails_loses_no_result_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("coverage")  # of the dependency group `nightly`
    from tests.tools import nightly  # noqa: PLC0415

    def fail() -> nightly.Part:
        raise SystemExit("The tests fail without any mutant.")

    page = tmp_path / "page.md"
    page.write_text("### Kills\n\nold\n\n### Model\n\nold\n", "utf-8")
    monkeypatch.setattr(nightly, "PAGE", page)
    monkeypatch.setattr(nightly, "REPORTS", tmp_path / "reports")
    parts = {"kills": fail, "model": lambda: nightly.Part(["| new |"])}
    monkeypatch.setattr(nightly, "PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["nightly"])

    with pytest.raises(SystemExit, match=r"kills(?s:.*)without any mutant"):
        nightly.main()

    _, _, model = page.read_text("utf-8").partition("### Model")
    assert "| new |" in model
