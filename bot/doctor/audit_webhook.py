"""Checks the audit webhook: its receiver takes a signed test event."""

from datetime import UTC, datetime

from bot.doctor.results import CheckResult, Subject
from bot.settings import AuditWebhookSettings

SUBJECT = Subject("audit_webhook", "BOT_AUDIT_WEBHOOK_URL")

TYPE = "cancel-restore.doctor.ping"


async def check_audit_webhook(settings: AuditWebhookSettings) -> CheckResult:
    """Post a test event; only the receiver can say whether the secret is right."""
    # Loading the libraries takes 40 ms, which most bots save.
    from bot.webhook.client import WebhookClient, ping  # noqa: PLC0415 - see above

    client = WebhookClient(settings.url, settings.secret)
    try:
        problem = await client.post(ping(datetime.now(UTC)))
    finally:
        await client.aclose()
    if problem:
        return SUBJECT.problem(
            f"the receiver does not take a test event: {problem}",
            "Check the address, that the receiver runs and answers 2xx, and that it has the same "
            "BOT_AUDIT_WEBHOOK_SECRET; events wait in the database until then.",
        )
    return SUBJECT.ok(f"the receiver took a signed test event ({TYPE})")
