"""Both fake servers, valid settings, and doctor's results for changed ones."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.doctor.results import CheckResult, Level
from bot.doctor.run import run_checks
from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.settings import Settings, load_settings
from tests.acceptance.environment import environment


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorEnvironment:
    """Both fake servers, and the settings with which all is well."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    folder: Path

    def environ(self, changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """Return the variables, with the changes applied; None removes one."""
        given: dict[str, str | None] = {
            **environment(self.slack, self.atlas, self.folder),
            "BOT_REQUESTERS": "U0RINA0001,U0ADA00001",
            "BOT_APPROVALS": "1",
            "BOT_APPROVERS": "S0APPROVE1",
            "BOT_CHANNELS": "C0OPS00001",
            **(changes or {}),
        }
        return {name: value for name, value in given.items() if value is not None}

    def settings(self, changes: Mapping[str, str | None] | None = None) -> Settings:
        return load_settings(self.environ(changes), self.folder)

    async def examine(
        self,
        changes: Mapping[str, str | None] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> list[CheckResult]:
        return await run_checks(self.settings(changes), now=now)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[DoctorEnvironment]:
    async with FakeAtlasServer() as atlas, FakeSlackServer() as slack:
        slack.workspace.app.scopes.add("chat:write.public")
        for credential in (*atlas.world.keys.values(), *atlas.world.service_accounts.values()):
            credential.access_list = ["127.0.0.1/32"]
        yield DoctorEnvironment(slack=slack, atlas=atlas, folder=folder)


def at(level: Level, findings: list[CheckResult]) -> list[tuple[str, str]]:
    return [(found.check, found.subject) for found in findings if found.level is level]


def the(findings: list[CheckResult], check: str, about: str = "") -> CheckResult:
    """Return the one finding of a check whose subject has `about` in it."""
    (found,) = (f for f in findings if f.check == check and about in f.subject)
    return found
