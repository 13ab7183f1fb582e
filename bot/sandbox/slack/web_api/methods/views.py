"""views.open and views.update."""

from typing import Any

from bot.sandbox.slack.block_kit.view_rules import checked_view
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
    trigger.used = True
    return _shown(world, view)


def update(world: World, args: Args, _caller: Caller) -> Json:
    """Replace an open view."""
    view = world.views.find(args.text("view_id"))
    world.views.update(view, checked_view(args.parsed("view")))
    return _shown(world, view)


def _shown(world: World, view: View) -> Json:
    world.publish_view(view)
    return {"view": world.views.as_json(view)}


METHODS = {
    "views.open": Method(run=open_, required=("trigger_id", "view")),
    "views.update": Method(run=update, required=("view_id", "view")),
}
