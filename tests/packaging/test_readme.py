"""Each command of the README works, from the wheel, between the fake servers."""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import RUNNING
from tests.packaging.conftest import until_ready

README = Path("README.md").read_text(encoding="utf-8")

#: Seconds for one command, and until the bot is ready.
TIMEOUT = 60

#: The steps that the fixture `installed` took, with the wheel of these sources.
SET_UP = ["python3 -m venv .venv", ".venv/bin/pip install -q ."]


def steps(section: str) -> list[str]:
    """Return the commands of a section's code blocks, without their comments."""
    text = README.partition(f"## {section}\n")[2].partition("\n## ")[0] or README
    lines = re.findall(r"^ {4,}(\S.*)", text.replace("\\\n", " "), re.MULTILINE)
    return [step for line in lines for step in line.partition("   #")[0].strip().split(" && ")]


@dataclass(frozen=True, slots=True)
class ReadmeReader:
    """A folder with a checkout, in which a person types the commands of the README."""

    folder: Path

    def fill_in(self, values: Mapping[str, str]) -> None:
        """Replace lines of `.env`, also those that are comments."""
        file = self.folder / ".env"
        text = file.read_text(encoding="utf-8")
        for name, value in values.items():
            text, found = re.subn(rf"(?m)^#?{name}=.*$", f"{name}={value}", text)
            assert found == 1, name
        file.write_text(text, encoding="utf-8")

    async def start(self, step: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_shell(
            f"exec {step}",
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LC_ALL": "C.UTF-8"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, step: str) -> str:
        """Return the output of a command; it must end with 0 and without an error."""
        process = await self.start(step)
        async with asyncio.timeout(TIMEOUT):
            out, err = await process.communicate()
        assert (process.returncode, err.decode()) == (0, ""), out.decode()
        return out.decode()


@pytest.fixture
def reader(installed: Path, tmp_path: Path) -> ReadmeReader:
    shutil.copy(".env.example", tmp_path)
    (tmp_path / ".venv").symlink_to(installed.parent)
    return ReadmeReader(tmp_path)


def atlas_lines(atlas: FakeAtlasServer) -> dict[str, str]:
    return {
        "MONGODB_ATLAS_PUBLIC_API_KEY": PUBLIC_KEY,
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEY,
        "MONGODB_ATLAS_PROJECT_ID": PROJECT_ID,
        "MONGODB_ATLAS_BASE_URL": atlas.url,
        "PORT": "0",
    }


async def test_first_command_plays_one_cancellation(reader: ReadmeReader) -> None:
    *set_up, demo = steps("")[:3]
    output = await reader.run(demo)

    assert set_up == SET_UP
    assert output.index("  0:00  A download") < output.index("  1:22  The thread")
    assert "In Atlas the job is cancelled; DELETEs sent: 1." in output


async def test_first_steps_need_an_atlas_key_alone(reader: ReadmeReader) -> None:
    copy, doctor, listing, show = steps("First steps with an Atlas key alone")
    async with FakeAtlasServer() as atlas:
        await reader.run(copy)
        reader.fill_in(atlas_lines(atlas))
        checked = await reader.run(doctor)
        listed = await reader.run(listing)
        shown = await reader.run(show.replace("CLUSTER JOB_ID", " ".join(RUNNING)))

    assert "Slack: it is not set up yet" in checked
    assert "No problem" in checked
    assert RUNNING[1] in listed
    assert "dana@shop.example" in shown


async def test_steps_with_slack_end_in_a_bot_that_is_ready(reader: ReadmeReader) -> None:
    (manifest,) = re.findall(r"`(\.venv/bin/cancel-restore manifest)`", README)
    _libraries, _program, doctor, serve, *_ = steps("With Slack")
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        lines = atlas_lines(atlas) | {
            "SLACK_BOT_TOKEN": slack.bot_token,
            "SLACK_APP_TOKEN": slack.app_token,
            "SLACK_API_URL": slack.api_url,
        }
        app = yaml.safe_load(await reader.run(manifest))
        slack.workspace.app.scopes = set(app["oauth_config"]["scopes"]["bot"])
        await reader.run(steps("First steps with an Atlas key alone")[0])
        reader.fill_in(lines)
        checked = await reader.run(doctor)
        bot = await reader.start(serve)
        try:
            await until_ready(bot, bot.stderr)
            ack = await slack.people.types("rina", "ops", "/cancel-restore list")
            bot.send_signal(signal.SIGTERM)
            async with asyncio.timeout(15):
                await bot.communicate()
        finally:
            if bot.returncode is None:
                bot.kill()

    assert "No problem" in checked
    assert "not set up" not in checked
    assert (ack.ok, bot.returncode) == (True, 0)


@pytest.mark.parametrize("page", ["Dockerfile", "docs/deploy/README.md"])
def test_what_serves_is_installed_by_its_hashes_everywhere(page: str) -> None:
    libraries, program, *_ = steps("With Slack")
    text = Path(page).read_text(encoding="utf-8")

    assert libraries == ".venv/bin/pip install -q --require-hashes -r requirements.txt"
    assert program == ".venv/bin/pip install -q --no-deps --no-build-isolation ."
    for step in (libraries, program):
        assert f"/bin/pip install {step.partition(' -q ')[2]}" in text


def test_container_runs_without_capabilities_and_new_privileges() -> None:
    (run,) = (step for step in steps("With Slack") if step.startswith("docker run"))

    assert {"--read-only", "--cap-drop", "--security-opt"} <= set(run.split())
    assert "--cap-drop ALL --security-opt no-new-privileges" in run


def test_command_for_the_tests_is_that_of_ci() -> None:
    *set_up, test = steps("More")

    assert set_up == [SET_UP[0], ".venv/bin/pip install -q -e '.[dev]'"]
    assert test.removeprefix(".venv/bin/") == "python -m pytest -n 4"
    assert "pytest -n 4" in Path(".ci/run").read_text(encoding="utf-8")


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 120
