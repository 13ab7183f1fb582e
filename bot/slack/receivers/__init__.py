"""How payloads reach the bot: Socket Mode or HTTP, each with a live check and an orderly end."""

from bot.slack.receivers.base import Receiver
from bot.slack.receivers.http import HttpReceiver
from bot.slack.receivers.socket_mode import SocketModeReceiver

__all__ = ["HttpReceiver", "Receiver", "SocketModeReceiver"]
