"""Reloads the policies of projects: at SIGHUP, and when the projects file has changed."""

import asyncio
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from bot.settings import PolicyHolder, Settings, SettingsError
from bot.tasks import wait_up_to
from bot.timings import Timings

Holder = TypeVar("Holder", bound=PolicyHolder)

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Reloader:
    """Applies changed policies without a restart; settings with a problem change nothing."""

    settings: Settings
    load: Callable[[], Settings]
    apply: Callable[[Settings], None]
    requested: asyncio.Event
    on_result: Callable[..., None]  #: takes `valid`, whether the settings could be read
    #: Called after a reload with the settings before and now, and with those that were read.
    report: Callable[[Settings, Settings, Settings], None]
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
        self.report(old, self.settings, new)


def merge(old: Settings, new: Settings) -> Settings:
    """Return `old` with what may change without a restart, wherever `new` has a partner."""
    known = {each.identity for each in old.projects}
    names = {str(each.name).casefold() for each in new.projects if each.identity in known}
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
    return new.model_copy(update={"name": new.name or old.name, "credentials": old.credentials})


def by_partner(holders: Sequence[Holder]) -> Mapping[Hashable, Holder]:
    """Return the holders by keys that are equal for partners in old and new settings.

    Those of one identity are partners in order, and only while their number is unchanged.
    """
    identities = [each.identity for each in holders]
    return {
        (identity, identities[:position].count(identity), identities.count(identity)): holder
        for position, (identity, holder) in enumerate(zip(identities, holders, strict=True))
    }
