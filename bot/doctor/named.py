"""Which setting names which channel, person and user group (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bot.cancellation.people import People
    from bot.settings import ProjectSettings, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An id in the settings.

    Attributes:
        id: of a channel, a user or a user group.
        settings: where it stands, as people know it.
        needed: whether the bot must be able to use it as the settings want; False for a channel
            in which the command works, but whose cards go elsewhere.
    """

    id: str
    settings: tuple[str, ...]
    needed: bool = True

    @property
    def about(self) -> str:
        return f"{', '.join(self.settings)}: {self.id}"


def called(project: ProjectSettings, rule: str) -> str:
    """Name a rule as it is set: by its variable, or by its key in the projects file."""
    return f"BOT_{rule.upper()}" if project.name is None else f"{project.name}, {rule}"


def channels(settings: Settings) -> list[Named]:
    """List every channel that is named, each once."""
    return _merged(use for project in settings.projects for use in _channels_of(project))


def _channels_of(project: ProjectSettings) -> Iterator[Named]:
    policy = project.policy
    for channel in sorted(policy.channels):
        needed = policy.audit_channel is None
        yield Named(id=channel, settings=(called(project, "channels"),), needed=needed)
    if policy.audit_channel:
        yield Named(id=policy.audit_channel, settings=(called(project, "audit_channel"),))
    if project.watch_channel:
        yield Named(id=project.watch_channel, settings=(called(project, "watch_channel"),))


def users(settings: Settings) -> list[Named]:
    """List every person who is named, each once."""
    return _merged(
        Named(id=user, settings=(called(project, rule),))
        for project in settings.projects
        for rule, people in _rules_of_people(project)
        for user in sorted(people.users)
    )


def groups(settings: Settings) -> list[Named]:
    """List every user group that is named, each once."""
    return _merged(
        Named(id=group, settings=(called(project, rule),))
        for project in settings.projects
        for rule, people in _rules_of_people(project)
        for group in sorted(people.groups)
    )


def _rules_of_people(project: ProjectSettings) -> Iterator[tuple[str, People]]:
    policy = project.policy
    yield "requesters", policy.requesters
    if policy.approvers != policy.requesters:  # by default they are the same
        yield "approvers", policy.approvers


def _merged(found: Iterable[Named]) -> list[Named]:
    by_id: dict[str, Named] = {}
    for each in found:
        kept = by_id.get(each.id)
        before = kept.settings if kept else ()
        by_id[each.id] = Named(
            id=each.id,
            settings=tuple(dict.fromkeys((*before, *each.settings))),
            needed=each.needed or bool(kept and kept.needed),
        )
    return list(by_id.values())
