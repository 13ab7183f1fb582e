"""Clicks on a card with approvals, and the answers that people get."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer
from bot.sandbox.slack.workspace import User
from tests.acceptance.environment import BotEnvironment, open_environment, state_of

Before = Callable[[FakeSlackServer, FakeAtlasServer], None]
Environ = dict[str, str | None]

Json = dict[str, Any]

APPROVE = "cancel_restore_approve"
DENY = "cancel_restore_deny"
WITHDRAW = "cancel_restore_withdraw"

RINA, ADA, ABE = "U0RINA0001", "U0ADA00001", "U0ABE00001"
OLGA, SAM = "U0OLGA0001", "U0SAM00001"
GROUP = "S0APPROVE1"
OPS = "C0OPS00001"

#: How the lines of a card begin that change without a click.
STARTER_AND_CLOCK = ("*Started*", "*Download link*")

#: One other person, of the group of Ada and Abe.
ONE: Environ = {"BOT_APPROVALS": "1", "BOT_APPROVERS": GROUP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result of a click, as the person sees it.

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
async def open_approval_environment(
    folder: Path, environ: Environ, *, http: bool = False, before: Before | None = None
) -> AsyncIterator[BotEnvironment]:
    """Open an environment with Sam, a full member without any right."""

    def prepare(slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
        slack.workspace.add(User(id=SAM, name="sam", team_id=slack.workspace.team.id))
        slack.workspace.channel("ops").members.add(SAM)
        if before:
            before(slack, atlas)

    async with open_environment(folder, environ, http=http, before=prepare) as env:
        yield env

        assert env.slack.world.views.modal(OLGA) is None


def record_of(folder: Path) -> dict[str, list[Json]]:
    """Read the audit log straight from the database: the events of each request, in order."""
    found: defaultdict[str, list[Json]] = defaultdict(list)
    with sqlite3.connect(folder / "bot.db") as db:
        rows = db.execute(
            "SELECT request, event, actor, team, detail FROM audit_events ORDER BY request, number"
        ).fetchall()
    db.close()
    for request, event, actor, team, detail in rows:
        line = {"event": event, "actor": actor, "team": team, "detail": json.loads(detail)}
        found[request].append(line)
    return found


async def ask(
    env: BotEnvironment, *, user: str = "rina", where: str = "ops", seen_in: str = ""
) -> Json:
    """Ask for a job of its own to be cancelled, and return the card that waits."""
    job = env.new_job()
    ack = await env.submit_request(job, user=user, where=where)
    assert ack.ok, ack
    return await shows(env, job[1], "awaiting", seen_in or where)


async def shows(
    env: BotEnvironment, job: str, state: str, where: str = "ops", seconds: float = 20.0
) -> Json:
    """Return the card about `job` once it shows `state`."""

    def found() -> Json | None:
        card = env.card(job, where)
        return card if card and state_of(card) == state else None

    card = await env.slack.until(found, seconds)
    assert card is not None
    return card


def job_of(card: Json) -> str:
    """Read the id of the job from a card."""
    words = str(card["blocks"]).replace("`", " ").split()
    return next(w for w in words if len(w) == 24 and all(c in "0123456789abcdef" for c in w))


async def click(
    env: BotEnvironment, user: str, card: Json, action: str, *, stale: bool = False
) -> Answer:
    """Click, and wait for the answer that every click must have.

    Raises:
        TimeoutError: no card changed, no dialog opened, and nothing was said.
    """
    before = _view_of(env, user, card)
    ack = await env.slack.people.clicks(user, card, action, stale=stale)
    assert ack.ok, ack
    return await answered(env, user, card, before)


async def answered(env: BotEnvironment, user: str, card: Json, before: PersonView) -> Answer:
    def new() -> PersonView | None:
        now = _view_of(env, user, card)
        return now if now != before else None

    now = await env.slack.until(new, 20)
    assert now is not None
    text = env.ephemerals(user)[-1] if now.ephemerals > before.ephemerals else ""
    dialog = env.slack.state.view_of(user) if now.view != before.view else None
    return Answer(private=text, dialog=dialog)


@dataclass(frozen=True, slots=True)
class PersonView:
    """The ephemerals, dialog and card that one person sees."""

    ephemerals: int
    view: str | None
    card: str


def _view_of(env: BotEnvironment, user: str, card: Json) -> PersonView:
    shown = env.slack.state.message(card["channel"], card["ts"]) or {}
    view = env.slack.state.view_of(user)
    ephemerals = len(env.slack.state.ephemerals(user))
    return PersonView(ephemerals, view["id"] if view else None, decided_lines(env, shown))


def decided_lines(env: BotEnvironment, card: Json) -> str:
    """Return what a card shows, buttons included, that changes by decisions alone."""
    lines = env.slack.state.text_of(card).splitlines()
    return "\n".join(line for line in lines if not line.startswith(STARTER_AND_CLOCK))


async def deny(env: BotEnvironment, user: str, card: Json, reason: str = "still needed") -> Json:
    """Deny in the dialog, and return the card as it then is."""
    answer = await click(env, user, card, DENY)
    assert answer.dialog is not None, answer.private
    ack = await env.slack.people.submits(user, answer.dialog, {"reason": reason})
    assert ack.ok, ack
    return await shows(env, job_of(card), "denied", card["channel"])


async def click_while_deactivated(
    env: BotEnvironment, user: str, card: Json, action: str
) -> Answer:
    """Deliver a click of a person whose account is deactivated at that moment."""
    person = env.slack.workspace.user(user)
    before = _view_of(env, user, card)
    person.deleted = False
    clicking = asyncio.ensure_future(env.slack.people.clicks(user, card, action, stale=True))
    await asyncio.sleep(0)  # the payload is under way, and the bot has not read it yet
    person.deleted = True
    ack = await clicking
    assert ack.ok, ack
    return await answered(env, user, card, before)


def cancelled(env: BotEnvironment, card: Json) -> bool:
    return job_of(card) in env.atlas.world.cancellations
