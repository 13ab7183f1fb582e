"""The steps of `cancel`: sentences on a terminal, JSON lines elsewhere, each shown once."""

import json

import pytest

from bot.cancellation.events import EventName
from bot.cancellation.facts import facts_of
from bot.cancellation.request import Outcome, State
from bot.cli.output import OutputFormat
from bot.cli.steps import Steps, ending
from tests.support.domain import LINK, POLICY, START, download, request, restore_job

AT = "2026-12-02T12:00:05.000+00:00"


def event(name: EventName, **detail: object) -> dict[str, object]:
    return {"at": AT, "event": str(name), **detail}


EVENTS = [
    event(EventName.CREATED),
    event(EventName.CANCEL_SENT),
    event(EventName.CANCEL_ANSWERED, status=400, code="CANNOT_CANCEL"),
    event(EventName.REFUSED),
]


def test_each_step_is_shown_once_and_the_end_is_left_to_its_own_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = Steps(OutputFormat.TABLE)
    steps.show(request(), EVENTS[:2])
    steps.show(request(), EVENTS)

    assert capsys.readouterr().out.splitlines() == [
        "12:00:05  The request is recorded.",
        "12:00:05  The DELETE is being sent.",
        "12:00:05  Atlas answered the DELETE: 400 CANNOT_CANCEL.",
    ]


def test_json_line_has_the_state_after_its_event_and_not_that_of_now(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = Steps(OutputFormat.JSON, {"state": "in_progress"})
    events = [event(EventName.CREATED, state="approved"), event(EventName.CANCELLING), *EVENTS[1:]]
    steps.show(request(state=State.REFUSED), events)
    steps.show_end(request(state=State.REFUSED), "Refused.", events)

    assert [json.loads(line)["state"] for line in capsys.readouterr().out.splitlines()] == [
        *("approved", "cancelling", "cancelling", "cancelling", "refused"),
    ]


def test_trouble_is_shown_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    steps = Steps(OutputFormat.TABLE)
    for trouble in ("Atlas does not answer.", "Atlas does not answer.", "", "Again."):
        steps.show(request(trouble=trouble), [])

    assert capsys.readouterr().out.count("tries again until the download is over.") == 2


def test_json_line_has_the_fields_of_the_list_and_the_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = Steps(OutputFormat.JSON, {"job": "j1", "state": "in_progress"})
    steps.show_end(request(id="r1", state=State.REFUSED), "Refused.", EVENTS)

    assert json.loads(capsys.readouterr().out) == {
        "job": "j1",
        "at": AT,
        "event": "request:refused",
        "state": "refused",
        "request": "r1",
        "sentence": "Refused.",
    }


REFUSED = Outcome(status=400, code="CANNOT_CANCEL", error="Atlas does not cancel this job.")


@pytest.mark.parametrize(
    ("state", "changes", "outcome", "parts"),
    [
        (State.CANCELLED, {"cancelled": True}, Outcome(), ("Atlas confirms it.", "No link was")),
        (
            State.CANCELLED,
            {"cancelled": True, **LINK},
            Outcome(),
            ("a copy may have been taken.", "Tell your security team."),
        ),
        (State.REFUSED, {}, REFUSED, ("Atlas refused", "CANNOT_CANCEL", "Cancel it in Atlas")),
        (State.OVER, {"expired": True}, Outcome(), ("it expired",)),
        (State.FAILED, {}, Outcome(error="No answer."), ("gave up", "No answer.")),
    ],
)
def test_end_says_what_happened_and_what_to_do(
    state: State, changes: dict[str, object], outcome: Outcome, parts: tuple[str, ...]
) -> None:
    job = download().observed(restore_job(**changes), START)
    sentence = ending(facts_of(job, [request(state=state, outcome=outcome)], POLICY))

    assert [part for part in parts if part not in sentence] == []
    assert ":rotating_light:" not in sentence
