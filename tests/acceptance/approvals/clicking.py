"""A house with approvals: clicks whose answers are waited for, and what must hold in every test."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.sandbox.atlas import Fault, Kind
from bot.sandbox.slack.workspace import User
from tests.acceptance.house import House, open_house, state_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from bot.sandbox.atlas import FakeAtlasServer
    from bot.sandbox.slack import FakeSlackServer

    Before = Callable[[FakeSlackServer, FakeAtlasServer], None]
    Environ = dict[str, str | None]

Json = dict[str, Any]

APPROVE = "cancel_restore_approve"
DENY = "cancel_restore_deny"
WITHDRAW = "cancel_restore_withdraw"
RETRY = "cancel_restore_retry"

RINA, ADA, ABE = "U0RINA0001", "U0ADA00001", "U0ABE00001"
GUS, OLGA, SAM = "U0GUS00001", "U0OLGA0001", "U0SAM00001"
GROUP = "S0APPROVE1"
OPS, SHARED, QUIET = "C0OPS00001", "C0SHARED01", "C0QUIET001"

#: One other person, of the group of Ada and Abe.
ONE: Environ = {"BOT_APPROVALS": "1", "BOT_APPROVERS": GROUP}
TWO: Environ = {"BOT_APPROVALS": "2", "BOT_APPROVERS": GROUP}

#: Atlas asks for a longer pause than the bot has: the run gives up at once.
GIVES_UP = Fault(kind=Kind.STATUS, method="DELETE", status=429, retry_after=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a click came to, as the person sees it.

    Attributes:
        private: the sentence that only they read, or an empty text.
        dialog: the dialog that opened, or None.
    """

    private: str = ""
    dialog: Json | None = None

    @property
    def changed_the_card(self) -> bool:
        return not self.private and self.dialog is None


@asynccontextmanager
async def guarded_house(
    folder: Path, environ: Environ, *, http: bool = False, before: Before | None = None
) -> AsyncIterator[House]:
    """Open a house in which nothing may be cancelled that the quorum has not approved.

    Sam is there too: a full member without any right.
    """

    def prepare(slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
        slack.workspace.add(User(id=SAM, name="sam", team_id=slack.workspace.team.id))
        slack.workspace.channel("ops").members.add(SAM)
        if before:
            before(slack, atlas)

    async with open_house(folder, environ, http=http, before=prepare) as house:
        yield house

        assert house.slack.complaints == []
        assert house.slack.world.views.stack(OLGA) == []
    assert_no_delete_before_the_quorum(house)


def assert_no_delete_before_the_quorum(house: House) -> None:
    """Hold what Atlas saw against the record: each DELETE has its approvals before it."""
    sent: defaultdict[str, int] = defaultdict(int)
    for events in record_of(house.folder).values():
        assert_quorum_before_each_delete(events)
        job = events[0]["detail"]["job"]
        sent[job] += sum(event["event"] == "atlas:cancel_sent" for event in events)
    deletes = [c.path for c in house.atlas.calls if c.method == "DELETE" and not c.challenge]
    for path in deletes:
        assert sent[path.partition("?")[0].rpartition("/")[2]] > 0
    assert len(deletes) <= sum(sent.values())


def assert_quorum_before_each_delete(events: list[Json]) -> None:
    created = events[0]
    yes = {"request:approval_given", "request:approved"}
    given: set[str] = set()
    for event in events:
        if event["event"] in yes and event["actor"]:
            assert event["actor"] not in given
            given.add(event["actor"])
        if event["event"] == "atlas:cancel_sent":
            assert len(given) >= created["detail"]["approvals_needed"]


def record_of(folder: Path) -> dict[str, list[Json]]:
    """Read the record straight from the database: the events of each request, in order."""
    found: defaultdict[str, list[Json]] = defaultdict(list)
    with sqlite3.connect(folder / "ledger.db") as db:
        rows = db.execute(
            "SELECT request, event, actor, team, detail FROM audit_events ORDER BY request, number"
        ).fetchall()
    db.close()
    for request, event, actor, team, detail in rows:
        line = {"event": event, "actor": actor, "team": team, "detail": json.loads(detail)}
        found[request].append(line)
    return found


async def ask(house: House, *, who: str = "rina", where: str = "ops", seen_in: str = "") -> Json:
    """Ask for a job of its own to be cancelled, and return the card that waits."""
    job = house.new_job()
    ack = await house.asks(job, who=who, where=where)
    assert ack.ok, ack
    return await shows(house, job[1], "awaiting", seen_in or where)


async def shows(
    house: House, job: str, state: str, where: str = "ops", seconds: float = 10.0
) -> Json:
    """Return the card about `job` once it shows `state`."""

    def found() -> Json | None:
        card = house.card(job, where)
        return card if card and state_of(card) == state else None

    card = await house.slack.until(found, seconds)
    assert card is not None
    return card


async def reads(house: House, card: Json, part: str, seconds: float = 5.0) -> Json:
    """Return the card once it says `part`."""

    def found() -> Json | None:
        now = house.slack.state.message(card["channel"], card["ts"])
        return now if now and part in house.slack.state.text_of(now) else None

    now = await house.slack.until(found, seconds)
    assert now is not None
    return now


def job_of(card: Json) -> str:
    """Read the id of the job from a card."""
    words = str(card["blocks"]).replace("`", " ").split()
    return next(w for w in words if len(w) == 24 and all(c in "0123456789abcdef" for c in w))


def request_of(card: Json) -> str:
    return str(card["metadata"]["event_payload"]["request"])


async def click(house: House, who: str, card: Json, action: str, *, stale: bool = False) -> Answer:
    """Click, and wait for the answer that every click must have.

    Raises:
        TimeoutError: no card changed, no dialog opened, and nothing was said.
    """
    before = _seen(house, who, card)
    ack = await house.slack.people.clicks(who, card, action, stale=stale)
    assert ack.ok, ack
    return await answered(house, who, card, before)


async def answered(house: House, who: str, card: Json, before: Seen) -> Answer:
    def new() -> Seen | None:
        now = _seen(house, who, card)
        return now if now != before else None

    now = await house.slack.until(new, 5.0)
    assert now is not None
    said = house.whispers(who)[-1] if now.whispers > before.whispers else ""
    dialog = house.slack.state.view_of(who) if now.view != before.view else None
    return Answer(private=said, dialog=dialog)


@dataclass(frozen=True, slots=True)
class Seen:
    """What one person has before them."""

    whispers: int
    view: str | None
    card: str


def _seen(house: House, who: str, card: Json) -> Seen:
    shown = house.slack.state.message(card["channel"], card["ts"]) or {}
    view = house.slack.state.view_of(who)
    card_now = house.slack.state.text_of(shown)
    return Seen(len(house.slack.state.ephemerals(who)), view["id"] if view else None, card_now)


async def deny(house: House, who: str, card: Json, reason: str = "still needed") -> Json:
    """Deny in the dialog, and return the card as it then stands."""
    answer = await click(house, who, card, DENY)
    assert answer.dialog is not None, answer.private
    ack = await house.slack.people.submits(who, answer.dialog, {"reason": reason})
    assert ack.ok, ack
    return await shows(house, job_of(card), "denied", card["channel"])


async def click_while_deactivated(house: House, who: str, card: Json, action: str) -> Answer:
    """Deliver the click of somebody whose account is switched off in that very moment."""
    person = house.slack.workspace.user(who)
    before = _seen(house, who, card)
    person.deleted = False
    clicking = asyncio.ensure_future(house.slack.people.clicks(who, card, action, stale=True))
    await asyncio.sleep(0)  # the payload is under way, and the bot has not read it yet
    person.deleted = True
    ack = await clicking
    assert ack.ok, ack
    return await answered(house, who, card, before)


def mentions(messages: Iterable[Json], who: str) -> int:
    """Count the messages that mention a person or a group, in their blocks."""
    marks = (f"<@{who}>", f"<!subteam^{who}>")
    return sum(any(mark in str(m["blocks"]) for mark in marks) for m in messages)


def cancelled(house: House, card: Json) -> bool:
    return job_of(card) in house.atlas.world.cancellations
