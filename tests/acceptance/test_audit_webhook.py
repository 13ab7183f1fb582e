"""A bot sends its audit log to a receiver that fails at first, and cancels jobs in that time."""

import json
from pathlib import Path

from tests.acceptance.environment import RUNNING, open_environment
from tests.support.process import run_command
from tests.support.receiver import SECRET, Receiver


async def test_audit_log_arrives_after_an_outage_that_delays_no_cancel(tmp_path: Path) -> None:
    receiver = Receiver(fault_of=lambda _event: 500)
    async with receiver.open():
        environ: dict[str, str | None] = {
            "BOT_AUDIT_WEBHOOK_URL": receiver.url,
            "BOT_AUDIT_WEBHOOK_SECRET": SECRET,
        }
        async with open_environment(tmp_path, environ) as env:
            assert (await env.submit_request(RUNNING)).ok
            ending = await env.wait_for_outcome(RUNNING[1])
            receiver.fault_of = lambda _event: None
            printed = await run_command(
                *("audit", "--format", "jsonl"), DATABASE_URL=f"sqlite:///{tmp_path}/bot.db"
            )
            lines = [json.loads(line) for line in printed.out.splitlines()]
            await receiver.until_taken(len(lines), 40)
            _, metrics = await env.get("/metrics")

    assert ending.state == "cancelled"
    assert [event["data"] for event in receiver.taken] == lines
    assert "cancel_restore_audit_webhook_lag_seconds" in metrics
