"""Reloaded settings: changes that apply, that need a restart, and that are refused."""

import asyncio
from collections.abc import AsyncIterator, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.reload import Reloader
from bot.settings import Settings, load_settings
from bot.startup_checks import report_reload
from tests.support.polling import wait_until
from tests.support.settings import ENOUGH

SHOP, LAB = "5b6212af90dc76637950a2c6", "5b6212af90dc76637950a2c7"
SHOP_TABLE = f'[[projects]]\nname = "shop"\nid = "{SHOP}"\napprovers = ["U1", "S2"]\n'
#: The credentials of organizations.
KEYS = {f"{name}_{part}": f"{name}-{part}".lower() for name in "ABC" for part in ("ID", "SECRET")}


def organization(key: str, rules: str = "") -> str:
    credentials = f'public_key_env = "{key}_ID"\nprivate_key_env = "{key}_SECRET"'
    return f"[[organizations]]\n{credentials}\n{rules}\n"


class CountingReloader(Reloader):
    """Says when it has read the file."""

    on_read: Callable[[], None]

    def _content(self) -> bytes | None:
        content = super()._content()
        self.on_read()
        return content


class ReloadEnvironment:
    """A projects file, and a reloader that follows it."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "projects.toml"
        self.environ = (
            ENOUGH
            | KEYS
            | {
                "MONGODB_ATLAS_PROJECT_ID": "",
                "BOT_PROJECTS_FILE": str(self.file),
            }
        )
        self.file.write_text(SHOP_TABLE)
        self.requested = asyncio.Event()
        self.results: list[bool] = []
        self.parts: list[str] = []  #: what another program writes, one after each read
        self.settings = self.load()  #: what was applied last

    def apply(self, settings: Settings) -> None:
        self.settings = settings

    def load(self) -> Settings:
        return load_settings(self.environ, self.file.parent)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[list[MutableMapping[str, Any]]]:
        self.settings = self.load()
        self.reads = 0
        reloader = CountingReloader(
            settings=self.settings, load=self.load, apply=self.apply, requested=self.requested,
            on_result=lambda *, valid: self.results.append(valid), report=report_reload,
            interval=0.005,
        )  # fmt: skip
        reloader.on_read = self.on_read
        with capture_logs() as logs:
            task = asyncio.create_task(reloader.run())
            await self.further_reads(1)
            yield logs
            task.cancel()

    def on_read(self) -> None:
        self.reads += 1
        if self.parts:
            self.file.write_text(self.parts.pop(0))

    async def further_reads(self, count: int) -> None:
        enough = self.reads + count
        await wait_until(lambda: self.reads >= enough)

    async def reload(self, text: str) -> MutableMapping[str, Any]:
        """Replace the file by `text`, and return the line of the log that says what changed."""
        async with self.running() as logs:
            self.file.write_text(text)
            await self.reloads()
        (line,) = [each for each in logs if each["event"] == "settings reloaded"]
        return line

    async def reloads(self, count: int = 1) -> None:
        await wait_until(lambda: len(self.results) == count)


@pytest.fixture
async def environment(tmp_path: Path) -> ReloadEnvironment:
    return ReloadEnvironment(tmp_path)


async def test_changed_policy_is_applied_and_named(environment: ReloadEnvironment) -> None:
    line = await environment.reload(
        SHOP_TABLE.replace('"U1", "S2"', '"U3"').replace("shop", "store")
        + 'approvals = 1\napproval_ttl = 60\nwatch_channel = "C2"\nquarantine = "observe"\n'
    )

    (project,) = environment.settings.projects
    assert (project.id, project.name, project.policies.default.approvals) == (SHOP, "store", 1)
    assert line["changed"] == [
        "shop: name shop → store",
        "shop: approvals 0 → 1",
        "shop: approvers S2, U1 → U3",
        "shop: approval_ttl 1800 → 60",
        "shop: require_reason false → true",
        "shop: watch_channel not set → C2",
        "shop: quarantine off → observe",
    ]
    assert line["needs_restart"] == []


async def test_changed_entries_of_clusters_are_applied_and_named(
    environment: ReloadEnvironment,
) -> None:
    prod, rest = (
        '[[projects.clusters]]\nnames = ["prod-*"]\n',
        '[[projects.clusters]]\nnames = ["*"]\n',
    )
    environment.file.write_text(f'{SHOP_TABLE}{rest}approvals = 2\nwatch_channel = "none"\n{prod}')
    line = await environment.reload(f'{SHOP_TABLE}{prod}note = "call"\napprovals = 1\n{rest}')

    (project,) = environment.settings.projects
    assert project.policies.of("PROD-eu").approvals == 1
    assert line["changed"] == [
        "shop: clusters [*], [prod-*] → [prod-*], [*]",
        "shop: clusters *: approvals 2 → not set",
        "shop: clusters *: require_reason true → not set",
        "shop: clusters *: watch_channel none → not set",
        "shop: clusters *: ask_starter false → not set",
        "shop: clusters prod-*: approvals not set → 1",
        "shop: clusters prod-*: require_reason not set → true",
        "shop: clusters prod-*: note not set → call",
    ]
    assert line["needs_restart"] == []


async def test_removed_project_keeps_a_name_that_only_a_new_project_has(
    environment: ReloadEnvironment,
) -> None:
    line = await environment.reload(SHOP_TABLE.replace(SHOP, LAB))

    assert [(each.id, each.name) for each in environment.settings.projects] == [(SHOP, "shop")]
    assert (line["changed"], line["needs_restart"]) == ([], ["new: shop", "removed: shop"])


async def test_name_of_a_removed_project_belongs_to_the_one_that_has_it_now(
    environment: ReloadEnvironment,
) -> None:
    lab = SHOP_TABLE.replace(SHOP, LAB)
    environment.file.write_text(SHOP_TABLE + lab.replace("shop", "lab"))
    line = await environment.reload(lab)

    assert {each.id: each.name for each in environment.settings.projects} == {
        SHOP: SHOP,
        LAB: "shop",
    }
    assert line["needs_restart"] == [f"removed: {SHOP}"]


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        (f"{SHOP_TABLE}approvals = 9", 'project "shop": approvals must be a whole number'),
        (f"{SHOP_TABLE}approvals = 5\nself_approval = maybe", "not valid TOML"),
        ("", "must have one [[projects]] or more"),
    ],
)
async def test_invalid_file_changes_nothing_and_says_why(
    environment: ReloadEnvironment, toml: str, why: str
) -> None:
    async with environment.running() as logs:
        before = environment.settings
        environment.file.write_text(toml)
        await environment.reloads()

        assert environment.settings is before
        environment.file.write_text(f"{SHOP_TABLE}approvals = 2")
        await environment.reloads(2)
    (line,) = [each for each in logs if each["log_level"] == "error"]

    assert why in str(line["why"])
    assert environment.results == [False, True]
    assert environment.settings.projects[0].policies.default.approvals == 2


async def test_file_that_is_being_written_or_unchanged_is_not_read_again(
    environment: ReloadEnvironment,
) -> None:
    environment.parts = [*(f"{SHOP_TABLE}# {part}" for part in range(20)), SHOP_TABLE]
    async with environment.running():
        await environment.further_reads(25)

    assert environment.results == []


async def test_request_reads_all_variables_and_names_what_needs_a_restart(
    environment: ReloadEnvironment,
) -> None:
    async with environment.running() as logs:
        environment.environ |= {
            "BOT_CHANNELS": "C1",
            "SLACK_BOT_TOKEN": "xoxb-3-4-def",
            "MONGODB_ATLAS_PRIVATE_API_KEY": "0a1b-other",
            "PORT": "8080",
            "BOT_AUDIT_WEBHOOK_URL": "https://audit.example/hook",
            "BOT_AUDIT_WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
            "BOT_APROVALS": "2",
        }
        environment.file.write_text(
            SHOP_TABLE + SHOP_TABLE.replace(SHOP, LAB).replace("shop", "lab")
        )
        environment.requested.set()
        await environment.reloads()

    (project,) = environment.settings.projects
    assert (project.id, project.policies.default.channels) == (SHOP, frozenset({"C1"}))
    line, warning = [each for each in logs if each["event"].startswith("setting")]
    assert line["changed"] == ["shop: channels none → C1"]
    assert line["needs_restart"] == [
        "PORT",
        "SLACK_BOT_TOKEN",
        "BOT_AUDIT_WEBHOOK_URL",
        "BOT_AUDIT_WEBHOOK_SECRET",
        "new: lab",
        "credentials of shop",
    ]
    assert "BOT_APROVALS (did you mean BOT_APPROVALS?)" in warning["why"]
    assert not [
        name
        for name, value in environment.environ.items()
        if name.endswith(("TOKEN", "PRIVATE_API_KEY", "SECRET")) and value in str(logs)
    ]


TWO, NONE, OTHER = "approvals = 2", "approvals = 0", 'exclude = ["*-lab"]'
A, B, C = "organization a-id", "organization b-id", "organization c-id"


@pytest.mark.parametrize(
    ("text", "approvals", "changed", "needs_restart"),
    [
        pytest.param(
            [("B", OTHER)], [2, 0], [f"{B}: exclude none → *-lab"], [f"removed: {A}"], id="removed"
        ),
        pytest.param([("B", NONE), ("A", TWO)], [0, 2], [], [], id="swapped"),
        pytest.param(
            [("C", NONE), ("A", "approvals = 1"), ("B", NONE)],
            [1, 0],
            [f"{A}: approvals 2 → 1"],
            [f"new: {C}"],
            id="inserted",
        ),
        pytest.param(
            [("A", NONE), ("A", TWO), ("B", TWO)],
            [2, 2],
            [f"{B}: approvals 0 → 2", f"{B}: require_reason false → true"],
            [f"new: {A}", f"removed: {A}"],
            id="another table of the same credentials",
        ),
    ],
)
async def test_organization_is_known_by_its_credentials(
    environment: ReloadEnvironment,
    text: list[tuple[str, str]],
    approvals: list[int],
    changed: list[str],
    needs_restart: list[str],
) -> None:
    environment.file.write_text(organization("A", TWO) + organization("B", NONE))
    line = await environment.reload("".join(organization(*each) for each in text))

    found = [each.policies.default.approvals for each in environment.settings.organizations]
    assert (found, line["changed"], line["needs_restart"]) == (approvals, changed, needs_restart)


async def test_tables_of_one_organization_match_in_order_and_another_secret_needs_a_restart(
    environment: ReloadEnvironment,
) -> None:
    tables = [organization("A", 'include = ["prod-*"]\n' + TWO), organization("A", NONE)]
    environment.file.write_text("".join(tables))
    environment.environ["C_ID"] = environment.environ["A_ID"]
    tables[0] = tables[0].replace("A_", "C_").replace(TWO, "approvals = 1")
    line = await environment.reload("".join(tables))

    first, second = environment.settings.organizations
    assert (first.policies.default.approvals, second.policies.default.approvals) == (1, 0)
    assert first.credentials == second.credentials
    assert line["changed"] == [f"{A}: approvals 2 → 1"]
    assert line["needs_restart"] == [f"credentials of {A}"]
