"""views.open, views.update, views.publish and blocks.validate."""

from typing import Any

from bot.sandbox.slack.block_kit.blocks import problems
from bot.sandbox.slack.block_kit.view_rules import checked_view, view_problems
from bot.sandbox.slack.errors import ApiError
from bot.sandbox.slack.triggers import Trigger
from bot.sandbox.slack.views import View
from bot.sandbox.slack.web_api.arguments import Args
from bot.sandbox.slack.web_api.auth import Caller
from bot.sandbox.slack.web_api.methods.method import Method
from bot.sandbox.slack.world import World

Json = dict[str, Any]


def open_(world: World, args: Args, _caller: Caller) -> Json:
    content = checked_view(args.parsed("view"))
    trigger = world.triggers.check_trigger(args.text("trigger_id"))
    view = world.views.open(world.workspace.user(trigger.user), content)
    return _shown(world, view, trigger)


def _shown(world: World, view: View, trigger: Trigger | None = None) -> Json:
    if trigger:
        trigger.used = True
    world.publish_view(view)
    return {"view": world.views.as_json(view)}


def update(world: World, args: Args, _caller: Caller) -> Json:
    """Replace an open view; with `hash`, only if it is still that version."""
    if not args.text("view_id") and not args.text("external_id"):
        raise ApiError("invalid_arguments", ["missing required field: view_id"])
    view = world.views.find(view_id=args.text("view_id"), external_id=args.text("external_id"))
    content = checked_view(args.parsed("view"), view.content["type"])
    _check_hash(view, args)
    world.views.update(view, content)
    return _shown(world, view)


def _check_hash(view: View | None, args: Args) -> None:
    if view and args.text("hash") not in ("", view.hash):
        raise ApiError("hash_conflict")


def publish(world: World, args: Args, _caller: Caller) -> Json:
    if not world.workspace.app.home_tab:
        raise ApiError("not_enabled")
    user = world.workspace.users.get(args.text("user_id"))
    if user is None or user.deleted or not world.workspace.is_here(user):
        raise ApiError("invalid_arguments", ["invalid `user_id` [json-pointer:/user_id]"])
    content = checked_view(args.parsed("view"), "home")
    _check_hash(world.views.home(user.id), args)
    return _shown(world, world.views.publish(user, content))


def validate(_world: World, args: Args, _caller: Caller) -> Json:
    """Refuse a view or a message, with the reasons as objects."""
    kind = "view" if "view" in args else "message"
    payload = args.parsed(kind)
    if not isinstance(payload, dict) or {"view", "message"} <= args.values.keys():
        raise ApiError("invalid_arguments", ["must provide exactly one of `view` and `message`"])
    if kind == "view":
        found = view_problems(payload, str(payload.get("type")), "")
    else:
        found = problems(payload.get("blocks", []), "message")
    if found:
        raise ApiError(f"invalid_{kind}", errors=[_as_error(each) for each in found])
    return {}


def _as_error(problem: str) -> dict[str, str]:
    message, _, pointer = problem.removesuffix("]").partition(" [json-pointer:")
    return {"code": "failed_constraint", "message": message, "pointer": pointer}


METHODS = {
    "blocks.validate": Method(run=validate),
    "views.open": Method(run=open_, required=("trigger_id", "view")),
    "views.update": Method(run=update, required=("view",)),
    "views.publish": Method(run=publish, required=("user_id", "view")),
}
