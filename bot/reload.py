"""Reloads the policies of projects: at SIGHUP, and when the projects file has changed."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from bot.cancellation.people import People
from bot.services.projects import Projects
from bot.settings import (
    OrganizationSettings,
    PolicyHolder,
    ProjectSettings,
    Settings,
    SettingsError,
    warnings,
)
from bot.settings.policy import POLICY_KEYS
from bot.tasks import wait_up_to
from bot.timings import Timings

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Reloader:
    """Applies changed policies without a restart; settings with a problem change nothing."""

    settings: Settings
    projects: Projects
    load: Callable[[], Settings]
    requested: asyncio.Event
    on_result: Callable[..., None]  #: takes `valid`, whether the settings could be read
    on_organizations: Callable[[Iterable[OrganizationSettings]], None] = lambda _: None
    interval: float = Timings.projects_file_interval

    async def run(self) -> None:
        applied = seen = await asyncio.to_thread(self._content)
        while True:
            await wait_up_to(self.interval, self.requested)
            before, seen = seen, await asyncio.to_thread(self._content)
            # A file may be half written: it counts once two reads are equal.
            if self.requested.is_set() or (seen != applied and seen == before):
                self.requested.clear()
                applied = seen
                await self._reload()

    def _content(self) -> bytes | None:
        file = self.settings.projects_file
        try:
            return Path(file).read_bytes() if file else None
        except OSError:
            return None

    async def _reload(self) -> None:
        try:
            new = await asyncio.to_thread(self.load)
        except SettingsError as error:
            self.on_result(valid=False)
            log.error("settings not reloaded: nothing is changed", why=error.problems)  # noqa: TRY400 - the sentences say it
        except Exception:
            log.exception("settings not reloaded: nothing is changed")
        else:
            self.on_result(valid=True)
            self._apply(new)

    def _apply(self, new: Settings) -> None:
        old, self.settings = self.settings, merge(self.settings, new)
        for project in self.settings.projects:
            fields = {"policy": project.policy, "watch_channel": project.watch_channel}
            name = {"name": project.name} if project.name else {}
            self.projects.update({project.id: {**fields, **name}})
        self.on_organizations(self.settings.organizations)
        log.info(
            "settings reloaded",
            changed=list(changes(old, self.settings)),
            needs_restart=list(needs_restart(self.settings, new)),
        )
        for warning in sorted(set(warnings(self.settings)) - set(warnings(old))):
            log.warning("setting needs attention", why=warning)


def merge(old: Settings, new: Settings) -> Settings:
    """Return `old` with what may change without a restart: names, policies, watch channels."""
    found = {project.id: project for project in new.projects}
    projects = tuple(_merge_project(p, found.get(p.id, p)) for p in old.projects)
    by_name = {organization.name: organization for organization in new.organizations}
    organizations = tuple(
        by_name.get(each.name, each).model_copy(update={"credentials": each.credentials})
        for each in old.organizations
    )
    return old.model_copy(update={"projects": projects, "organizations": organizations})


def _merge_project(old: ProjectSettings, new: ProjectSettings) -> ProjectSettings:
    update = {"name": new.name or old.name, "policy": new.policy}
    if old.watch_channel and new.watch_channel:  # a watch begins and ends with the process
        update["watch_channel"] = new.watch_channel
    return old.model_copy(update=update)


def changes(old: Settings, new: Settings) -> Iterator[str]:
    """Yield what differs between the same projects, as `shop: approvals 1 → 2`."""
    for before, after in zip(old.policy_holders, new.policy_holders, strict=True):
        was, now = _facts(before), _facts(after)
        for key in was:
            if was[key] != now[key]:
                yield f"{before.label}: {key} {_shown(was[key])} → {_shown(now[key])}"


def needs_restart(now: Settings, wanted: Settings) -> Iterator[str]:
    """Yield what the settings ask for that only a restart does."""
    models = ((now.slack, wanted.slack), (now.atlas, wanted.atlas), (now, wanted))
    for old, new in models:
        for name, field in type(old).model_fields.items():
            if field.description and getattr(old, name) != getattr(new, name):
                yield str(field.alias)
    if now.tracing != wanted.tracing:
        yield "OTEL_TRACES_EXPORTER"
    if now.audit_webhook != wanted.audit_webhook:
        yield "BOT_AUDIT_WEBHOOK_URL, BOT_AUDIT_WEBHOOK_SECRET"
    before, after = ({each.id: each for each in every.projects} for every in (now, wanted))
    yield from (f"new project {after[each].label}" for each in after.keys() - before.keys())
    yield from (f"removed project {before[each].label}" for each in before.keys() - after.keys())
    for each in before.keys() & after.keys():
        for name in ("credentials", "watch_channel"):
            if getattr(before[each], name) != getattr(after[each], name):
                yield f"{name} of {before[each].label}"
    logins = [[each.credentials for each in every.organizations] for every in (now, wanted)]
    if logins[0] != logins[1]:
        yield "credentials or number of the organizations"


def _facts(project: PolicyHolder) -> dict[str, Any]:
    policy, quarantine = project.policy, project.policy.quarantine
    return {
        "name": project.name,
        **{key: getattr(policy, key) for key in POLICY_KEYS if hasattr(policy, key)},
        "quarantine": quarantine.mode,
        **{f"quarantine_{key}": getattr(quarantine, key) for key in ("grace", "expected", "limit")},
        "watch_channel": project.watch_channel,
    }


def _shown(value: object) -> str:
    match value:
        case People():
            return ", ".join(["*"] * value.everyone + sorted(value.users | value.groups)) or "none"
        case timedelta():
            return f"{value.total_seconds():.0f}"
        case frozenset():
            return ", ".join(sorted(value)) or "none"
        case bool() | None:
            return str(value).lower()
    return str(value)
