"""What Slack's listeners need, over the stores of a test."""

from collections.abc import Callable

from slack_sdk.web.async_client import AsyncWebClient

from bot.services.feed import Feed
from bot.services.lookup import Lookup
from bot.services.requests import RequestService
from bot.slack.client import Identity
from bot.slack.context import SlackContext
from bot.slack.directory import Directory
from bot.slack.links import Links
from tests.support.core import CoreEnvironment


def slack_context(
    core: CoreEnvironment,
    client: AsyncWebClient,
    identity: Identity,
    *,
    start_run: Callable[[str], None] = lambda _id: None,
    feed_is_readable: Callable[[str], bool] = lambda _project: True,
    is_active: Callable[[], bool] = lambda: True,
) -> SlackContext:
    """Build the context for the project of the environment."""
    return SlackContext(
        client=client,
        identity=identity,
        directory=Directory(client, identity, core.clock.monotonic),
        projects=core.projects,
        requests=RequestService(
            core.requests,
            core.projects,
            start_run=start_run,
            feed_is_readable=feed_is_readable,
        ),
        lookup=Lookup(
            downloads=core.downloads,
            requests=core.requests,
            feed_of=lambda item: Feed(item, core.downloads, core.clock),
            now=core.clock,
        ),
        links=Links(atlas="https://cloud.mongodb.com"),
        now=core.clock,
        is_active=is_active,
    )
