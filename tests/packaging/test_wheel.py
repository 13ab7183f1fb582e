"""The installed package is complete: the program works from the wheel, without the sources."""

import os
import re
import subprocess
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_wheel_has_exactly_the_files_of_the_package(wheel: Path, sources: Path) -> None:
    source_files = {
        str(path.relative_to(sources)) for path in sources.glob("bot/**/*") if path.is_file()
    }
    with ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert packed == source_files
    assert {"bot/py.typed", "bot/demo/page/index.html"} <= packed


def test_description_of_the_package_has_no_link_that_works_in_the_repository_alone(
    metadata: Message,
) -> None:
    text = metadata.get_payload()
    links = re.findall(r"\]\(([^)]*)\)", str(text))
    title = Path("README.md").read_text(encoding="utf-8").splitlines()[0]

    assert [link for link in links if not link.startswith(("https://", "http://", "#"))] == []
    assert str(text).startswith(title)


def test_package_names_the_pythons_that_it_needs(metadata: Message) -> None:
    named = [
        line.rpartition(" ")[2]
        for line in metadata.get_all("Classifier", [])
        if "Python :: 3." in line
    ]

    assert metadata["Requires-Python"] == f">={named[0]}"


def test_installed_program_is_the_one_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    def run(*command: str | Path) -> str:
        surroundings = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            command, env=surroundings, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    found = run(installed / "python", "-c", "import bot; print(bot.__file__)")

    assert Path(found.strip()).is_relative_to(installed.parent)
    assert "serve" in run(installed / "cancel-restore", "--help")
