"""What a submit, a click and a deadline do: person × act × state → answer."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.cancellation import decisions, errors
from bot.cancellation.decisions import AutoCancelStep, LetRunDecision, LetRunResult, SubmitResult
from bot.cancellation.download import Download, LetRun
from bot.cancellation.people import ActingPerson, Person
from bot.cancellation.policy import Policy
from bot.cancellation.request import Approval, Request, State
from bot.cancellation.starter import Starters
from tests.support.domain import (
    ADA,
    ALAN,
    AUTO_CANCEL,
    EVE,
    GIL,
    OPERATOR,
    POLICY,
    RINA,
    START,
    download,
    person,
    request,
    restore_job,
    submission,
)

FREE = replace(POLICY, approvals=0)
DUE = START + timedelta(seconds=90)
TIMED = download(auto_cancel_at=DUE)
PLAIN = download()
LATER = START + timedelta(seconds=40)
#: What each act of each person does, by what holds about the download. "no": the person may not;
#: "late": it changes nothing; "ended": the download has ended; "!": it ends the auto-cancel time.
TABLE = """
act       person    nothing   time      waits     and-time  own       runs      ended

submit    rina      created   created   joined    joined    joined    joined    ended
submit    ada       created   created   approved  approved  joined    joined    ended
submit    gil       created   created   joined    joined    joined    joined    ended
submit    eve       no        no        no        no        no        no        no
submit    operator  created   created   joined    joined    joined    joined    ended

alone     rina      no        no        no        no        no        no        no
alone     ada       no        no        no        no        no        no        no
alone     gil       created   created   alone     alone     alone     joined    ended
alone     eve       no        no        no        no        no        no        no
alone     operator  created   created   alone     alone     alone     joined    ended

approve   rina      -         -         no        no        no        late      ended
approve   ada       -         -         complete  complete  no        late      ended
approve   gil       -         -         no        no        no        late      ended
approve   eve       -         -         no        no        no        late      ended
approve   operator  -         -         no        no        no        late      ended

let_run   rina      late      no        withdraw  withdraw  withdraw  late      ended
let_run   ada       late      let_run!  deny      deny!     withdraw  late      ended
let_run   gil       late      no        no        no        withdraw  late      ended
let_run   eve       late      no        no        no        withdraw  late      ended
let_run   operator  late      no        no        no        no        late      ended
"""
HEAD, *ROWS = [line.split() for line in TABLE.splitlines() if line]
PERSONS = {"rina": RINA, "ada": ADA, "gil": GIL, "eve": EVE, "operator": OPERATOR}
WORDS = {
    SubmitResult.CREATED: "created",
    SubmitResult.JOINED: "joined",
    SubmitResult.APPROVED: "approved",
    SubmitResult.ACTED_ALONE: "alone",
    SubmitResult.STARTED: "started",
    True: "complete",
    LetRunDecision(LetRunResult.WITHDRAWN, ends_auto_cancel=False): "withdraw",
    LetRunDecision(LetRunResult.DENIED, ends_auto_cancel=False): "deny",
    LetRunDecision(LetRunResult.DENIED, ends_auto_cancel=True): "deny!",
    LetRunDecision(LetRunResult.LET_RUN, ends_auto_cancel=True): "let_run!",
}
ERRORS = {
    errors.NotAllowed: "no",
    errors.DownloadEnded: "ended",
    errors.CannotCancel: "ended",
    errors.NothingChanged: "late",
}


def situations(act: str, someone: ActingPerson) -> dict[str, list[tuple[Download, Request | None]]]:
    """Return downloads and their open requests, by the column of the table."""
    ended, decides = download(cancelled=True), act in {"approve", "let_run"}
    return {
        "nothing": [(PLAIN, None)],
        "time": [(TIMED, None)],
        "waits": [(PLAIN, request())],
        "and-time": [(TIMED, request())],
        "own": [(PLAIN, request(requester=someone.id))],
        "runs": [(PLAIN, request(State.APPROVED)), (TIMED, request(State.CANCELLING))],
        "ended": [(ended, request() if decides else None)],
    }


def answer(act: str, someone: ActingPerson, stored: Download, opened: Request | None) -> str:
    """Return the word of the table for what an act does."""
    policy = AUTO_CANCEL
    try:
        match act:
            case "approve":
                assert opened
                return WORDS[decisions.approve(policy, stored, opened, someone, now=LATER)]
            case "let_run":
                let_run = decisions.let_run
                return WORDS[let_run(policy, stored, opened, someone, now=LATER, reason="a test")]
        asked = submission(alone=act == "alone")
        return WORDS[decisions.submit(policy, stored, opened, someone, asked)]
    except errors.CancellationError as error:
        return next(word for kind, word in ERRORS.items() if isinstance(error, kind))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]} {row[1]}")
def test_person_act_and_state_give_the_answer(row: list[str]) -> None:
    act, name, *expected = row
    someone = PERSONS[name]
    found = situations(act, someone)

    for column, word in zip(HEAD[2:], expected, strict=True):
        if word != "-":
            answers = {answer(act, someone, *situation) for situation in found[column]}
            assert (column, answers) == (column, {word})


JOINED = SubmitResult.JOINED
SUBMITS = [
    # policy, open request, person, changes of the submission → result or error
    (FREE, None, RINA, {"alone": True}, SubmitResult.CREATED),  # the box means nothing here
    (POLICY, None, GIL, {"alone": True, "reason": " \u3164"}, errors.ReasonMissing),
    (replace(POLICY, require_reason=True), None, RINA, {"reason": ""}, errors.ReasonMissing),
    (POLICY, None, RINA, {"reason": ""}, SubmitResult.CREATED),
    (POLICY, None, RINA, {"job": restore_job(cancelled=True)}, errors.CannotCancel),
    (POLICY, None, RINA, {"job": restore_job(deliveryType="automated")}, errors.CannotCancel),
    (replace(POLICY, read_only=True), None, RINA, {}, errors.ReadOnly),
    (POLICY, request(State.CANCELLING), OPERATOR, {"alone": True}, JOINED),
    # The settings changed while it waits.
    (FREE, request(), GIL, {"alone": True}, SubmitResult.STARTED),
    (FREE, request(), GIL, {}, SubmitResult.STARTED),
    (FREE, request(), RINA, {}, SubmitResult.STARTED),  # who asked then asks anew
    (FREE, request(needed=2), ADA, {}, SubmitResult.APPROVED),
    (FREE, request(), OPERATOR, {}, SubmitResult.STARTED),
    (FREE, request(), EVE, {}, errors.MayNotAsk),
    (FREE, request(State.CANCELLING), GIL, {}, JOINED),
]


@pytest.mark.parametrize(("policy", "opened", "someone", "changes", "answer"), SUBMITS)
def test_submit(
    policy: Policy,
    opened: Request | None,
    someone: ActingPerson,
    changes: dict[str, Any],
    answer: Any,
) -> None:
    def act() -> SubmitResult:
        return decisions.submit(policy, PLAIN, opened, someone, submission(**changes))

    if isinstance(answer, SubmitResult):
        assert act() is answer
    else:
        with pytest.raises(answer):
            act()


@pytest.mark.parametrize(
    ("policy", "stored", "someone", "needed"),
    [
        (FREE, PLAIN, RINA, 0),
        (POLICY, PLAIN, RINA, 1),
        (POLICY, PLAIN, ADA, 1),
        (AUTO_CANCEL, TIMED, ADA, 0),
        (replace(AUTO_CANCEL, approvals=3), TIMED, RINA, 1),
        (replace(AUTO_CANCEL, approvals=3), PLAIN, RINA, 3),
        (replace(AUTO_CANCEL, approvals=0), TIMED, RINA, 0),
        (replace(POLICY, approvals=3), TIMED, RINA, 3),  # today's policy has no auto-cancel
    ],
)
def test_auto_cancel_time_makes_one_decision_of_an_approver_enough(
    policy: Policy, stored: Download, someone: ActingPerson, needed: int
) -> None:
    assert decisions.approvals_needed(policy, stored, someone) == needed


def test_auto_cancel_time_lets_an_approver_start_the_own_request_that_waits() -> None:
    own = request(requester="U0ADA")

    assert decisions.submit(AUTO_CANCEL, TIMED, own, ADA, submission()) is SubmitResult.STARTED


def test_request_whose_download_has_ended_is_not_started() -> None:
    with pytest.raises(errors.DownloadEnded):
        decisions.submit(FREE, download(failed=True), request(), GIL, submission())


def test_one_approval_is_enough_where_the_policy_of_today_wants_none() -> None:
    assert decisions.approve(FREE, PLAIN, request(needed=2), ADA, now=LATER)


TWO = request(needed=2, approvals=(Approval(user="U0ALAN", at=START),))
APPROVALS = [
    # download, open request, person → whether it completes the number, or error
    (PLAIN, request(needed=2), ADA, False),
    (PLAIN, TWO, ADA, True),
    (PLAIN, TWO, ALAN, errors.AlreadyApproved),
    (PLAIN, request(), RINA, errors.MayNotApprove),
    (PLAIN, request(requester="U0ADA"), ADA, errors.OwnRequest),
    (PLAIN, request(State.DENIED), ADA, errors.NothingChanged),
    (TIMED, request(needed=2), ADA, True),
]


@pytest.mark.parametrize(("stored", "opened", "someone", "answer"), APPROVALS)
def test_approve(stored: Download, opened: Request, someone: ActingPerson, answer: Any) -> None:
    if isinstance(answer, bool):
        assert decisions.approve(AUTO_CANCEL, stored, opened, someone, now=LATER) is answer
    else:
        with pytest.raises(answer):
            decisions.approve(AUTO_CANCEL, stored, opened, someone, now=LATER)


@pytest.mark.parametrize(("seconds", "counts"), [(-1, True), (0, False), (30, False)])
def test_approval_at_or_after_the_expiry_never_counts(seconds: int, counts: bool) -> None:
    opened = request()
    now = opened.expires_at + timedelta(seconds=seconds)
    if counts:
        assert decisions.approve(POLICY, PLAIN, opened, ADA, now=now)
        return
    with pytest.raises(errors.NothingChanged) as caught:
        decisions.approve(POLICY, PLAIN, opened, ADA, now=now)
    assert caught.value.request
    assert caught.value.request.state is State.EXPIRED


READ = Starters(read_at=START + timedelta(seconds=21), names=("dana@shop.example",))
SEEN = replace(TIMED, starters=READ)
ADA_OF_SLACK = person("U0ADA", email="ada@shop.example")
DANA = person("U0ALAN", email="Dana@Shop.example")
DENIED, WITHDRAWN, LET_RUN = LetRunResult.DENIED, LetRunResult.WITHDRAWN, LetRunResult.LET_RUN
LET_RUNS = [
    # download, open request, person, reason → result and whether the time ends, or error
    (PLAIN, request(), ADA, " ", errors.ReasonMissing),
    (SEEN, None, ADA_OF_SLACK, "test", (LET_RUN, True)),
    (SEEN, request(), ADA_OF_SLACK, "test", (DENIED, True)),
    (SEEN, request(), RINA, "", (WITHDRAWN, False)),
    (SEEN, request(requester="U0ADA"), ADA_OF_SLACK, "", (WITHDRAWN, True)),
    (SEEN, None, DANA, "test", errors.MayBeStarter),
    (SEEN, request(), DANA, "test", errors.MayBeStarter),
    (SEEN, request(requester="U0ALAN"), DANA, "", (WITHDRAWN, False)),
    (TIMED, None, ADA_OF_SLACK, "test", errors.TooEarly),
]


@pytest.mark.parametrize(("stored", "opened", "someone", "reason", "answer"), LET_RUNS)
def test_let_run(
    stored: Download, opened: Request | None, someone: ActingPerson, reason: str, answer: Any
) -> None:
    def act() -> LetRunDecision:
        return decisions.let_run(AUTO_CANCEL, stored, opened, someone, now=LATER, reason=reason)

    if isinstance(answer, tuple):
        assert act() == LetRunDecision(*answer)
    else:
        with pytest.raises(answer):
            act()


@pytest.mark.parametrize(
    ("stored", "someone", "ends"), [(SEEN, ADA_OF_SLACK, True), (SEEN, DANA, False)]
)
def test_let_run_ends_a_stored_time_also_where_the_policy_of_today_has_no_auto_cancel(
    stored: Download, someone: ActingPerson, *, ends: bool
) -> None:
    decision = decisions.let_run(POLICY, stored, request(), someone, now=LATER, reason="test")

    assert decision == LetRunDecision(DENIED, ends)


@pytest.mark.parametrize(
    ("seconds", "counts_from"),
    [(1, 20), (10, 20), (11, 21), (40, 50)],  # after the start; a read that is late comes next
)
def test_early_click_is_told_from_when_it_counts(seconds: int, counts_from: int) -> None:
    now = START + timedelta(seconds=seconds)

    with pytest.raises(errors.TooEarly) as caught:
        decisions.let_run(AUTO_CANCEL, TIMED, None, ADA_OF_SLACK, now=now, reason="test")

    assert caught.value.counts_from == START + timedelta(seconds=counts_from)


def test_let_run_refuses_only_known_starters_where_the_feed_cannot_be_read() -> None:
    decision = decisions.let_run(
        AUTO_CANCEL, TIMED, None, DANA, now=LATER, reason="x", feed_is_readable=False
    )

    assert decision.ends_auto_cancel
    with pytest.raises(errors.MayBeStarter):
        decisions.let_run(
            AUTO_CANCEL, SEEN, None, DANA, now=LATER, reason="x", feed_is_readable=False
        )


AUTO_CANCELS = [
    # policy, download, open request → step
    (AUTO_CANCEL, TIMED, None, AutoCancelStep.CREATE),
    (AUTO_CANCEL, TIMED, request(), AutoCancelStep.APPROVE),
    (AUTO_CANCEL, TIMED, request(State.APPROVED), AutoCancelStep.WAIT),
    (AUTO_CANCEL, TIMED, request(State.CANCELLING), AutoCancelStep.WAIT),
    (AUTO_CANCEL, PLAIN, None, AutoCancelStep.WAIT),
    (POLICY, TIMED, None, AutoCancelStep.WAIT),
    (replace(AUTO_CANCEL, read_only=True), TIMED, None, AutoCancelStep.WAIT),
    (AUTO_CANCEL, replace(TIMED, let_run=LetRun(by="U0ADA", at=START)), None, AutoCancelStep.WAIT),
    (AUTO_CANCEL, replace(TIMED, auto_cancelled_at=START), None, AutoCancelStep.WAIT),
    (AUTO_CANCEL, replace(TIMED, expired=True), None, AutoCancelStep.WAIT),
]


@pytest.mark.parametrize(("policy", "stored", "opened", "step"), AUTO_CANCELS)
def test_auto_cancel_at_its_time(
    policy: Policy, stored: Download, opened: Request | None, step: AutoCancelStep
) -> None:
    assert decisions.auto_cancel(policy, stored, opened, DUE) is step


def test_auto_cancel_waits_until_its_time() -> None:
    early = DUE - timedelta(milliseconds=1)

    assert decisions.auto_cancel(AUTO_CANCEL, TIMED, None, early) is AutoCancelStep.WAIT


@pytest.mark.parametrize(
    ("back", "step"),
    [(timedelta(seconds=60), AutoCancelStep.WAIT), (timedelta(seconds=61), AutoCancelStep.CREATE)],
)
def test_auto_cancel_does_not_wait_longer_because_the_clock_was_set_back(
    back: timedelta, step: AutoCancelStep
) -> None:
    now = TIMED.stored_at - back

    assert decisions.auto_cancel(AUTO_CANCEL, TIMED, None, now) is step


MINUTE, LIFETIME = timedelta(minutes=1), timedelta(minutes=30)
AT_START = [
    # approvals of the policy, download, request, time since it → state and approvals
    (1, PLAIN, TWO, MINUTE, (State.APPROVED, 1)),
    (2, PLAIN, TWO, MINUTE, (State.AWAITING, 2)),
    (3, PLAIN, TWO, MINUTE, (State.AWAITING, 3)),
    (0, PLAIN, request(needed=1), MINUTE, (State.APPROVED, 0)),
    (2, TIMED, request(needed=1), MINUTE, (State.AWAITING, 1)),
    (0, TIMED, request(needed=1), MINUTE, (State.APPROVED, 0)),
    (1, PLAIN, TWO, LIFETIME, (State.AWAITING, 2)),  # it expires
    (1, download(failed=True), TWO, MINUTE, (State.AWAITING, 2)),
    (2, PLAIN, request(State.APPROVED, needed=1), MINUTE, (State.APPROVED, 1)),
]


@pytest.mark.parametrize(("approvals", "stored", "opened", "after", "answer"), AT_START)
def test_open_request_at_a_start(
    approvals: int,
    stored: Download,
    opened: Request,
    after: timedelta,
    *,
    answer: tuple[State, int],
) -> None:
    policy = replace(AUTO_CANCEL, approvals=approvals)

    assert decisions.state_at_start(policy, stored, opened, START + after) == answer


@pytest.mark.parametrize("state", [State.AWAITING, State.APPROVED, State.CANCELLING])
def test_open_request_of_a_read_only_project_ends_at_a_start(state: State) -> None:
    policy = replace(POLICY, read_only=True)

    found, _ = decisions.state_at_start(policy, PLAIN, request(state), START)
    assert found is State.WITHDRAWN


APPROVED_BY_ADA = request(State.APPROVED, approvals=(Approval(user="U0ADA", at=START),))
PEOPLE = {"U0RINA": RINA, "U0ADA": ADA, "U0GIL": GIL}
NO_RINA = {**PEOPLE, "U0RINA": person("U0RINA2")}
NO_ADA = {**PEOPLE, "U0ADA": person("U0EVE")}
JUDGEMENTS = [
    # policy, request, people → allowed, lost right, voided, missing
    (POLICY, APPROVED_BY_ADA, PEOPLE, (True, False, set(), 0)),
    (POLICY, APPROVED_BY_ADA, NO_ADA, (False, False, {"U0ADA"}, 1)),
    (POLICY, APPROVED_BY_ADA, NO_RINA, (False, True, set(), 0)),
    (replace(POLICY, approvals=2), APPROVED_BY_ADA, PEOPLE, (False, False, set(), 1)),
    (POLICY, request(State.APPROVED, alone="U0GIL"), PEOPLE, (True, False, set(), 0)),
    (POLICY, request(State.APPROVED, alone="U0ADA"), PEOPLE, (False, False, {"U0ADA"}, 1)),
    (POLICY, replace(APPROVED_BY_ADA, alone="U0ADA"), PEOPLE, (False, False, {"U0ADA"}, 1)),
    (POLICY, replace(TWO, alone="U0ADA"), PEOPLE, (False, False, {"U0ADA"}, 1)),
    (POLICY, request(requester="U0ADA", alone="U0ADA"), PEOPLE, (False, True, set(), 0)),
    (POLICY, request(State.APPROVED, alone="cli:root"), {}, (True, False, set(), 0)),
    (POLICY, request(State.APPROVED, is_automatic=True), {}, (True, False, set(), 0)),
    (FREE, request(State.APPROVED, needed=0), PEOPLE, (True, False, set(), 0)),
    (POLICY, request(State.APPROVED, needed=0, requester="cli:root"), {}, (True, False, set(), 0)),
]


@pytest.mark.parametrize(("policy", "approved", "people", "answer"), JUDGEMENTS)
def test_judgement_right_before_the_delete(
    policy: Policy, approved: Request, people: dict[str, Person], answer: Any
) -> None:
    judgement = decisions.judge(policy, PLAIN, approved, people)

    found = (
        judgement.allows_delete,
        judgement.has_lost_right,
        set(judgement.voided),
        judgement.missing,
    )
    assert found == answer


TWO_APPROVALS = replace(POLICY, approvals=2)
SILENT = [
    # policy, download, request → approvals that are missing
    (POLICY, PLAIN, APPROVED_BY_ADA, 0),
    (TWO_APPROVALS, PLAIN, APPROVED_BY_ADA, 1),
    (POLICY, PLAIN, request(State.APPROVED, needed=0), 1),
    (FREE, PLAIN, request(State.APPROVED, needed=1), 1),
    (TWO_APPROVALS, PLAIN, request(State.APPROVED, alone="U0GIL"), 0),
    (replace(AUTO_CANCEL, approvals=2), TIMED, request(State.APPROVED, needed=0), 0),
]


@pytest.mark.parametrize(("policy", "stored", "approved", "missing"), SILENT)
def test_judgement_counts_approvals_also_while_slack_does_not_answer(
    policy: Policy, stored: Download, approved: Request, missing: int
) -> None:
    judgement = decisions.judge_without_slack(policy, stored, approved)

    assert (judgement.missing, judgement.allows_delete) == (missing, not missing)


def test_judgement_has_the_number_of_approvals_that_today_wants() -> None:
    judgement = decisions.judge(replace(POLICY, approvals=2), PLAIN, APPROVED_BY_ADA, PEOPLE)

    assert (judgement.needed, judgement.missing) == (2, 1)


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        (APPROVED_BY_ADA, {"U0RINA", "U0ADA"}),
        (request(alone="U0GIL"), {"U0GIL"}),
        (request(alone="cli:root"), set()),
        (request(is_automatic=True), set()),
        (request(requester="cli:root"), set()),
    ],
)
def test_people_to_judge(opened: Request, expected: set[str]) -> None:
    assert decisions.people_to_judge(opened) == expected


def test_read_only_project_allows_no_delete() -> None:
    automatic = request(State.APPROVED, is_automatic=True)

    assert not decisions.judge(replace(POLICY, read_only=True), PLAIN, automatic, {}).allows_delete


def test_one_approval_is_enough_while_the_auto_cancel_time_stands() -> None:
    policy = replace(AUTO_CANCEL, approvals=2)
    approved = replace(APPROVED_BY_ADA, needed=2)

    assert decisions.judge(policy, TIMED, approved, PEOPLE).allows_delete
    assert not decisions.judge(policy, PLAIN, approved, PEOPLE).allows_delete
