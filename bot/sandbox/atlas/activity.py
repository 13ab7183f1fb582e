"""The activity feed of a project: events, their filters, and their form in responses."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bot.sandbox.atlas.clock import instant
from bot.sandbox.atlas.errors import AtlasError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The event of each restore of a dedicated cluster.
RESTORE_REQUESTED = "CPS_RESTORE_REQUESTED_AUDIT"

#: One of Atlas's 710 names; any other name in a filter is refused.
EVENT_TYPES = frozenset({RESTORE_REQUESTED})


@dataclass(frozen=True)
class Actor:
    """Who acted, as the keys of an event; empty for an event without an actor."""

    fields: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def user(cls, name: str) -> Actor:
        return cls({"username": name, "userId": f"5d{'0' * 22}"})


#: The actor of downloads that tests and control pages start without naming one.
DANA = Actor.user("dana@shop.example")


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event of a project."""

    id: str
    group: str
    created: datetime
    actor: Actor = DANA

    def document(self, root: str) -> dict[str, object]:
        """Return the event as recorded: no address and no cluster on requests of a restore."""
        href = f"{root}/groups/{self.group}/events/{self.id}"
        document = {
            "created": instant(self.created),
            "eventTypeName": RESTORE_REQUESTED,
            "groupId": self.group,
            "id": self.id,
            "isGlobalAdmin": False,
            "links": [{"href": href, "rel": "self"}],
            **self.actor.fields,
        }
        return dict(sorted(document.items()))


@dataclass(frozen=True)
class EventFilter:
    """The bounds of the time in a query, both inclusive; all events here have one type."""

    since: datetime | None
    until: datetime | None

    @classmethod
    def of(cls, types: Iterable[str], query: Mapping[str, str]) -> EventFilter:
        """Read a query; raise INVALID_ENUM_VALUE or INVALID_QUERY_PARAMETER."""
        if frozenset(types) - EVENT_TYPES:
            raise AtlasError("INVALID_ENUM_VALUE", {"attribute": "eventType"})
        return cls(_moment(query, "minDate"), _moment(query, "maxDate"))

    def select(self, events: Iterable[Event], now: datetime, delay: float) -> list[Event]:
        """Return the events that are visible by now, newest first."""
        shown = [event for event in events if self._fits(event)]
        visible = [event for event in shown if event.created + timedelta(seconds=delay) <= now]
        return sorted(visible, key=lambda event: (event.created, event.id), reverse=True)

    def _fits(self, event: Event) -> bool:
        created = event.created.replace(microsecond=0)
        begun = self.since is None or created >= self.since
        return begun and (self.until is None or created <= self.until)


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        moment = datetime.fromisoformat(query[name])
    except ValueError:
        raise AtlasError("INVALID_QUERY_PARAMETER", {"parameter": name}) from None
    if moment.tzinfo is None:
        raise AtlasError("INVALID_QUERY_PARAMETER", {"parameter": name})
    return moment
