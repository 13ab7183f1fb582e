"""External text is shown as text: no mention, no link, no secret in what Slack gets."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.sandbox.atlas import PROJECT_ID, FakeAtlasServer, Fault, Kind
from bot.sandbox.slack import FakeSlackServer
from tests.acceptance.environment import RUNNING, BotEnvironment, open_environment

JOB = RUNNING[1]

HOSTILE = (
    "<!channel> <!here> <@U0ADA00001> <#C0OPS00001> <https://evil.invalid|Go to the card> "
    "*bold* `code` ~gone~ & &lt;!everyone&gt; \u202e backwards @channel @here\n"
    ">quoted\n*Approved by* <@U0ABE00001> (1 of 1)\n```\nblock"
)

#: Allowed angle brackets: people, channels, dates, and links that the bot builds.
OWN_MARKUP = re.compile(
    r"<(@U\w+|#C\w+|!date\^\d+\^[^|>]*\|[^>]*"
    r"|https://cloud\.mongodb\.com/[^|>]*\|[^>]*|http://127\.0\.0\.1:\d+/[^|>]*\|[^>]*"
    r"|https?://[a-z.]*slack\.com/[^|>]*\|[^>]*)>"
)


def texts(thing: object) -> Iterator[str]:
    """Every string in a payload, parsed from JSON where a part of it is JSON."""
    if isinstance(thing, dict):
        for value in thing.values():
            yield from texts(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from texts(value)
    elif isinstance(thing, str):
        yield thing


def mrkdwn(thing: object) -> Iterator[str]:
    """Every text that Slack reads as markup, and the fallback texts of messages."""
    if isinstance(thing, dict):
        if thing.get("type") == "mrkdwn":
            yield str(thing["text"])
        if isinstance(thing.get("text"), str) and "channel" in thing:
            yield str(thing["text"])
        for value in thing.values():
            yield from mrkdwn(value)
    elif isinstance(thing, list):
        for value in thing:
            yield from mrkdwn(value)


def sent(env: BotEnvironment) -> list[dict[str, object]]:
    """Return the arguments of calls to the Web API, with JSON parsed."""

    def parsed(value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError:
            return value

    return [{k: parsed(v) for k, v in call.args.items()} for call in env.slack.calls]


def check(env: BotEnvironment) -> None:
    for text in [text for call in sent(env) for text in mrkdwn(call)]:
        rest = OWN_MARKUP.sub("", text)
        # A quote mark begins a line; every other angle bracket is escaped.
        rest = re.sub(r"^>", "", rest, flags=re.MULTILINE)
        assert "<" not in rest, text
        assert ">" not in rest, text
        assert "\u202e" not in text


def project_with_markup_in_its_name(_slack: FakeSlackServer, atlas: FakeAtlasServer) -> None:
    atlas.world.projects[PROJECT_ID].name = HOSTILE.replace("\n", " ")


async def test_reasons_and_names_are_escaped_everywhere(tmp_path: Path) -> None:
    """A project whose name calls the channel, and a reason that pretends to be the bot."""
    async with open_environment(tmp_path, before=project_with_markup_in_its_name) as env:
        await env.submit_request(RUNNING, reason=HOSTILE)
        ending = await env.wait_for_outcome(JOB)

        assert ending.state == "cancelled"
        check(env)
        assert any("&lt;!channel&gt;" in text for call in sent(env) for text in mrkdwn(call))
        # Each line of the reason is quoted and as typed, so that none can pass for the bot's own.
        assert "\n>`*Approved by*" in ending.card


@pytest.mark.parametrize("detail", [HOSTILE, "see https://restore-x.invalid/secret.tar.gz"])
async def test_error_details_of_atlas_are_escaped_in_slack(
    env: BotEnvironment, detail: str
) -> None:
    """Error details and codes are from outside too; `{address}` is where the fault puts its own."""
    fault = Fault(
        kind=Kind.ERROR,
        code="IP_ADDRESS_NOT_ON_ACCESS_LIST",
        values={"address": detail},
        path=JOB,
        times=None,
    )
    view = await env.open_dialog(RUNNING)
    env.atlas.faults.add(fault)
    await env.slack.people.submits("rina", view, {"reason": ""})
    ending = await env.wait_for_outcome(JOB)
    await env.open_dialog(RUNNING)

    assert ending.state == "refused"
    check(env)
    for text in texts(sent(env)):
        assert "evil.invalid" not in text
        assert "tar.gz" not in text
