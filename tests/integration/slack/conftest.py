"""Fixtures: the app on the fake Slack server in both modes, over the service on SQLite."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from pydantic import SecretStr
from slack_sdk.web.async_client import AsyncWebClient

from bot.sandbox.slack import FakeSlackServer
from bot.slack.bolt_app import App
from bot.slack.client import Identity, Links, SlackClient, new_session
from bot.slack.dependencies import Dependencies
from bot.slack.directory import Directory
from bot.slack.receivers.http import HttpReceiver
from bot.slack.receivers.socket_mode import SocketModeReceiver
from bot.tasks import BackgroundTasks
from tests.support.service import ServiceOnSqlite
from tests.support.web import listening

Start = Callable[..., AbstractAsyncContextManager[FakeSlackServer]]


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlackServer]:
    async with FakeSlackServer() as server:
        yield server


@pytest.fixture(params=["socket", "http"])
def start(request: pytest.FixtureRequest, slack: FakeSlackServer, tmp_path: Path) -> Start:
    """Start the app in Socket Mode and then over HTTP."""

    @asynccontextmanager
    async def started() -> AsyncIterator[FakeSlackServer]:
        async with AsyncExitStack() as stack:
            client = SlackClient(
                slack.bot_token, slack.api_url, await stack.enter_async_context(new_session())
            )
            identity = Identity.of(await client.auth_test())
            links = Links(atlas="https://cloud.mongodb.com", identity=identity)
            core, background = ServiceOnSqlite(tmp_path), BackgroundTasks()
            stack.push_async_callback(core.close)
            deps = Dependencies(
                client=client,
                links=links,
                service=core.service,
                finder=core.finder,
                history=core.history,
                directory=Directory(client, identity),
                background=background,
            )
            app = App(deps, lambda _seconds: None)
            stack.push_async_callback(background.drain, 1.0)
            listening = (
                _over_http(app, slack)
                if request.param == "http"
                else _by_socket(app, slack, client)
            )
            await stack.enter_async_context(listening)
            yield slack

    return started


@asynccontextmanager
async def _over_http(app: App, slack: FakeSlackServer) -> AsyncIterator[None]:
    receiver, site = HttpReceiver(SecretStr(slack.signing_secret)), web.Application()
    receiver.add_route(site)
    receiver.start(app.async_dispatch)
    async with listening(site, grace=1.0) as port:
        slack.http.request_url = f"http://127.0.0.1:{port}/slack/events"
        try:
            yield
        finally:
            await receiver.stop(1.0)


@asynccontextmanager
async def _by_socket(
    app: App, slack: FakeSlackServer, client: AsyncWebClient
) -> AsyncIterator[None]:
    receiver = SocketModeReceiver(slack.app_token, client)
    receiver.start(app.async_dispatch)
    try:
        await slack.until(lambda: slack.sockets.connections)
        yield
    finally:
        await receiver.stop(1.0)
