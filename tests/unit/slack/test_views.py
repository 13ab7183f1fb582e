"""What Slack demands of every view, and what no text from outside may do in one."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.atlas import JobNotFound
from bot.cancellation.download import LetRun
from bot.cancellation.facts import facts_of
from bot.cancellation.replies import ReplyKind
from bot.cancellation.request import Outcome, State
from bot.cancellation.starter import Starters
from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.view_rules import checked_view
from bot.services.lookup import JobDetails, Running, Unread
from bot.slack import dialog_view, list_view, private
from bot.slack.message import message
from bot.slack.replies import reply_message
from bot.slack.values import APPROVE, LET_RUN, OPEN
from bot.storage.outbox_store import Reply
from tests.support.domain import POLICY, RINA, START
from tests.unit.slack import samples

Json = dict[str, Any]

#: The longest that Slack takes in an edit.
MOST_TEXT = 4000
#: What Slack obeys: only the bot's own mentions, dates and links may be written like this.
OWN_TOKEN = re.compile(
    r"<(?:@[UW]\w+|!subteam\^S\w+|#C\w+|!date\^\d+\^[^|<>]*\|[^<>]*|https://[^|<>]+\|[^<>]+)>"
)
ESCAPED = re.compile(r"&(?:amp|lt|gt);")
PLANTED = (
    "<!channel>", "<@U0EVE>", "<https://evil.example|click>", "&lt;!here&gt;", "`", "```", "*b*",
    "_i_", ":rotating_light:", "\n", "\u202e", "\x00", "a" * 3000, "&" * 900, "<" * 900, "|", ">",
)  # fmt: skip
HOSTILE = st.lists(st.sampled_from(PLANTED) | st.text(max_size=40), max_size=6).map("".join)


def elements(shown: object) -> list[Json]:
    """Return all objects of a view, at any depth."""
    if isinstance(shown, dict):
        return [shown, *(item for value in shown.values() for item in elements(value))]
    if isinstance(shown, list):
        return [item for value in shown for item in elements(value)]
    return []


def check_message(shown: Json) -> None:
    assert 0 < len(shown["text"]) <= MOST_TEXT
    assert problems(shown.get("blocks", []), "message") == []


def check_texts(shown: Json) -> None:
    """Check that Slack obeys nothing that came from outside."""
    texts = [item["text"] for item in elements(shown) if item.get("type") == "mrkdwn"]
    for text in [*texts, *([shown["text"]] if "text" in shown else [])]:
        rest = OWN_TOKEN.sub("", text)
        assert "<" not in rest
        assert ">" not in rest
        assert "&" not in ESCAPED.sub("", rest)
        assert "<@U0EVE>" not in text
        assert text.count("`") % 2 == 0


@pytest.mark.parametrize("name", samples.messages())
def test_message_is_valid_for_slack(name: str) -> None:
    shown = samples.messages()[name]

    check_message(shown)
    check_texts(shown)


@pytest.mark.parametrize("name", samples.views())
def test_dialog_is_valid_for_slack(name: str) -> None:
    view = samples.views()[name]

    assert checked_view(view) == view
    check_texts(view)


def test_only_buttons_that_cancel_are_red() -> None:
    shown = elements([*samples.messages().values(), *samples.views().values()])
    buttons = {
        (item["action_id"], item.get("style")) for item in shown if item.get("type") == "button"
    }

    assert buttons == {(OPEN, "danger"), (APPROVE, "danger"), (LET_RUN, None)}


@given(reason=HOSTILE, name=HOSTILE, error=HOSTILE, note=HOSTILE, project=HOSTILE)
def test_text_from_outside_neither_mentions_nor_breaks_a_message(
    reason: str, name: str, error: str, note: str, project: str
) -> None:
    starters = Starters(read_at=START + timedelta(seconds=25), names=(name or "x", f"{name}2"))
    outcome = Outcome(by="U0ADA", reason=reason, status=400, code=error, error=error)
    policy = replace(samples.TWO_APPROVALS, note=note)
    decision = LetRun(by="U0ADA", at=START, reason=reason)
    download = replace(samples.LIVE, starters=starters, let_run=decision)
    for state in State:
        request = samples.asked(state, approvals=samples.APPROVED, trouble=error, outcome=outcome)
        facts = facts_of(download, [replace(request, reason=reason)], policy)
        shown = message(facts, project or "p", samples.LINKS, START)
        check_message(shown)
        check_texts(shown)


@given(reason=HOSTILE, error=HOSTILE, kind=st.sampled_from(sorted(ReplyKind)))
def test_text_from_outside_neither_mentions_nor_breaks_a_reply(
    reason: str, error: str, kind: ReplyKind
) -> None:
    outcome = Outcome(reason=reason, code=error, error=error, changes={"snapshot_id": (error, "")})
    for state in State:
        if kind is ReplyKind.ENDED and not state.has_ended:
            continue
        request = replace(samples.asked(state, outcome=outcome), reason=reason)
        detail = {"reason": reason, "trouble": error}
        reply = Reply(
            id=1,
            kind=kind,
            people=samples.GROUP,
            is_broadcast=True,
            at=START,
            actor="U0ADA",
            detail=detail,
            request=request,
        )
        shown = reply_message(
            reply, facts_of(samples.LIVE, [request], samples.TWO_APPROVALS), START
        )
        check_message(shown)
        check_texts(shown)


def hostile_details(name: str, reason: str, note: str) -> JobDetails:
    policy = replace(POLICY, note=note)
    starters = Starters(read_at=START, names=(name or "x",))
    return replace(
        samples.details("waiting"),
        project=samples.project(policy, name or "x"),
        download=replace(samples.RUNS, starters=starters),
        requests=[replace(samples.asked(), reason=reason)] * 5,
    )


@given(name=HOSTILE, reason=HOSTILE, note=HOSTILE)
def test_text_from_outside_neither_mentions_nor_breaks_a_dialog_or_a_list(
    name: str, reason: str, note: str
) -> None:
    found = hostile_details(name, reason, note)
    running = Running(
        downloads=[found] * 16, others=[found] * 16, unread=[Unread(name, name, note)]
    )
    view = dialog_view.details(found, RINA, samples.LINKS, START, "{}")
    shown = list_view.downloads(running, [found.project] * 40, name or None, "/c", START)

    assert checked_view(view) == view
    check_texts(view)
    check_message(shown)
    check_texts(shown)


@given(HOSTILE)
def test_text_from_outside_mentions_nobody_in_a_private_sentence(text: str) -> None:
    check_texts({"text": private.sentence(JobNotFound(text or "x"))})


def test_error_that_is_a_bug_has_no_private_sentence() -> None:
    with pytest.raises(KeyError):
        private.sentence(KeyError("x"))
