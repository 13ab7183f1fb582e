"""`cancel-restore doctor` as a process: its exit code, its last line, and no secret."""

import json
from collections.abc import AsyncIterator

import pytest

from bot.sandbox.atlas import PRIVATE_KEY, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from tests.support.environ import NOWHERE, bot_environ
from tests.support.process import CommandResult, execute


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlackServer]:
    async with FakeSlackServer() as slack:
        yield slack


@pytest.fixture
async def environ(slack: FakeSlackServer, tmp_path: object) -> AsyncIterator[dict[str, str]]:
    async with FakeAtlasServer() as atlas:
        yield bot_environ(slack, atlas, f"sqlite:///{tmp_path}/bot.db") | {
            "BOT_CHANNEL": "C0OPS00001"
        }


async def doctor(environ: dict[str, str], *arguments: str) -> CommandResult:
    process = await execute(environ, "doctor", *arguments)
    out, err = await process.communicate()
    return CommandResult(code=process.returncode or 0, out=out.decode(), err=err.decode())


async def test_report_of_a_good_installation_ends_with_0(environ: dict[str, str]) -> None:
    ran = await doctor(environ)

    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1].startswith("No problem found")
    assert "problem  " not in ran.out


async def test_report_without_slack_is_no_all_clear(environ: dict[str, str]) -> None:
    without = {name: value for name, value in environ.items() if not name.startswith("SLACK_")}
    ran = await doctor(without)

    assert ran.code == 0
    assert "Slack was not checked" in ran.out
    assert "1 check could not be made" in ran.out.splitlines()[-1]


async def test_all_problems_are_reported_as_json_without_a_secret(
    slack: FakeSlackServer, environ: dict[str, str]
) -> None:
    broken = environ | {
        "SLACK_API_URL": f"{NOWHERE}/api/",
        "MONGODB_ATLAS_BASE_URL": NOWHERE,
        "DATABASE_URL": "postgresql://bot:sesame-password@127.0.0.1:1/bot",
    }
    ran = await doctor(broken, "--json")
    report = json.loads(ran.out)

    assert (ran.code, report["ok"], ran.err) == (1, False, "")
    assert [item["check"] for item in report["checks"] if item["level"] == "problem"] == [
        *("slack_token", "slack_app_token", "atlas", "database"),
    ]
    secrets = (slack.bot_token, slack.app_token, PRIVATE_KEY, "sesame-password")
    assert [secret for secret in secrets if secret in ran.out] == []


async def test_wrong_setting_ends_with_2_and_names_it(environ: dict[str, str]) -> None:
    ran = await doctor(environ | {"BOT_APPROVALS": "6"})

    assert (ran.code, ran.out) == (2, "")
    assert "BOT_APPROVALS" in ran.err
