"""Doctor posts a signed test event, and reports the receiver's answer."""

import pytest

from bot.doctor.results import Level
from bot.doctor.run import check_audit_webhook
from bot.settings import AuditWebhookSettings
from tests.support.receiver import SECRET, Receiver


def settings(receiver: Receiver) -> AuditWebhookSettings:
    return AuditWebhookSettings.model_validate({"url": receiver.url, "secret": SECRET})


async def test_receiver_that_takes_the_test_event_is_ok() -> None:
    async with Receiver().open() as receiver:
        result = await check_audit_webhook(settings(receiver))

    assert result.level is Level.OK
    assert [(event["type"], "subject" in event) for event in receiver.taken] == [
        ("cancel-restore.doctor.ping", False)
    ]


@pytest.mark.parametrize(("status", "why"), [(401, "the answer was 401"), (None, "no answer")])
async def test_receiver_that_does_not_take_it_is_a_problem(status: int | None, why: str) -> None:
    receiver = Receiver(fault_of=lambda _event: status)
    async with receiver.open():
        if status:
            result = await check_audit_webhook(settings(receiver))
    if not status:
        result = await check_audit_webhook(settings(receiver))

    assert result.level is Level.PROBLEM
    assert why in result.message
    assert SECRET not in result.message + result.hint
