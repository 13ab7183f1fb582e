"""What is installed is whole: the program works from the wheel alone, away from the sources."""

import os
import subprocess
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile


def run_away(folder: Path, *command: str | Path) -> tuple[str, str, int]:
    """Run a command in an environment without a word of the sources."""
    done = subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout, done.stderr, done.returncode


def test_wheel_has_exactly_the_files_of_the_package(wheel: Path, sources: Path) -> None:
    ours = {str(path.relative_to(sources)) for path in sources.glob("bot/**/*") if path.is_file()}
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert packed == ours


def test_wheel_has_the_readme_and_the_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        read = message_from_bytes(archive.read(metadata))

    assert read.get_payload(decode=True) == Path("README.md").read_bytes()
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_installed_program_is_the_one_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    program = "import bot; print(bot.__file__)"
    printed, *_ = run_away(tmp_path, installed / "python", "-c", program)

    assert Path(printed.strip()).is_relative_to(installed.parent)


def test_demo_script_runs_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    printed, *end = run_away(tmp_path, installed / "cancel-restore", "demo", "--script")

    assert end == ["", 0]
    assert printed.splitlines()[-1] == "In Atlas the job is cancelled; DELETEs sent: 1."
