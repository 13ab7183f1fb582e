"""Approvers are reached: copies of the card in direct messages, reminders, and escalation."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from bot.sandbox.slack import Fault
from tests.acceptance.actions import (
    ABE,
    ADA,
    APPROVE,
    GROUP,
    OLGA,
    RINA,
    SAM,
    Environ,
    ask,
    click,
    job_of,
    open_approval_environment,
    record_of,
    shows,
)
from tests.acceptance.environment import BotEnvironment, is_card, request_of, state_of

Json = dict[str, Any]

THREE: Environ = {"BOT_APPROVALS": "1", "BOT_APPROVERS": f"{GROUP},{SAM}", "BOT_REMIND_AFTER": "0"}
NOTIFIED_PEOPLE = (ADA, ABE, SAM)


def copies(env: BotEnvironment, people: Sequence[str] = NOTIFIED_PEOPLE) -> list[Json]:
    """Return every copy of a card in the direct messages of these people."""
    found = [m for user in people for m in env.slack.state.messages(env.slack.state.dm(user))]
    return [message for message in found if is_card(message)]


def has_button(message: Json, action: str = APPROVE) -> bool:
    return action in str(message["blocks"])


def replies(env: BotEnvironment, card: Json, part: str) -> list[str]:
    texts = [str(reply["text"]) for reply in env.slack.state.replies(card)]
    return [text for text in texts if part in text]


def events(env: BotEnvironment, card: Json) -> list[str]:
    return [event["event"] for event in record_of(env.folder)[request_of(card)]]


def wait_a_minute(env: BotEnvironment) -> None:
    """Move the one request, and its next notice, a minute into the past."""
    with closing(sqlite3.connect(env.folder / "bot.db")) as db, db:
        db.execute(
            "UPDATE requests "
            "SET changed_at = changed_at - 60000, next_notice_at = next_notice_at - 60000"
        )


async def test_approval_in_a_direct_message_changes_the_card_and_every_copy(tmp_path: Path) -> None:
    async with open_approval_environment(tmp_path, THREE) as env:
        card = await ask(env)
        assert await env.slack.until(lambda: len(copies(env)) == 3)
        assert all(map(has_button, copies(env)))
        assert await env.slack.until(lambda: replies(env, card, "This request was sent directly"))
        (copy,) = copies(env, [SAM])

        answer = await click(env, "sam", copy, APPROVE)

        assert not answer.private
        await shows(env, job_of(card), "cancelled")
        assert await env.slack.until(lambda: {state_of(c) for c in copies(env)} == {"cancelled"})
        assert not any(map(has_button, copies(env)))
        assert len(copies(env)) == 3
        assert copies(env, [RINA, OLGA]) == []
        (reached,) = replies(env, card, "This request was sent directly")
        assert "sam" in reached.lower()
        assert "<@" not in reached
        assert "request:reminded" not in events(env, card)


async def test_copy_whose_answer_was_lost_shows_the_decision(tmp_path: Path) -> None:
    environ: Environ = {**THREE, "BOT_REMIND_AFTER": "1"}
    async with open_approval_environment(tmp_path, environ) as env:
        card = await ask(env)
        assert await env.slack.until(lambda: replies(env, card, "This request was sent directly"))
        env.slack.faults.add("chat.postMessage", Fault(kind="reset_after"), times=50)
        assert await env.slack.until(lambda: len(copies(env)) == 6)

        await env.slack.people.clicks("sam", copies(env, [SAM])[0], APPROVE)
        await shows(env, job_of(card), "cancelled")
        env.slack.faults.clear()

        assert await env.slack.until(
            lambda: {state_of(c) for c in copies(env)} == {"cancelled"}, 20
        )
        assert len(copies(env)) == 6


async def test_reminders_come_once_each_and_the_last_one_escalates(tmp_path: Path) -> None:
    environ: Environ = {
        **THREE,
        "BOT_APPROVERS": GROUP,
        "BOT_REMIND_AFTER": "60,120",
        "BOT_ESCALATE_TO": SAM,
    }
    async with open_approval_environment(tmp_path, environ) as env:
        card = await ask(env)
        assert await env.slack.until(lambda: len(copies(env, [ADA, ABE])) == 2)
        assert copies(env, [SAM]) == []
        wait_a_minute(env)
        assert await env.slack.until(lambda: len(copies(env, [ADA, ABE])) == 4)
        assert copies(env, [SAM]) == []
        assert f"<@{SAM}>" not in str(env.card(job_of(card)))
        wait_a_minute(env)
        assert await env.slack.until(lambda: len(copies(env)) == 7)
        assert await env.slack.until(lambda: len(replies(env, card, "Reminder")) == 2)
        assert f"<!subteam^{GROUP}>" in replies(env, card, "Reminder")[0]
        assert await env.slack.until(lambda: replies(env, card, "Escalated"))
        assert f"<@{SAM}>" in replies(env, card, "Escalated")[0]
        assert await env.slack.until(lambda: f"<@{SAM}>" in str(env.card(job_of(card))))
        assert await env.slack.until(lambda: f"<@{SAM}>" in str(copies(env, [ADA])[0]))

        answer = await click(env, "sam", copies(env, [SAM])[0], APPROVE)

        assert not answer.private
        assert await env.slack.until(lambda: {state_of(c) for c in copies(env)} == {"cancelled"})
        assert len(copies(env)) == 7
        names = events(env, card)
        assert names.count("request:reminded") == 2
        assert names.count("request:escalated") == 1
