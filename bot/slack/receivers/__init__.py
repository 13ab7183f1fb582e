"""Receivers of Slack's payloads: Socket Mode or HTTP."""

from bot.slack.receivers.http import HttpReceiver
from bot.slack.receivers.socket_mode import SocketModeReceiver

__all__ = ["HttpReceiver", "SocketModeReceiver"]
