"""The workflows and the release: pinned actions, least permissions, one version everywhere."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]


def jobs(name: str) -> dict[str, Any]:
    read = yaml.safe_load(Path(f".github/workflows/{name}.yml").read_text(encoding="utf-8"))
    found: dict[str, Any] = read["jobs"]
    return found


def step(name: str) -> dict[str, Any]:
    steps = (each for job in jobs("release").values() for each in job.get("steps", ()))
    (found,) = (each for each in steps if each.get("name") == name)
    return dict(found)


def test_ci_runs_the_script_that_people_run() -> None:
    assert {"run": "bash .ci/run"} in jobs("ci")["everything"]["steps"]


def test_release_waits_for_ci_and_the_scan_of_each_image() -> None:
    release = jobs("release")
    platforms = [each["platform"] for each in release["image"]["strategy"]["matrix"]["include"]]
    needs = {name: job.get("needs") for name, job in release.items()}

    assert release["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert needs == {
        "ci": None,
        "packages": "ci",
        "image": "packages",
        "release": ["packages", "image"],
        "pypi": ["packages", "release"],
    }
    assert platforms == ["amd64", "arm64"]
    assert step("Scan of the image")["with"]["severity-cutoff"] == "high"


def test_pypi_trusts_the_identity_of_one_job_that_runs_no_script() -> None:
    pypi = jobs("release")["pypi"]

    assert pypi["permissions"] == {"id-token": "write"}
    assert [each for each in pypi["steps"] if "run" in each] == []
    assert "secrets." not in Path(".github/workflows/release.yml").read_text(encoding="utf-8")


def run_script(script: str, folder: Path, **environ: str) -> int:
    """Run a step's script as GitHub does; return its exit code."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = ["/bin/bash", "-e", "-o", "pipefail", "-c", script]
    done = subprocess.run(command, cwd=folder, env={"PATH": path, **environ}, check=False)
    return done.returncode


@pytest.mark.parametrize(
    ("tag", "date", "code"),
    [
        (f"v{VERSION}", "2027-01-31", 0),
        (f"v{VERSION}", "unreleased", 1),
        ("v0.0.1", "2027-01-31", 1),
        (VERSION, "2027-01-31", 1),
    ],
)
def test_release_refuses_a_tag_that_is_not_the_version_and_a_changelog_without_its_date(
    tag: str, date: str, code: int, tmp_path: Path
) -> None:
    shutil.copy("pyproject.toml", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} - {date}\n")
    check = step("The tag is the version, and the changelog has it")["run"]
    output = tmp_path / "output"

    assert run_script(check, tmp_path, GITHUB_REF_NAME=tag, GITHUB_OUTPUT=str(output)) == code
    assert output.exists() is (code == 0)


def test_notes_of_the_release_are_its_part_of_the_changelog(tmp_path: Path) -> None:
    (awk,) = (line for line in step("Release")["run"].splitlines() if line.startswith("awk"))
    text = Path("CHANGELOG.md").read_text(encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    code = run_script(awk, tmp_path, VERSION=VERSION)
    notes = (tmp_path / "notes.md").read_text(encoding="utf-8")

    assert code == 0
    part = text.partition(f"## {VERSION} - ")[2].partition("\n## ")[0]
    assert notes.strip() == part.partition("\n")[2].strip()


def test_pythons_of_ci_are_those_that_the_package_names_and_the_newest_which_may_fail() -> None:
    named = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    debian, newest = {"3.13"}, {"3.14"}
    job = jobs("ci")["pythons"]

    assert {*job["strategy"]["matrix"]["python"]} == named - debian | newest
    assert job["continue-on-error"] == "${{ matrix.python == '3.14' }}"


def test_image_is_built_and_started_on_each_pull_request_and_each_night() -> None:
    assert jobs("ci")["image"] == {"uses": "./.github/workflows/image.yml"}
    for name in ("image", "nightly"):
        assert {"run": "bash .ci/image"} in jobs(name)["image"]["steps"]


def test_failed_step_of_the_night_loses_no_result_of_the_others() -> None:
    steps = jobs("nightly")["evidence"]["steps"]
    runs = [step.get("run", "") for step in steps]
    first = runs.index(".venv/bin/python -m tests.tools.nightly")

    conditions = {step.get("if") for step in steps[first + 1 :]}
    assert conditions == {"!cancelled()", "always()"}


def test_version_of_the_examples_is_that_of_the_package() -> None:
    example = Path("docs/deploy/kubernetes.yaml").read_text(encoding="utf-8")

    assert f"image: cancel-restore:{VERSION} " in example
