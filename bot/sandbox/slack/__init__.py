"""A fake Slack server for tests and the demo; see docs/CONTRIBUTING.md."""

from bot.sandbox.slack.block_kit.plain_text import text_of
from bot.sandbox.slack.errors import ApiError, CannotDo, SandboxError
from bot.sandbox.slack.faults import Fault
from bot.sandbox.slack.server import FakeSlackServer
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.transport.signed_http import signed_headers
from bot.sandbox.slack.workspace import App, Channel, Group, Team, User, Workspace
from bot.sandbox.slack.world import Call, Settings

__all__ = [
    "Ack",
    "ApiError",
    "App",
    "Call",
    "CannotDo",
    "Channel",
    "FakeSlackServer",
    "Fault",
    "Group",
    "SandboxError",
    "Settings",
    "Team",
    "User",
    "Workspace",
    "signed_headers",
    "text_of",
]
