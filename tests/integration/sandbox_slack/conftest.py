"""Fixtures: the fake Slack, and Slack's own client."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import FakeSlackServer
from tests.integration.sandbox_slack.receiver import AppReceiver
from tests.support.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def slack(clock: FakeClock) -> AsyncIterator[FakeSlackServer]:
    async with FakeSlackServer(clock=clock.monotonic) as server:
        yield server


@pytest.fixture
def client(slack: FakeSlackServer) -> AsyncWebClient:
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url, retry_handlers=[])


@pytest.fixture
async def app(slack: FakeSlackServer) -> AsyncIterator[AppReceiver]:
    """An app that gets its payloads over signed HTTP."""
    async with AppReceiver().open() as receiver:
        slack.http.request_url = receiver.url
        yield receiver


@dataclass(frozen=True, slots=True)
class SlackEnv:
    """The fake Slack, the app that gets its payloads over HTTP, and Slack's own client."""

    slack: FakeSlackServer
    app: AppReceiver
    client: AsyncWebClient


@pytest.fixture
def env(slack: FakeSlackServer, app: AppReceiver, client: AsyncWebClient) -> SlackEnv:
    return SlackEnv(slack, app, client)
