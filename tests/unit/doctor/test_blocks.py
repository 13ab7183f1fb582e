"""What Slack answers to the samples of messages and dialogs."""

import pytest

from bot.doctor.blocks import Sample, check_blocks, samples
from bot.doctor.results import REPORT, Level
from bot.slack import ids
from tests.unit.slack.fake_slack import LINKS, FakeSlack, api_error

SAMPLES = [
    Sample("card", "message", {}),
    Sample("dialog", "view", {}),
    Sample("help", "message", {}),
]
FAULT = {"pointer": "/blocks/0/type", "code": "failed_constraint", "message": "unsupported type"}


async def test_fault_that_is_a_string_is_reported_as_it_stands() -> None:
    slack = FakeSlack()
    slack.respond("blocks.validate", {"ok": False, "error": "invalid_view", "errors": ["no title"]})
    (found,) = await check_blocks(slack, SAMPLES[:1])

    assert found.message == "Slack refuses it: no title"


def test_samples_have_every_button_of_messages() -> None:
    shown = str([sample.payload for sample in samples(LINKS) if sample.kind == "message"])

    for name in ("APPROVE", "DENY", "WITHDRAW", "KEEP", "RETRY", "MINE", "NOT_MINE", "OPEN"):
        assert repr(getattr(ids, name)) in shown


async def test_refusal_is_a_problem_that_names_sample_and_pointer_and_the_rest_is_checked() -> None:
    slack = FakeSlack()
    slack.respond(
        "blocks.validate", {}, {"ok": False, "error": "invalid_view", "errors": [FAULT]}, {}
    )
    (found,) = await check_blocks(slack, SAMPLES)

    assert (found.check, found.subject, found.level) == ("slack_blocks", "dialog", Level.PROBLEM)
    assert found.message == "Slack refuses it: unsupported type at /blocks/0/type"
    assert found.hint == REPORT
    assert len(slack.calls) == len(SAMPLES)


@pytest.mark.parametrize(
    ("answer", "level", "message"),
    [
        ("unknown_method", Level.UNCHECKED, "Slack does not know the method blocks.validate"),
        ("fatal_error", Level.WARNING, "2 of 3 not checked: Slack answered fatal_error"),
        (OSError(), Level.WARNING, "2 of 3 not checked: Slack did not answer"),
        (
            api_error("ratelimited", 429, {"Retry-After": "60"}),
            *(Level.WARNING, "2 of 3 not checked: Slack limits the calls"),
        ),
    ],
)
async def test_missing_answer_is_no_problem(
    answer: str | Exception, level: Level, message: str
) -> None:
    slack = FakeSlack()
    slack.respond("blocks.validate", {}, answer)
    (found,) = await check_blocks(slack, SAMPLES, 0.05)

    assert found.level is level
    assert found.message.startswith(message)
