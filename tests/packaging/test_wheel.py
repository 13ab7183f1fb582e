"""The installed package is complete: the program works from the wheel, without the sources."""

import os
import subprocess
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile


def test_wheel_has_exactly_the_files_of_the_package(wheel: Path, sources: Path) -> None:
    source_files = {
        str(path.relative_to(sources)) for path in sources.glob("bot/**/*") if path.is_file()
    }
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert packed == source_files


def test_wheel_has_the_readme_and_the_licence(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        read = message_from_bytes(archive.read(metadata))

    assert read.get_payload(decode=True) == Path("README.md").read_bytes()
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_installed_program_is_the_one_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    printed = subprocess.run(
        [installed / "python", "-c", "import bot; print(bot.__file__)"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert Path(printed.strip()).is_relative_to(installed.parent)
