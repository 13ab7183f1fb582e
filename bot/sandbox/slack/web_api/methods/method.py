"""Describes one Web API method: its function, arguments, tokens and scopes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.auth import Caller, TokenType
from bot.sandbox.slack.world import World

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Method:
    """`run` executes the method and returns the response without `ok`.

    `any_of`: scopes of which one must be granted · `takes_json`: whether Slack reads a JSON body.
    """

    run: Callable[[World, Args, Caller], Json]
    required: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    tokens: tuple[TokenType, ...] = ("bot",)
    takes_json: bool = True
