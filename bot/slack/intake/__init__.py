"""How payloads reach the bot: Socket Mode or HTTP, each with a live check and an orderly end."""

from bot.slack.intake.http_intake import HttpIntake
from bot.slack.intake.port import Intake
from bot.slack.intake.socket_intake import SocketIntake

__all__ = ["HttpIntake", "Intake", "SocketIntake"]
