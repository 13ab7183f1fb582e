"""Reloads the policies of projects: at SIGHUP, and when the projects file has changed."""

import asyncio
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import structlog

from bot.cancellation.people import People
from bot.cancellation.policy import Policy
from bot.settings import PolicyHolder, Settings, SettingsError, warnings
from bot.settings.model import AuditWebhookSettings
from bot.settings.policy import POLICY_KEYS
from bot.tasks import wait_up_to
from bot.timings import Timings

Holder = TypeVar("Holder", bound=PolicyHolder)
#: What is compared of a project or an organization, by the keys of the projects file.
KEYS = frozenset({*POLICY_KEYS, "name", "include", "exclude", "credentials", "clusters"})

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Reloader:
    """Applies changed policies without a restart; settings with a problem change nothing."""

    settings: Settings
    load: Callable[[], Settings]
    apply: Callable[[Settings], None]
    requested: asyncio.Event
    on_result: Callable[..., None]  #: takes `valid`, whether the settings could be read
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
            return
        self.on_result(valid=True)
        old, self.settings = self.settings, merge(self.settings, new)
        self.apply(self.settings)
        changed = [
            f"{title}: {key} {_shown(was)} → {_shown(now)}"
            for title, key, was, now in differences(old, self.settings)
        ]
        restart = list(needs_restart(self.settings, new))
        log.info("settings reloaded", changed=changed, needs_restart=restart)
        for warning in sorted(set(warnings(self.settings)) - set(warnings(old))):
            log.warning("setting needs attention", why=warning)


def merge(old: Settings, new: Settings) -> Settings:
    """Return `old` with what may change without a restart, wherever `new` has a partner."""
    names = {str(each.name).casefold() for each in new.projects}
    update: dict[str, Any] = {"risks": new.risks}
    for kind in ("projects", "organizations"):
        before, after = by_partner(getattr(old, kind)), by_partner(getattr(new, kind))
        order = after if after.keys() == before.keys() else before
        update[kind] = tuple(_merged(before[key], after.get(key), names) for key in order)
    return old.model_copy(update=update)


def _merged(old: Holder, new: Holder | None, names: Collection[str]) -> Holder:
    """Return the new values; a project without them leaves its name to one that has it now."""
    if new is None:
        is_taken = str(old.name).casefold() in names
        return old.model_copy(update={"name": old.identity}) if is_taken else old
    kept = {"name": new.name or old.name, "credentials": old.credentials}
    return new.model_copy(update=kept)


def by_partner(holders: Sequence[Holder]) -> Mapping[Hashable, Holder]:
    """Return the holders by keys that are equal for partners in old and new settings.

    Those of one identity are partners in order, and only while their number is unchanged.
    """
    identities = [each.identity for each in holders]
    return {
        (identity, identities[:position].count(identity), identities.count(identity)): holder
        for position, (identity, holder) in enumerate(zip(identities, holders, strict=True))
    }


def differences(old: Settings, new: Settings) -> Iterator[tuple[str, str, Any, Any]]:
    """Yield each value that differs between partners: the old title, the key, both values."""
    partners = by_partner(new.policy_holders)
    for place, before in by_partner(old.policy_holders).items():
        was, now = _values(before), _values(partners.get(place, before))
        for key in {**was, **now}:
            if was.get(key) != now.get(key):
                yield before.title, key, was.get(key), now.get(key)


def needs_restart(now: Settings, wanted: Settings) -> Iterator[str]:
    """Yield what the settings ask for that only a restart does, without the values."""
    was, will_be = _variables(now), _variables(wanted)
    yield from (name for name in {**was, **will_be} if was.get(name) != will_be.get(name))
    before, after = by_partner(now.policy_holders), by_partner(wanted.policy_holders)
    yield from dict.fromkeys(f"new: {after[key].title}" for key in after if key not in before)
    yield from dict.fromkeys(f"removed: {before[key].title}" for key in before if key not in after)
    yield from (f"{key} of {title}" for title, key, *_ in differences(now, wanted))


def _variables(settings: Settings) -> dict[str, Any]:
    """Return the values that belong to no project or organization, by their variables."""
    webhook = settings.audit_webhook or AuditWebhookSettings()
    return {
        str(field.alias): getattr(part, name)
        for part in (settings, settings.slack, settings.atlas, webhook)
        for name, field in type(part).model_fields.items()
        if field.description
    }


def _values(holder: PolicyHolder) -> dict[str, Any]:
    """Return what `KEYS` name, and of entries of clusters what differs from the project's."""
    rules = _rules(holder.policies.default)
    values = {**dict(holder), "name": holder.title, **rules, "clusters": ()}
    for each in holder.policies.clusters:
        names = ", ".join(each.names)
        values["clusters"] += (f"[{names}]",)
        own = _rules(each.policy).items()
        values |= {f"clusters {names}: {key}": value for key, value in own if value != rules[key]}
    return {key: value for key, value in values.items() if key.partition(" ")[0] in KEYS}


def _rules(policy: Policy) -> dict[str, Any]:
    """Return the rules after all defaults, by the keys of the projects file."""
    quarantine = policy.quarantine
    values = {each.name: getattr(policy, each.name) for each in fields(policy)}
    values |= {
        f"quarantine_{each.name}": getattr(quarantine, each.name) for each in fields(quarantine)
    }
    values["quarantine"] = quarantine.mode
    return {key: value for key, value in values.items() if key in {*KEYS, "note"}}


def _shown(value: object) -> str:
    match value:
        case People():
            return ", ".join(["*"] * value.everyone + sorted(value.users | value.groups)) or "none"
        case timedelta():
            return f"{value.total_seconds():.0f}"
        case tuple():
            return ", ".join(map(_shown, value)) or "none"
        case frozenset():
            return ", ".join(sorted(value)) or "none"
        case bool() | None:
            return str(value).lower()
    return str(value)
