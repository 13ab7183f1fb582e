"""Whom each reply notifies: an edit notifies nobody, so each duty rests on a reply."""

from dataclasses import replace

import pytest

from bot.cancellation.download import Download, LetRun
from bot.cancellation.people import EVERYONE, NO_ONE, People
from bot.cancellation.replies import ReplyKind, audience, link_needs_decision
from bot.cancellation.request import Request, State
from tests.support.domain import LINK, POLICY, START, download, request, restore_job, users

LIVE = download().observed(restore_job(**LINK), START)
APPROVERS = POLICY.approvers
RINA = users("U0RINA")
KINDS = [
    # kind, download, request → people, broadcast
    (ReplyKind.WAITS, download(), request(), APPROVERS, True),
    (ReplyKind.WAITS_AGAIN, download(), request(), APPROVERS, True),
    (ReplyKind.REMINDER, download(), request(), APPROVERS, True),
    (ReplyKind.ACTED_ALONE, download(), request(), APPROVERS, True),
    (ReplyKind.LINK_LIVE, LIVE, None, APPROVERS, True),
    (ReplyKind.APPROVAL, download(), request(), NO_ONE, False),
    (ReplyKind.LET_RUN, LIVE, None, NO_ONE, False),
    (ReplyKind.TROUBLE, download(), request(), APPROVERS | RINA, True),
]
QUIET = [State.CANCELLED, State.OVER, State.DENIED, State.WITHDRAWN]
LOUD = [State.FAILED, State.REFUSED, State.CHANGED, State.EXPIRED]


@pytest.mark.parametrize(("kind", "stored", "about", "people", "is_broadcast"), KINDS)
def test_reply_notifies_those_who_must_act(
    kind: ReplyKind, stored: Download, about: Request | None, people: People, is_broadcast: bool
) -> None:
    found = audience(kind, POLICY, stored, about)

    assert (found.people, found.is_broadcast) == (people, is_broadcast)


@pytest.mark.parametrize("state", QUIET)
def test_quiet_end_notifies_the_requester_in_the_thread(state: State) -> None:
    found = audience(ReplyKind.ENDED, POLICY, download(), request(state))

    assert (found.people, found.is_broadcast) == (RINA, False)


@pytest.mark.parametrize("state", LOUD)
def test_loud_end_notifies_requester_and_approvers_in_the_channel(state: State) -> None:
    found = audience(ReplyKind.ENDED, POLICY, download(), request(state))

    assert (found.people, found.is_broadcast) == (APPROVERS | RINA, True)


@pytest.mark.parametrize("state", [State.CANCELLED, State.OVER])
def test_every_end_after_a_live_link_is_loud(state: State) -> None:
    found = audience(ReplyKind.ENDED, POLICY, LIVE, request(state))

    assert (found.people, found.is_broadcast) == (APPROVERS | RINA, True)


@pytest.mark.parametrize("state", [State.DENIED, State.WITHDRAWN])
def test_let_run_and_withdrawn_stay_quiet_after_a_live_link(state: State) -> None:
    assert not audience(ReplyKind.ENDED, POLICY, LIVE, request(state)).is_broadcast


@pytest.mark.parametrize("state", [State.CANCELLED, State.WITHDRAWN])
def test_end_of_an_automatic_request_notifies_the_approvers(state: State) -> None:
    automatic = request(state, requester=None, is_automatic=True)

    assert audience(ReplyKind.ENDED, POLICY, download(), automatic).people == APPROVERS


def test_nobody_is_mentioned_where_everyone_may_approve() -> None:
    open_to_all = replace(POLICY, approvers=EVERYONE)

    assert audience(ReplyKind.WAITS, open_to_all, download(), request()).people == NO_ONE


def test_operator_of_the_command_line_is_not_mentioned() -> None:
    asked = request(State.CANCELLED, requester="cli:root")

    assert audience(ReplyKind.ENDED, POLICY, download(), asked).people == NO_ONE


@pytest.mark.parametrize(
    ("stored", "last", "needs"),
    [
        (LIVE, None, True),
        (LIVE, request(), True),
        (LIVE, request(State.EXPIRED), True),
        (LIVE, request(State.DENIED), False),
        (LIVE, request(State.CANCELLING), False),
        (download(), None, False),
        (replace(LIVE, cancelled=True), None, False),
        (replace(LIVE, let_run=LetRun(by="U0ADA", at=START)), None, False),
        (replace(LIVE, let_run=LetRun(by="U0ADA", at=START)), request(), True),
    ],
)
def test_live_link_calls_people_while_nobody_has_decided(
    stored: Download, last: Request | None, needs: bool
) -> None:
    assert link_needs_decision(stored, last) is needs
