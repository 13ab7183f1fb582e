"""Private replies and their fallbacks."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from bot.slack.dependencies import Interaction, PrivateReply
from bot.slack.errors import CallLimits
from bot.slack.payloads import Actor
from tests.support.web import listening
from tests.unit.slack.fake_slack import HOME, FailingBudget, FakeSlack


def click(channel: str | None = "C1", url: str | None = None) -> Interaction:
    actor = Actor(id="U1", team=HOME, is_outsider=False)
    return Interaction(actor=actor, channel_id=channel, response_url=url)


@dataclass(slots=True)
class ResponseUrl:
    """A loopback server as response URL."""

    url: str = ""
    status: int = 200
    refusals: list[tuple[int, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        status, text = self.refusals.pop(0) if self.refusals else (self.status, "ok")
        return web.Response(text=text, status=status)


@pytest.fixture
async def response_url() -> AsyncIterator[ResponseUrl]:
    place = ResponseUrl()
    app = web.Application()
    app.router.add_post("/", place.answer)
    async with listening(app) as port:
        place.url = f"http://127.0.0.1:{port}/"
        yield place


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    client = FakeSlack()
    client.base_url = "http://127.0.0.1/api/"
    async with ClientSession() as client.session:
        yield client


async def test_response_url_is_tried_first(slack: FakeSlack, response_url: ResponseUrl) -> None:
    await PrivateReply(slack).send_text(click(url=response_url.url), "No.")
    (body,) = response_url.bodies
    sent = (body["text"], body["response_type"], body["replace_original"])
    assert sent == ("No.", "ephemeral", False)
    assert slack.calls == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hooks.slack.com/commands/T1/2/3", True),
        ("https://hooks.slack-gov.com/actions/T1/2/3", True),
        ("https://gateway.example.com:8443/commands/T1/2/3", True),
        ("http://hooks.slack.com/commands/T1/2/3", False),
        ("http://gateway.example.com/commands/T1/2/3", False),
        ("https://notslack.com/", False),
        ("https://hooks.slack.com.example.com/", False),
        ("https://hooks.slack.com@example.com/", False),
        ("http://169.254.169.254/latest/meta-data", False),
        ("nonsense", False),
    ],
)
async def test_only_hosts_of_slack_and_of_the_api_are_called(
    slack: FakeSlack, monkeypatch: pytest.MonkeyPatch, url: str, expected: bool
) -> None:
    called = []

    async def respond(_self: PrivateReply, url: str, _message: object) -> bool:
        called.append(url)
        return True

    monkeypatch.setattr(PrivateReply, "_respond", respond)
    slack.base_url = "https://gateway.example.com/slack/api/"
    await PrivateReply(slack).send_text(click(None, url), "No.")

    assert called == ([url] if expected else [])


@pytest.mark.parametrize(
    ("url", "answer"),
    [(None, (404, "")), (None, (200, "<html>Log in</html>")), ("http://127.0.0.1:1/", (200, "ok"))],
    ids=["refused", "page of a proxy", "unreachable"],
)
async def test_response_url_without_success_falls_back_to_an_ephemeral_message(
    slack: FakeSlack, response_url: ResponseUrl, url: str | None, answer: tuple[int, str]
) -> None:
    response_url.refusals = [answer] * 2
    await PrivateReply(slack).send_text(click(url=url or response_url.url), "No.")

    assert slack.methods == ["chat.postEphemeral"]


async def test_failed_ephemeral_message_falls_back_to_a_direct_message(slack: FakeSlack) -> None:
    slack.respond("chat.postEphemeral", "user_not_in_channel")
    await PrivateReply(slack).send_text(click(), "No.")

    assert slack.methods == ["chat.postEphemeral", "chat.postMessage"]
    assert slack.called("chat.postMessage")[0]["channel"] == "U1"


async def test_direct_message_is_not_sent_within_slacks_retry_after(slack: FakeSlack) -> None:
    slack.respond("chat.postEphemeral", *["user_not_in_channel"] * 2)
    slack.respond("chat.postMessage", "ratelimited")
    replies = PrivateReply(slack)
    for _ in range(2):
        await replies.send_text(click(), "No.")

    assert slack.methods == ["chat.postEphemeral", "chat.postMessage", "chat.postEphemeral"]


async def test_direct_message_is_sent_while_the_database_cannot_be_written(
    slack: FakeSlack,
) -> None:
    await PrivateReply(slack, CallLimits(shared=FailingBudget([]))).send_text(click(None), "No.")

    assert slack.methods == ["chat.postMessage"]


async def test_undeliverable_reply_is_logged_as_a_warning(slack: FakeSlack) -> None:
    for method in ("chat.postEphemeral", "chat.postMessage"):
        slack.scripts[method].answers.append("user_not_found")
    with capture_logs() as lines:
        await PrivateReply(slack).send_text(click(), "No.")

    events = [(line["event"], line["log_level"]) for line in lines]
    assert events == [("private reply refused", "warning")] * 2


@pytest.mark.parametrize(("status", "body"), [(400, "invalid_blocks"), (200, '{"ok": false}')])
async def test_refused_blocks_are_sent_as_text_by_the_response_url(
    slack: FakeSlack, response_url: ResponseUrl, status: int, body: str
) -> None:
    response_url.refusals = [(status, body)]
    await PrivateReply(slack).send_text(click(url=response_url.url), "No.")
    refused, sent = response_url.bodies
    assert ("blocks" in refused, "blocks" in sent, sent["text"]) == (True, False, "No.")
    assert slack.calls == []
