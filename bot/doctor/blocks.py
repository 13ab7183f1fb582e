"""Asks Slack whether it takes what the bot can send: `blocks.validate` posts nothing."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.doctor.results import REPORT, CheckResult, Subject
from bot.doctor.samples import Sample
from bot.slack.client import code_of
from bot.slack.errors import CALL_ERRORS, RateLimited, translate_error

#: Seconds for all samples, one after the other: Slack does not publish the method's rate limit.
TIMEOUT = 20.0
BLOCKS = Subject("slack_blocks", "messages, dialogs and Home tab", "Slack")
REFUSALS = frozenset({"invalid_blocks", "invalid_message", "invalid_view"})
NOT_KNOWN = "Slack does not know the method blocks.validate: they were not checked"
LATER = "Run doctor again in a few minutes; the bot works without this check."


async def check_blocks(
    client: AsyncWebClient, samples: Sequence[Sample], seconds: float = TIMEOUT
) -> list[CheckResult]:
    """Return each refusal as a problem; a slow or limited Slack leaves a warning."""
    found: list[CheckResult] = []
    checked = 0
    why = f"Slack did not answer within {seconds:.0f} s"
    try:
        async with asyncio.timeout(seconds):
            for sample in samples:
                found += await _refusals(client, sample)
                checked += 1
    except CALL_ERRORS as error:
        trouble = translate_error(error)
        if trouble.code == "unknown_method":
            return [BLOCKS.unchecked(NOT_KNOWN)]
        if not isinstance(error, TimeoutError):
            why = f"Slack answered {trouble.code}" if trouble.code else "Slack did not answer"
    if checked < len(samples):
        left = len(samples) - checked
        return [*found, BLOCKS.warning(f"{left} of {len(samples)} not checked: {why}", LATER)]
    return found or [BLOCKS.ok(f"Slack accepts all {checked} that the bot can send")]


async def _refusals(client: AsyncWebClient, sample: Sample) -> list[CheckResult]:
    view, message = (sample.payload, None) if sample.kind == "view" else (None, sample.payload)
    while True:
        try:
            await client.blocks_validate(view=view, message=message)
        except SlackApiError as error:
            if code_of(error) in REFUSALS:
                subject = Subject(BLOCKS.check, sample.name, BLOCKS.group)
                why = "; ".join(_reasons(error.response.data))
                return [subject.problem(f"Slack refuses it: {why}", REPORT)]
            limited = translate_error(error)
            if not isinstance(limited, RateLimited):
                raise
            await asyncio.sleep(limited.seconds)
        else:
            return []


def _reasons(answer: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong, with the JSON pointer to it."""
    for each in answer.get("errors") or [{}]:
        yield f"{each.get('message') or answer['error']} at {each.get('pointer') or '/'}"
