"""A fake Slack server for tests and the demo; see docs/CONTRIBUTING.md."""

from bot.sandbox.slack.errors import ApiError, CannotDo
from bot.sandbox.slack.faults import Fault
from bot.sandbox.slack.rates import RATES
from bot.sandbox.slack.server import FakeSlackServer
from bot.sandbox.slack.transport.ack import Ack
from bot.sandbox.slack.workspace import App, Channel, User, Workspace
from bot.sandbox.slack.world import Settings

__all__ = [
    "RATES",
    "Ack",
    "ApiError",
    "App",
    "CannotDo",
    "Channel",
    "FakeSlackServer",
    "Fault",
    "Settings",
    "User",
    "Workspace",
]
