"""Reloaded settings: changes that apply, that need a restart, and that are refused."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.reload import Reloader
from bot.services.projects import Project, Projects
from bot.settings import Settings, load_settings
from tests.support.atlas_client import AtlasClient
from tests.support.polling import wait_until
from tests.unit.settings.test_load import ENOUGH

SHOP, LAB = "5b6212af90dc76637950a2c6", "5b6212af90dc76637950a2c7"
SHOP_TABLE = f'[[projects]]\nname = "shop"\nid = "{SHOP}"\napprovers = ["U1", "S2"]\n'


class ReloadEnvironment:
    """A projects file, and a reloader that follows it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "projects.toml"
        self.environ = ENOUGH | {
            "MONGODB_ATLAS_PROJECT_ID": "",
            "BOT_PROJECTS_FILE": str(self.file),
        }
        self.file.write_text(SHOP_TABLE)
        self.requested = asyncio.Event()
        self.results: list[bool] = []
        self.projects = Projects([])

    def load(self) -> Settings:
        return load_settings(self.environ, self.file.parent)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[MutableMapping[str, Any]]]:
        settings = self.load()
        (shop,) = settings.projects
        atlas = AtlasClient(shop.credentials)
        self.projects = Projects([Project(id=SHOP, name="shop", policy=shop.policy, atlas=atlas)])
        reloader = Reloader(
            settings=settings, projects=self.projects, load=self.load, requested=self.requested,
            on_result=lambda *, valid: self.results.append(valid), interval=0.02,
        )  # fmt: skip
        with capture_logs() as logs:
            task = asyncio.create_task(reloader.run())
            await asyncio.sleep(0.1)
            yield logs
            task.cancel()
        await atlas.aclose()

    async def reloads(self, count: int = 1) -> None:
        await wait_until(lambda: len(self.results) == count)


@pytest.fixture
async def environment(tmp_path: Path) -> ReloadEnvironment:
    return ReloadEnvironment(tmp_path)


async def test_changed_policy_is_applied_and_named(environment: ReloadEnvironment) -> None:
    async with environment.running() as logs:
        environment.file.write_text(
            SHOP_TABLE.replace('"U1", "S2"', '"U3"').replace("shop", "store")
            + "approvals = 1\napproval_ttl = 60\n"
        )
        await environment.reloads()

    assert environment.projects.find("store") is environment.projects.find(SHOP)
    assert environment.projects.all[0].policy.approvals == 1
    (line,) = [each for each in logs if each["event"] == "settings reloaded"]
    assert line["changed"] == [
        "shop: name shop → store",
        "shop: approvals 0 → 1",
        "shop: approvers S2, U1 → U3",
        "shop: approval_ttl 1800 → 60",
        "shop: require_reason false → true",
    ]
    assert line["needs_restart"] == []


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        (f"{SHOP_TABLE}approvals = 9", 'line 5, project "shop": approvals must be a whole number'),
        (f"{SHOP_TABLE}approvals = 5\nself_approval = maybe", "not valid TOML"),
        ("", "must have one [[projects]] or more"),
    ],
)
async def test_invalid_file_changes_nothing_and_says_why(
    environment: ReloadEnvironment, toml: str, why: str
) -> None:
    async with environment.running() as logs:
        before = environment.projects.all
        environment.file.write_text(toml)
        await environment.reloads()

        assert environment.projects.all == before
        environment.file.write_text(f"{SHOP_TABLE}approvals = 2")
        await environment.reloads(2)
    (line,) = [each for each in logs if each["log_level"] == "error"]

    assert why in str(line["why"])
    assert environment.results == [False, True]
    assert environment.projects.all[0].policy.approvals == 2


async def test_unchanged_file_is_not_read_again(environment: ReloadEnvironment) -> None:
    async with environment.running():
        environment.file.write_text(SHOP_TABLE)
        await asyncio.sleep(0.2)

    assert environment.results == []


async def test_request_reads_all_variables_and_names_what_needs_a_restart(
    environment: ReloadEnvironment,
) -> None:
    async with environment.running() as logs:
        environment.environ |= {
            "BOT_CHANNELS": "C1",
            "SLACK_BOT_TOKEN": "xoxb-3-4-def",
            "MONGODB_ATLAS_PRIVATE_API_KEY": "0a1b-other",
            "BOT_WATCH_CHANNEL": "C2",
            "PORT": "8080",
        }
        environment.file.write_text(
            SHOP_TABLE + SHOP_TABLE.replace(SHOP, LAB).replace("shop", "lab")
        )
        environment.requested.set()
        await environment.reloads()

    assert environment.projects.all[0].policy.channels == {"C1"}
    assert [project.id for project in environment.projects.all] == [SHOP]
    (line,) = [each for each in logs if each["event"] == "settings reloaded"]
    assert line["changed"] == ["shop: channels none → C1"]
    assert sorted(line["needs_restart"]) == [
        "PORT",
        "SLACK_BOT_TOKEN",
        "credentials of shop",
        "new project lab",
        "watch_channel of shop",
    ]
