"""The Web API's methods, by the names of Slack's reference."""

from bot.sandbox.slack.methods import chat, conversations, people, views
from bot.sandbox.slack.methods.method import Method

METHODS: dict[str, Method] = {
    **people.METHODS,
    **conversations.METHODS,
    **chat.METHODS,
    **views.METHODS,
}

__all__ = ["METHODS", "Method"]
