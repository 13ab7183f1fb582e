"""The facts of a download: its phase, the state in the metadata, its buttons, and its JSON."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.cancellation.download import Download, LetRun
from bot.cancellation.facts import Button, Phase, facts_of, list_fields, state_word
from bot.cancellation.policy import Policy
from bot.cancellation.request import Attempts, Outcome, Request, State
from bot.cancellation.starter import Starters
from bot.cancellation.words import how_it_ended
from tests.support.domain import (
    AUTO_CANCEL,
    LINK,
    POLICY,
    PROJECT,
    REF,
    SNAPSHOT,
    START,
    download,
    request,
    restore_job,
)

LATER = START + timedelta(seconds=60)
RUNS = download()
TIMED = download(auto_cancel_at=START + timedelta(seconds=90))
LET_RUN = replace(TIMED, let_run=LetRun(by="U0ADA", at=LATER))
READ_ONLY = replace(POLICY, read_only=True)
CANCEL, APPROVE, GO_ON = Button.CANCEL, Button.APPROVE, Button.LET_RUN
SENT = Attempts(count=1, accepted_at=START)


def ended(of: Download = RUNS, /, **flags: bool) -> Download:
    return of.observed(restore_job(**(flags or {"cancelled": True})), LATER)


def past(state: State, **changes: Any) -> Request:
    return request(state, changed_at=START + timedelta(seconds=30), **changes)


DENIED_NOW = request(State.DENIED, changed_at=LATER, outcome=Outcome(by="U0ADA"))
WITHDRAWN_NOW = request(State.WITHDRAWN, changed_at=LATER, outcome=Outcome(by="U0ADA"))

Case = tuple[Download, list[Request], Policy, Phase, str, tuple[Button, ...]]
CASES: list[Case] = [
    (RUNS, [], POLICY, Phase.ANNOUNCED, "announced", (CANCEL,)),
    (RUNS, [], READ_ONLY, Phase.ANNOUNCED, "announced", ()),
    (ended(), [], POLICY, Phase.ENDED, "ended", ()),
    (TIMED, [], AUTO_CANCEL, Phase.AUTO_CANCEL, "auto_cancel", (CANCEL, GO_ON)),
    (TIMED, [past(State.EXPIRED)], AUTO_CANCEL, Phase.AUTO_CANCEL, "auto_cancel", (CANCEL, GO_ON)),
    (TIMED, [], POLICY, Phase.ANNOUNCED, "announced", (CANCEL,)),  # switched off since
    (TIMED, [request()], AUTO_CANCEL, Phase.WAITING, "awaiting", (APPROVE, GO_ON)),
    (RUNS, [request()], READ_ONLY, Phase.WAITING, "awaiting", ()),
    (RUNS, [past(State.EXPIRED), request()], POLICY, Phase.WAITING, "awaiting", (APPROVE, GO_ON)),
    (replace(RUNS, is_gone=True), [request()], POLICY, Phase.ENDED, "awaiting", ()),
    (RUNS, [request(State.APPROVED)], POLICY, Phase.CANCELLING, "approved", ()),
    (ended(), [request(State.CANCELLING)], POLICY, Phase.CANCELLING, "cancelling", ()),
    (ended(), [request(State.CANCELLED)], POLICY, Phase.CANCELLED, "cancelled", ()),
    (ended(), [request(State.OVER)], POLICY, Phase.ENDED, "over", ()),
    (LET_RUN, [], AUTO_CANCEL, Phase.LET_RUN, "let_run", (CANCEL,)),
    (LET_RUN, [past(State.EXPIRED)], AUTO_CANCEL, Phase.LET_RUN, "let_run", (CANCEL,)),
    (LET_RUN, [DENIED_NOW], AUTO_CANCEL, Phase.LET_RUN, "denied", (CANCEL,)),
    (LET_RUN, [WITHDRAWN_NOW], AUTO_CANCEL, Phase.LET_RUN, "withdrawn", (CANCEL,)),
    (
        LET_RUN,
        [request(State.EXPIRED, changed_at=LATER + timedelta(seconds=1))],
        AUTO_CANCEL,
        Phase.EXPIRED,
        "expired",
        (CANCEL,),
    ),
    (ended(LET_RUN), [DENIED_NOW], AUTO_CANCEL, Phase.ENDED, "ended", ()),
    (RUNS, [DENIED_NOW], POLICY, Phase.LET_RUN, "denied", (CANCEL,)),
    *(
        (RUNS, [past(state)], POLICY, Phase(state), str(state), (CANCEL,))
        for state in (
            State.WITHDRAWN,
            State.EXPIRED,
            State.REFUSED,
            State.CHANGED,
            State.FAILED,
        )
    ),
    *(
        (ended(), [past(state)], POLICY, Phase.ENDED, "ended", ())
        for state in (
            State.WITHDRAWN,
            State.EXPIRED,
            State.REFUSED,
            State.CHANGED,
            State.FAILED,
            State.DENIED,
        )
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[3]}-{case[4]}")
def test_phase_state_and_buttons_follow_from_download_and_requests(case: Case) -> None:
    job, requests, policy, *expected = case
    facts = facts_of(job, requests, policy)

    assert [facts.phase, facts.state, facts.buttons] == expected


@pytest.mark.parametrize(
    ("flags", "attempts", "words"),
    [
        ({"cancelled": True}, Attempts(), "somebody else cancelled it"),
        ({"cancelled": True}, SENT, "it is cancelled, perhaps by the bot's own DELETE"),
        ({"cancelled": True, "failed": True}, SENT, "Atlas does not say what ended it"),
        ({"failed": True}, SENT, "it failed"),
    ],
)
def test_end_is_put_on_nobody_where_a_delete_of_the_bot_may_have_caused_it(
    flags: dict[str, bool], attempts: Attempts, words: str
) -> None:
    requests = [past(State.EXPIRED), past(State.FAILED, attempts=attempts)]

    assert how_it_ended(facts_of(ended(**flags), requests, POLICY)) == words


@pytest.mark.parametrize(
    ("job", "word"),
    [
        (RUNS.observed(restore_job(**LINK | {"deliveryUrl": []}), LATER), "link_used"),
        (ended(cancelled=True, failed=True), "cancelled_and_failed"),
        (ended(failed=True), "failed"),
    ],
)
def test_word_of_a_state_is_how_it_ended_else_what_is_known_of_the_link(
    job: Download, word: str
) -> None:
    assert state_word(job) == word


def test_fields_of_the_list_are_all_there_with_null_where_something_is_not_known() -> None:
    starters = Starters(read_at=LATER, names=("dana@shop.example",))
    job = replace(TIMED, starters=starters)
    facts = facts_of(job, [request()], replace(AUTO_CANCEL, note="Call 7700."))

    assert list_fields(facts, project="shop", kind="download", why_not=None, now=LATER) == {
        "project": "shop",
        "cluster": "prod-eu",
        "job": REF.job_id,
        "type": "download",
        "state": "in_progress",
        "snapshot": "2026-12-02T11:20:00+00:00",
        "snapshot_id": SNAPSHOT,
        "started": "2026-12-02T12:00:00+00:00",
        "started_by": "dana@shop.example",
        "started_by_candidates": None,
        "link_expected": "2026-12-02T12:03:00+00:00",
        "link_live_since": None,
        "link_until": None,
        "auto_cancel_at": "2026-12-02T12:01:30+00:00",
        "cancellable": True,
        "why_not": None,
        "note": "Call 7700.",
        "request": "0" * 32,
    }


def test_fields_of_a_live_link_have_its_hour_and_several_starters_are_candidates() -> None:
    starters = Starters(read_at=LATER, names=("a", "b"))
    job = replace(RUNS, starters=starters).observed(restore_job(**LINK), LATER)
    fields = list_fields(
        facts_of(job, [], READ_ONLY), project=PROJECT, kind="download", why_not="Why.", now=LATER
    )

    assert (
        fields
        | {
            "state": "link_live",
            "started_by": None,
            "started_by_candidates": ["a", "b"],
            "link_expected": None,
            "link_live_since": "2026-12-02T12:03:00+00:00",
            "link_until": "2026-12-02T13:03:00+00:00",
            "auto_cancel_at": None,
            "cancellable": False,
            "why_not": "Why.",
            "note": None,
            "request": None,
        }
        == fields
    )
