"""Who is asked whether a download is theirs, who may answer, and what an answer ends."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.atlas import JobState
from bot.cancellation.errors import AlreadyAnswered, NotAsked, QuestionOver
from bot.cancellation.job import Job, StarterAnswer
from bot.cancellation.lifecycle import Ending, State
from bot.cancellation.people import ActingPerson, Kind, Person
from bot.cancellation.policy import DISOWNED, Mode, Policy, answer_refusal, email_to_ask, ending_by
from bot.cancellation.starter import StartedBy, Starter, StarterKind, StarterStatus
from tests.support.clock import NOON
from tests.support.domain import ADA, RINA, a_request, a_waiting_request, job_ref

DANA = Starter(kind=StarterKind.USER, name="Dana@shop.example")
POLICY = Policy(watch_channel="C0WATCH")
OUTSIDER = ActingPerson(Person(id=RINA.id, team="T0ELSE", kind=Kind.OUTSIDER))
GUEST = ActingPerson(Person(id=RINA.id, team=RINA.team, kind=Kind.GUEST))


def a_download(starter: Starter | None = DANA, **changes: Any) -> Job:
    started_by = StartedBy(StarterStatus.KNOWN, starter) if starter else StartedBy()
    job = Job.new(job_ref(), timedelta(minutes=3), NOON)
    return replace(job, started_by=started_by, version=1, **changes)


def enforcing(mode: Mode = Mode.ENFORCE, *expected: str) -> Policy:
    return replace(POLICY, quarantine=mode, quarantine_expected=frozenset(expected))


@pytest.mark.parametrize("policy", [POLICY, enforcing(), enforcing(Mode.OFF, "etl@shop.example")])
def test_certain_user_is_asked_with_or_without_quarantine(policy: Policy) -> None:
    assert email_to_ask(policy, a_download()) == "Dana@shop.example"


@pytest.mark.parametrize(
    ("policy", "job"),
    [
        (replace(POLICY, ask_starter=False), a_download()),
        (replace(POLICY, watch_channel=None), a_download()),
        (replace(POLICY, watch_channel=""), a_download()),
        (enforcing(Mode.OFF, "dana@shop.example"), a_download()),
        (POLICY, a_download(None)),
        (POLICY, a_download(replace(DANA, certain=False, others=("eve@shop.example",)))),
        (POLICY, a_download(replace(DANA, name="dana"))),
        (POLICY, a_download(replace(DANA, kind=StarterKind.OAUTH_APP))),
        (POLICY, a_download(replace(DANA, kind=StarterKind.API_KEY))),
        (POLICY, a_download(replace(DANA, kind=StarterKind.MONGODB_STAFF))),
        (POLICY, a_download(was_running=True)),
        (POLICY, a_download(state=JobState.CANCELLED)),
        (POLICY, a_download(asked=RINA.id)),
        (POLICY, a_download(asked=None)),
    ],
    ids=[
        *("switched off", "not watched", "record only", "expected", "not known", "not certain"),
        *("no e-mail", "application", "key", "staff", "ran before the watch", "ended", "asked"),
        "known before the upgrade",
    ],
)
def test_no_one_is_asked(policy: Policy, job: Job) -> None:
    assert email_to_ask(policy, job) is None


def test_asked_person_may_answer_once_until_the_download_ends() -> None:
    job = a_download(asked=RINA.id)

    assert answer_refusal(job, RINA) is None
    for stranger in (ADA, OUTSIDER, GUEST):
        assert isinstance(answer_refusal(job, stranger), NotAsked)
    assert isinstance(answer_refusal(a_download(), RINA), NotAsked)
    assert isinstance(answer_refusal(replace(job, state=JobState.EXPIRED), RINA), QuestionOver)
    answered = replace(job, answer=StarterAnswer.NOT_MINE)
    assert isinstance(answer_refusal(answered, RINA), AlreadyAnswered)


@pytest.mark.parametrize(
    ("answer", "policy", "state", "expected"),
    [
        (StarterAnswer.NOT_MINE, enforcing(), State.QUARANTINED, State.APPROVED),
        (StarterAnswer.MINE, enforcing(), State.QUARANTINED, None),
        (StarterAnswer.NOT_MINE, enforcing(Mode.OBSERVE), State.QUARANTINED, None),
        (StarterAnswer.NOT_MINE, POLICY, State.QUARANTINED, None),
        (StarterAnswer.NOT_MINE, None, State.QUARANTINED, None),
        (StarterAnswer.NOT_MINE, enforcing(), State.KEPT, None),
        (StarterAnswer.NOT_MINE, enforcing(), State.CANCELLING, None),
    ],
)
def test_only_a_disowned_download_in_an_enforced_quarantine_is_cancelled_at_once(
    answer: StarterAnswer, policy: Policy | None, state: State, expected: State | None
) -> None:
    request = a_request(requester="", state=state)

    ending = Ending.explained(expected, DISOWNED) if expected else None
    assert ending_by(answer, policy, request) == ending
    assert ending_by(answer, policy, a_waiting_request()) is None
