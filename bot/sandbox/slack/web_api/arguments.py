"""Parses the arguments of a Web API call from form, JSON or query."""

import json
from typing import Any

from aiohttp import web

from bot.sandbox.slack.errors import ApiError

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")


class Args:
    """Named arguments; structured ones may be JSON text, as in forms."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """A string argument; empty when it was not given."""
        value = self.values.get(name, "")
        return value if isinstance(value, str) else json.dumps(value)

    def flag(self, name: str) -> bool:
        """A boolean argument, as JSON or as a form has it."""
        return self.values.get(name) in {True, "true", "True", "1"}

    def parsed(self, name: str, error: str = "invalid_arguments") -> object:
        """A structured argument as Python values; None when it was not given.

        Raises:
            ApiError: `error`, when its text is not valid JSON.
        """
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value)
        except ValueError:
            raise ApiError(error, [f"{name} is not valid JSON"]) from None

    def need(self, *names: str) -> None:
        """Raise `invalid_arguments` when one of these is missing or empty."""
        missing = [name for name in names if self.values.get(name) in (None, "")]
        if missing:
            raise ApiError("invalid_arguments", [f"missing required field: {n}" for n in missing])


async def read_arguments(request: web.Request, *, takes_json: bool) -> Args:
    """Parse the call's arguments; a JSON body only where Slack accepts one.

    Raises:
        ApiError: invalid_post_type, invalid_json, json_not_object.
    """
    values: dict[str, Any] = dict(request.query)
    if request.method == "POST" and request.can_read_body:
        if request.content_type in _FORMS:
            values |= dict(await request.post())
        elif request.content_type == "application/json":
            body = await json_object(request)
            values |= body if takes_json else {}
        else:
            raise ApiError("invalid_post_type")
    return Args(values)


async def json_object(request: web.Request) -> dict[str, Any]:
    """Parse a request's body as a JSON object.

    Raises:
        ApiError: invalid_json, json_not_object.
    """
    try:
        body = json.loads(await request.read())
    except ValueError:
        raise ApiError("invalid_json") from None
    if not isinstance(body, dict):
        raise ApiError("json_not_object")
    return body
