"""The Web API's methods, by the names of Slack's reference."""

from bot.sandbox.slack.web_api.methods import chat, conversations, users, views
from bot.sandbox.slack.web_api.methods.method import Method

METHODS: dict[str, Method] = {
    **users.METHODS,
    **conversations.METHODS,
    **chat.METHODS,
    **views.METHODS,
}

__all__ = ["METHODS", "Method"]
