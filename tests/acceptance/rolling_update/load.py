"""A steady load of commands, each person in an own channel, and the expected results."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from bot.sandbox.atlas import FakeAtlasServer
from bot.sandbox.slack import Ack, FakeSlackServer, User
from bot.sandbox.slack.workspace import Channel
from bot.slack import ids
from tests.acceptance.environment import is_card, state_of

Json = dict[str, Any]

CLUSTER = "prod-eu"

#: Commands in a second, and the number of people who type them in turn.
RATE = 4.0
PEOPLE = 10

#: Timeouts in seconds: Slack's for an answer, and those of the test for the next steps.
ACK_TIMEOUT = 3.0
DIALOG_TIMEOUT = 15.0
OUTCOME_TIMEOUT = 60.0

#: How often a person tries again.
MAX_ATTEMPTS = 3

OPEN = ("awaiting", "approved", "cancelling")


@dataclass(slots=True, kw_only=True)
class Session:
    """One person, one command, one job."""

    user: str
    where: str
    job: str
    command: Ack | None = None
    dialog: Json | None = None
    submission: Ack | None = None
    tries_again: int = 0

    @property
    def failure(self) -> str:
        """The failure on the way, or an empty text."""
        for name, ack in (("command", self.command), ("submission", self.submission)):
            if ack and not (ack.ok and ack.status == 200 and not ack.errors):
                return f"{name}: {ack.error or ack.errors} (status {ack.status}, {ack.body})"
            if ack and ack.seconds >= ACK_TIMEOUT:
                return f"{name}: answered after {ack.seconds:.1f} s"
            if name == "command" and self.dialog is None:
                return "the dialog never showed the job"
        return "" if self.submission else "never submitted"


@dataclass(slots=True, kw_only=True)
class CommandLoad:
    """The people and their sessions, between the two fake servers."""

    slack: FakeSlackServer
    atlas: FakeAtlasServer
    sessions: list[Session] = field(default_factory=list)
    _under_way: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        workspace = self.slack.workspace
        for number in range(PEOPLE):
            person = User(id=f"U0CROWD{number:03d}", name=f"c{number}", team_id=workspace.team.id)
            members = {person.id, workspace.app.bot_user}
            channel = Channel(id=f"C0CROWD{number:03d}", name=f"town{number}", members=members)
            workspace.add(person, channel)

    async def ask_until(self, enough: asyncio.Event) -> None:
        """Start commands at a steady rate; at the end wait for the open ones."""
        for number in count():
            if enough.is_set():
                break
            self._send(number % PEOPLE)
            await asyncio.sleep(1 / RATE)
        await asyncio.gather(*self._under_way)

    def _send(self, number: int) -> None:
        (project,) = self.atlas.world.projects.values()
        job = self.atlas.world.add_job(project.clusters[CLUSTER]).id
        session = Session(user=f"c{number}", where=f"town{number}", job=job)
        self.sessions.append(session)
        task = asyncio.create_task(self._run(session))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _run(self, session: Session) -> None:
        line = f"/cancel-restore {CLUSTER} {session.job}"
        session.command = await self.slack.people.types(session.user, session.where, line)
        if not session.command.ok:
            return
        try:
            session.dialog = await self._open_dialog(session)
        except TimeoutError:
            return
        values = {"reason": "rolled meanwhile"}
        session.submission = await self.slack.people.submits(session.user, session.dialog, values)

    async def _open_dialog(self, session: Session) -> Json:
        """Wait for the job; where the dialog asks the person to try again, they do."""
        for _ in range(MAX_ATTEMPTS):
            view = await self.slack.until(lambda: self._dialog_of(session), DIALOG_TIMEOUT)
            assert view
            if view.get("submit"):
                return view
            session.tries_again += 1
            await self.slack.people.clicks(session.user, view, ids.TRY_AGAIN)
            await self.slack.until(lambda: not self._has_try_again(session), DIALOG_TIMEOUT)
        raise TimeoutError

    def _dialog_of(self, session: Session) -> Json | None:
        """The person's dialog for this very job, once it can be submitted, or tried again."""
        view = self.slack.state.view_of(session.user)
        if view is None or session.job not in str(view):
            return None
        return view if view.get("submit") or ids.TRY_AGAIN in str(view) else None

    def _has_try_again(self, session: Session) -> bool:
        view = self._dialog_of(session)
        return bool(view and not view.get("submit"))

    async def until_ended(self) -> None:
        """Wait until card and thread of each accepted request have the same outcome."""
        taken = [e for e in self.sessions if e.submission and e.submission.ok]
        with suppress(TimeoutError):  # `failures` reports those
            await self.slack.until(lambda: all(map(self._has_ended, taken)), OUTCOME_TIMEOUT)

    def _has_ended(self, session: Session) -> bool:
        cards = self._cards(session)
        return bool(cards) and all(self._outcomes(c) == [state_of(c)] for c in cards)

    def _cards(self, session: Session) -> list[Json]:
        return [
            message
            for message in self.slack.state.messages(session.where)
            if is_card(message) and session.job in str(message["blocks"])
        ]

    def _outcomes(self, card: Json) -> list[str]:
        states = [state_of(reply) for reply in self.slack.state.replies(card)]
        return [state for state in states if state and state not in OPEN]

    def failures(self) -> dict[str, int]:
        """Count the failures by kind; empty without any."""
        states = [session.failure or self._wrong_counts(session) for session in self.sessions]
        return dict(Counter(filter(None, states)))

    def _wrong_counts(self, session: Session) -> str:
        """Return the wrong numbers of cards, outcomes and effects of the submission."""
        effects = [c for c in self.atlas.calls if c.effect and session.job in c.path]
        cards = self._cards(session)
        outcomes = [state for card in cards for state in self._outcomes(card)]
        if (len(cards), outcomes, len(effects)) == (1, ["cancelled"], 1):
            return ""
        return f"{len(cards)} cards, outcomes {outcomes}, {len(effects)} effects"
