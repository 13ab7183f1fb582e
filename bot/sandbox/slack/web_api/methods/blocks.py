"""blocks.validate."""

from typing import Any

from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.view_rules import view_problems
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.auth import Caller
from bot.sandbox.slack.web_api.methods.method import Method
from bot.sandbox.slack.world import World

KINDS = ("blocks", "view", "message")


def validate(_world: World, args: Args, _caller: Caller) -> dict[str, Any]:
    given = [kind for kind in KINDS if kind in args]
    if len(given) != 1:
        raise ApiError(
            "invalid_arguments", ["must provide exactly one of `blocks`, `view`, or `message`"]
        )
    kind = given[0]
    if found := _problems(kind, args.parsed(kind)):
        raise ApiError(f"invalid_{kind}", errors=[_as_error(each) for each in found])
    return {}


def _problems(kind: str, payload: object) -> list[str]:
    if kind == "blocks":
        return problems(payload, "message", "")
    if not isinstance(payload, dict):
        return ["must be an object [json-pointer:/]"]
    if kind == "message":
        return problems(payload.get("blocks", []), "message")
    return view_problems(payload, str(payload.get("type")), "")


def _as_error(problem: str) -> dict[str, str]:
    message, _, pointer = problem.removesuffix("]").partition(" [json-pointer:")
    return {"code": "failed_constraint", "message": message, "pointer": pointer}


METHODS = {"blocks.validate": Method(run=validate)}
