"""The variables with which a test starts a bot between the stand-ins."""

from bot.sandbox.atlas import PRIVATE_KEY, PROJECT_ID, PUBLIC_KEY, FakeAtlasServer
from bot.sandbox.slack import FakeSlackServer

#: The address of a server that does not run: nobody has this port.
NOWHERE = "http://127.0.0.1:1"


def bot_environ(
    slack: FakeSlackServer, atlas: FakeAtlasServer, database_url: str
) -> dict[str, str]:
    """Return the variables of one project with its digest key."""
    return {
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_API_URL": slack.api_url,
        "MONGODB_ATLAS_PUBLIC_API_KEY": PUBLIC_KEY,
        "MONGODB_ATLAS_PRIVATE_API_KEY": PRIVATE_KEY,
        "MONGODB_ATLAS_PROJECT_ID": PROJECT_ID,
        "MONGODB_ATLAS_BASE_URL": atlas.url,
        "DATABASE_URL": database_url,
    }
