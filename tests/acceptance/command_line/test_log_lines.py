"""The log lines of what a command does: its own, and those of the active bot."""

from typing import Any

import pytest

from tests.acceptance.command_line.commands import RUNNING, YES, Environ, lines, run
from tests.support.polling import wait_until
from tests.support.process import BotProcess

SEEN = {"project": "shop-prod", "cluster": RUNNING[0], "job": RUNNING[1]}


def named(log: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in log if line["event"] == event]


async def test_json_log_has_each_event_with_the_fields_of_its_line_of_audit(
    environ: Environ,
) -> None:
    ran = await run(environ | {"LOG_FORMAT": "json"}, "cancel", *RUNNING, *YES)
    record = lines((await run(environ, "audit")).out)
    logged = named(lines(ran.err), "audit")

    assert ran.code == 0
    assert [line["name"] for line in logged] == [line["event"] for line in record]
    for line, event in zip(logged, record, strict=True):
        assert {**event, "event": "audit"}.items() <= line.items()


async def test_json_log_has_the_download_once_as_seen_and_as_ended(environ: Environ) -> None:
    ran = await run(environ | {"LOG_FORMAT": "json"}, "cancel", *RUNNING, *YES)
    log = lines(ran.err)
    (seen,), (ended,) = named(log, "download_seen"), named(log, "download_ended")
    end = {"how": "cancelled", "started_by": ["dana@shop.example"], "link_seen": False}

    assert SEEN.items() <= seen.items()
    assert seen["started"].startswith("2024-03-12T")
    assert {**SEEN, **end}.items() <= ended.items()


@pytest.mark.parametrize("format_", [{}, {"LOG_FORMAT": "console"}], ids=["by default", "console"])
async def test_command_logs_nothing_in_another_format(environ: Environ, format_: Environ) -> None:
    ran = await run(environ | format_, "cancel", *RUNNING, *YES)

    assert (ran.code, ran.err) == (0, "")


async def test_active_bot_logs_the_download_that_a_command_stored_first(
    with_slack: Environ, environ: Environ
) -> None:
    without_watch = {"BOT_CHANNEL": ""}
    with BotProcess(with_slack | without_watch) as bot:
        await bot.ready()
        ran = await run(environ | without_watch, "cancel", *RUNNING, *YES)
        await wait_until(lambda: "download_ended" in bot.log)
        log = lines(bot.log)

    assert ran.code == 0
    assert [SEEN.items() <= line.items() for line in named(log, "download_seen")] == [True]
    assert [SEEN.items() <= line.items() for line in named(log, "download_ended")] == [True]


async def test_start_warns_of_variables_without_effect_and_of_risks(with_slack: Environ) -> None:
    more = {
        "BOT_APPROVER": "U0ADA00001",
        "BOT_APPROVERS": "U0ADA00001",
        "BOT_AUTO_CANCEL_AFTER": "20",
        "BOT_WATCH_INTERVAL": "110",
    }
    with BotProcess(with_slack | more) as bot:
        await bot.ready()
        warnings = named(lines(bot.log), "setting needs attention")

    assert [line["level"] for line in warnings] == ["warning"] * 3
    for line, part in zip(warnings, ("BOT_APPROVER ", "less than 30 s", "below 30 s"), strict=True):
        assert part in line["why"]


async def test_variables_without_effect_are_warned_of_and_risks_of_serve_are_not(
    environ: Environ,
) -> None:
    more = {
        "BOT_APPROVER": "U0ADA00001",
        "BOT_APPROVERS": "U0ADA00001",
        "BOT_AUTO_CANCEL_AFTER": "20",
        "SLACK_BOT_TOKEN": "sesame",
        "SLACK_APP_TOKEN": "sesame",
    }
    ran = await run(environ | more, "list", "prod-eu")
    warning = (
        "Warning: BOT_APPROVER is not a setting of the bot and has no effect. "
        "Did you mean BOT_APPROVERS?\n"
    )

    assert (ran.code, ran.err) == (0, warning)
