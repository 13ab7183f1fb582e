"""Faults of Slack: late triggers, dialogs closed before the answer, posts that fail or repeat."""

from bot.sandbox.slack import Fault
from tests.acceptance.environment import RUNNING, BotEnvironment, is_card

JOB = RUNNING[1]

MANY = (
    Fault(kind="status", status=503),
    Fault(kind="reset_after"),
    Fault(kind="status", status=500),
    Fault(kind="error", code="fatal_error"),
    Fault(kind="reset_after"),
    Fault(kind="error", code="service_unavailable"),
    Fault(kind="garbage"),
    Fault(kind="ratelimited", seconds=1.0),
)


async def test_random_slack_faults_give_one_card_and_one_reply_per_request(
    env: BotEnvironment,
) -> None:
    for fault in MANY:
        env.slack.faults.add("chat.postMessage", fault)
    jobs = [env.new_job() for _ in range(5)]
    for job in jobs:
        await env.submit_request(job)
    for job in jobs:
        ending = await env.wait_for_outcome(job[1], seconds=30)

        assert ending.state == "cancelled"
        assert len(env.slack.state.replies(ending.message)) == 1
    assert len([message for message in env.slack.state.messages("ops") if is_card(message)]) == 5


async def test_outcome_is_posted_after_an_outage_of_slack(env: BotEnvironment) -> None:
    """The cancellation does not wait for Slack; the card comes as soon as Slack is back."""
    view = await env.open_dialog(RUNNING)
    env.slack.faults.add("*", Fault(kind="status", status=503), times=2)
    await env.slack.people.submits("rina", view, {"reason": ""})
    ending = await env.wait_for_outcome(JOB, seconds=20)

    assert ending.state == "cancelled"
    assert len([message for message in env.slack.state.messages("ops") if is_card(message)]) == 1
